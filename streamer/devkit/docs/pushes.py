"""``docs/dialects/``: the pages of what is pushed to the platforms' own APIs, written from its schemas and mapping."""

import json
from collections.abc import Iterator
from typing import Any, Final

import orjson

from streamer.core.mapping.contract import read_schema
from streamer.core.model import FilterReason, MappingSettings, TrackCall
from streamer.core.pushing import APIS, PUSHES, new_mapper
from streamer.core.pushing.pushes import Push
from streamer.core.pushing.request import decode_request
from streamer.devkit.docs.fields import fields_of

_PARTS: Final = {"profiles": ("profile", "deletion"), "triggers": ("trigger",)}
_OF_ALL: Final = {
    FilterReason.REDRIVEN_FOR_OTHER: "the record is a dead letter of another integration, redriven for that one",
    FilterReason.PAUSED: "the integration is paused with `on_pause: discard`",
}
_NOT_REDRIVEN: Final = """\
`streamer dlq redrive` does not take profiles back (`not_read`): they would be old states behind newer ones, for
everybody who reads the topic. After the cause is corrected, the next change of the user brings the whole profile.
A deletion among the dead letters (no value, no `streamer.successor`) has to be made at the platform by hand."""


def render() -> dict[str, str]:
    """The pages, under their paths in ``docs/``."""
    return {f"dialects/{name}.md": "\n".join(_page(push)).rstrip() + "\n" for name, push in PUSHES.items()}


def _page(push: Push) -> Iterator[str]:
    schema = read_schema(push.contract)
    (record,) = schema["examples"]
    yield from (f"# {push.name.capitalize()}", "")
    yield from ("<!-- Written by streamer/devkit/docs/pushes.py from schemas and code. Do not edit. -->", "")
    kinds = " or ".join(f"`{kind}`" for kind in APIS)
    yield from (f"For integrations with `dialect: {push.name}`, and a destination of kind {kinds}.", "")
    yield from (f"{schema['description']}. Schema: [`{push.contract}`](../../schemas/{push.contract}.schema.json).", "")
    yield from ("A record:", "", *_json(record), "")
    for kind, api in APIS.items():
        yield from (f"## {api.platform}", "")
        for part in _PARTS[push.name]:
            yield from (f"- {part.capitalize()}: {api.texts[part]}",)
        end = new_mapper(MappingSettings(dialect=push.name, kind=kind)).map(orjson.dumps(record), 0, (), b"")
        assert isinstance(end, TrackCall), "the example of a schema makes a call"
        method, path, body = decode_request(end.body)
        yield from ("", f"Its request, `{method} {path}`:", "", *_json(orjson.loads(body)), "")
    yield from ("## messageIds", "", push.message_id, "", "## Order", "", push.order, "")
    yield from ("## Filters", "", "A valid record makes no call if:", "", "| reason | if |", "|---|---|")
    yield from (f"| `{reason}` | {text} |" for reason, text in {**push.filters, **_OF_ALL}.items())
    yield ""
    if push.settings is not None:
        yield from ("## Settings", "", f"Under `integrations.NAME.{push.name}`:", "")
        yield from ("| setting | default | meaning |", "|---|---|---|")
        for one in fields_of(push.settings):
            meaning = " ".join(one.description.replace("``", "`").split())
            yield f"| `{one.name}` | `{json.dumps(one.default)}` | {meaning} |"
        yield ""
    if not push.has_events:
        yield from ("## Dead letters", "", _NOT_REDRIVEN, "")


def _json(document: Any) -> list[str]:
    return ["```json", json.dumps(document, indent=2, ensure_ascii=False), "```"]
