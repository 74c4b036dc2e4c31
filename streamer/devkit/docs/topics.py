"""``docs/topics.md``: the topics of all dialects, written from the document that ``streamer asyncapi`` prints."""

import json
from collections.abc import Iterator
from typing import Any, Final

from streamer.devkit.docs.markdown import code, page, table
from streamer.operations.describing import document_of_dialects

_INTRODUCTION: Final = """\
# Topics

What producers write to Kafka, and what streamer writes there, for each dialect. The same as a document for programs:
`streamer asyncapi --config streamer.yaml` prints it with the names of your topics and brokers, as AsyncAPI 3.0 with
Kafka bindings (YAML, or JSON with `-o json`). `streamer schema DIALECT --bundle` prints one JSON Schema for any record
of a topic. [producers.md](producers.md) says how to check records before they are sent."""


def render() -> dict[str, str]:
    """The page, under its path in ``docs/``."""
    document = document_of_dialects(title="Survey events")
    blocks = [block for name, channel in document["channels"].items() for block in _channel(name, channel, document)]
    return {"topics.md": page(_INTRODUCTION, *blocks)}


def _channel(name: str, channel: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    messages = [document["components"]["messages"][message] for message in channel["messages"]]
    yield f"## {name}"
    yield channel["description"]
    for message in messages:
        yield f"### {message['title']}"
        yield message["summary"]
        if "$ref" in message["payload"]:
            yield f"Schema: [`{message['name']}`](../schemas/{message['name']}.schema.json). Key: any, or none."
        headers = message.get("headers", {}).get("properties", {})
        if headers:
            yield table(["header", "meaning"], [[code(one), rule["description"]] for one, rule in headers.items()])
        for example in message.get("examples", ())[:1]:
            yield f"```json\n{json.dumps(example['payload'], indent=2, ensure_ascii=False)}\n```"
