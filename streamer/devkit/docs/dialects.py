"""``docs/dialects/``: a page for each dialect, written from its schemas, its registration, and what its mapping does.

``python -m streamer.devkit.docs.dialects`` writes the pages.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialect import Dialect
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.mapper import FILTERS
from streamer.core.model import MAX_MESSAGE_ID_CHARACTERS, Json
from streamer.devkit.docs.effects import Effect, Prober, flattened, is_in
from streamer.devkit.docs.fields import fields_of
from streamer.devkit.docs.record_fields import schema_fields, shown

_MAX_CHANGED_PLACES: Final = 6
"""Of a field that changes more places of a call than this, the places are not listed."""

_TABLE_NOTES: Final = """\
The table lists the places of the call that take the value of a field. "Changes" lists places that depend on the value
without taking it. "Some values" and "if absent" list the reasons by which a record is filtered."""


def render() -> dict[str, str]:
    """The pages, under their paths in ``docs/``."""
    return {f"dialects/{name}.md": "\n".join(_page(dialect)).rstrip() + "\n" for name, dialect in DIALECTS.items()}


def examples(dialect: Dialect[Any], contract: str) -> Mapping[str, Sequence[Json]]:
    """Records of one form that are mapped to find out what fields do, by the column that says what their calls are.

    Canonical records have a column for each platform, with the examples of that platform in canonical form.
    """
    if dialect.write is not None:
        return {"Call": read_schema(contract)["examples"]}
    groups: dict[str, list[Json]] = defaultdict(list)
    for platform in DIALECTS.values():
        if platform.write is not None:
            prober = Prober(platform)
            ends = [prober.end(record) for name in platform.contracts for record in read_schema(name)["examples"]]
            groups[platform.platform] = [end.event for end in ends if end is not None and end.event]
    return groups


def _page(dialect: Dialect[Any]) -> Iterator[str]:
    yield from (f"# {dialect.platform}", "")
    yield from ("<!-- Written by streamer/devkit/docs/dialects.py from schemas and code. Do not edit. -->", "")
    yield from (f"For integrations with `dialect: {dialect.name}`.", "")
    prober = Prober(dialect)
    for contract in dialect.contracts:
        yield from _form(dialect, contract, prober)
    yield from ("## messageIds", "", dialect.message_id, "")
    yield f"The `message_id_suffix` of the destination is appended. A messageId has at most {MAX_MESSAGE_ID_CHARACTERS}"
    yield from ("characters with it; a record that would get a longer one is dead-lettered.", "")
    yield from ("## Filters", "", "A valid record makes no call if:", "", _row(["reason", "if"]), _row(["---"] * 2))
    yield from (_row([f"`{reason}`", text]) for reason, text in {**dialect.filters, **FILTERS}.items())
    yield ""
    if dialect.write is None:
        yield from ("The filters and settings of the platform that writes the call apply too:", "")
        yield from (f"- [{other.platform}]({other.name}.md)" for other in DIALECTS.values() if other is not dialect)
    if dialect.settings is not None:
        yield from ("## Settings", "", f"Under `integrations.NAME.{dialect.name}`:", "")
        yield from (_row(["setting", "default", "meaning"]), _row(["---"] * 3))
        for one in fields_of(dialect.settings):
            default = json.dumps(one.default, ensure_ascii=False)
            yield _row([f"`{one.name}`", f"`{default}`", _cell(one.description)])


def _form(dialect: Dialect[Any], contract: str, prober: Prober) -> Iterator[str]:
    schema = read_schema(contract)
    yield from (f"## {schema['title']}", "")
    yield from (f"{schema['description']} Schema: [`{contract}`](../../schemas/{contract}.schema.json).", "")
    groups = examples(dialect, contract)
    ends = [end for records in groups.values() for record in records if (end := prober.end(record)) is not None]
    if not any(end.call for end in ends):
        reasons = sorted({f"`{end.reason}`" for end in ends})
        yield from (f"Records of this form make no calls. They are filtered as {' or '.join(reasons)}.", "")
        return
    yield from _table(dialect, schema, groups, prober)
    record = next(record for records in groups.values() for record in records)
    end = prober.end(record)
    assert end is not None
    for title, document in (("A record", record), ("Its call", end.call)):
        yield from (f"{title}:", "", "```json", json.dumps(document, indent=2, ensure_ascii=False), "```", "")


def _table(
    dialect: Dialect[Any], schema: dict[str, Any], groups: Mapping[str, Sequence[Json]], prober: Prober
) -> Iterator[str]:
    is_native = dialect.write is not None
    columns = ["Field", *groups, *(["Canonical event"] if is_native else []), "Meaning"]
    yield from (_TABLE_NOTES, "", _row(columns), _row(["---"] * len(columns)))
    touched: set[str] = set()
    fields = list(schema_fields(schema))
    paths = [path for path, _, _ in fields]
    for path, rule, is_required in fields:
        effects = [prober.effect(records, path, rule, paths) for records in groups.values()]
        touched |= {place for effect in effects for place in (*effect.call, *effect.changed)}
        event = [_listed(effects[0].event) or "-"] if is_native else []
        meaning = _cell(rule["description"]) + (" Required." if is_required else "")
        yield _row([f"`{shown(path)}`", *map(_effect_in_words, effects), *event, meaning])
    times = [path for path, rule, _ in fields if rule.get("format") == "date-time"]
    places = [prober.places_of_record_time(records, times) for records in groups.values()]
    if any(places):
        cells = [_listed({place: {""} for place in group}) or "-" for group in places]
        event = ["`occurred_at`"] if is_native else []
        yield _row(["(the time of the record on Kafka)", *cells, *event, "Used if the record has no time."])
    yield ""
    if is_native:
        yield from _constants(groups, prober, touched)


def _constants(groups: Mapping[str, Sequence[Json]], prober: Prober, touched: set[str]) -> Iterator[str]:
    """The places of a call that no field reaches."""
    calls = (end.call for records in groups.values() for record in records if (end := prober.end(record)) is not None)
    constant = {place: value for place, value in flattened(next(calls)).items() if not is_in(place, touched)}
    same = ", ".join(f"`{place}` is `{json.dumps(value)}`" for place, value in constant.items())
    yield from (f"In every call, {same}.", "")


def _effect_in_words(effect: Effect) -> str:
    """A cell of the table: what a field does to the call."""
    words = [_listed(effect.call)]
    if len(effect.changed) > _MAX_CHANGED_PLACES:
        words.append("changes the whole call")
    elif effect.changed:
        words.append(f"changes {_listed(effect.changed)}")
    if effect.reasons:
        words.append(f"some values: {_listed(effect.reasons)}")
    if effect.reasons_without:
        words.append(f"if absent: {_listed(effect.reasons_without)}")
    if effect.warnings_without:
        words.append(f"if absent: warning {_listed(effect.warnings_without)}")
    return "; ".join(filter(None, words)) or "not sent"


def _listed(findings: Mapping[str, set[str]]) -> str:
    """Places or names, each with its conditions. What is in ``extra`` as well as elsewhere is listed elsewhere."""
    at_home = [finding for finding in findings if not is_in(finding, ["extra", "answers[].extra"])]
    parts = []
    for finding in sorted(at_home or findings):
        conditions = findings[finding]
        parts.append(f"`{finding}`" if "" in conditions else f"`{finding}` ({' or '.join(sorted(conditions))})")
    return ", ".join(parts)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """A text in a table of Markdown."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def main() -> None:
    """Write the pages."""
    directory = Path(__file__).parents[3] / "docs"
    for name, text in render().items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
