"""The topics as an AsyncAPI document: what producers write, what streamer writes, with schemas and examples.

Seen from streamer, as AsyncAPI wants it: it receives what producers send. Source: AsyncAPI 3.0.0 and its Kafka bindings
0.5.0. The payloads are JSON Schema 2020-12, as in ``schemas/``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamer.core.describing.topic_schema import contracts
from streamer.core.mapping.contract import read_schema
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing.pushes import PUSHES

VERSION: Final = "3.0.0"
BINDING_VERSION: Final = "0.5.0"
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"

DEAD_LETTER_HEADERS: Final = {
    "streamer.reason": "Why the record was set aside: decode_error, schema_invalid, mapping_error, too_large,"
    " rejected_400, rejected_4xx, retries_exhausted or internal_error.",
    "streamer.integration": "The integration that set it aside.",
    "streamer.redrives": "How often it was written back to its topic before.",
    "streamer.original_timestamp": "The record's own time, in milliseconds since 1970.",
    "streamer.destination": "Where its call was to go.",
    "streamer.message_id": "The messageId, if it is known.",
    "streamer.attempts": "How often its call was sent alone.",
    "streamer.http.status": "The last answer.",
    "streamer.first_failure_time": "When it failed first.",
    "streamer.dead_letter_time": "When it was set aside.",
    "streamer.mapping_version": "Version of the rules that mapped it.",
    "__connect.errors.topic": "The topic that it was read from.",
    "__connect.errors.partition": "The partition.",
    "__connect.errors.offset": "The offset.",
    "__connect.errors.connector.name": "The integration.",
    "__connect.errors.task.id": "Number of the process.",
    "__connect.errors.stage": "DECODE, VALIDATE, MAP or DELIVER.",
    "__connect.errors.exception.class.name": "Kind of the error.",
    "__connect.errors.exception.message": "What is wrong, and where. It quotes no value.",
}
"""The headers of a complete dead letter beside the record's own, as texts, and what they say."""

_HEADERS: Final = {
    "type": "object",
    "properties": {
        "traceparent": {
            "type": "string",
            "description": "W3C trace context. With it, the delivery belongs to your trace.",
        },
    },
}
_ANY_KEY: Final = {
    "description": "Any key, or none: streamer promises no order. With a key, all records of it are in one partition.",
}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A broker."""

    host: str
    """``host:port``."""
    is_encrypted: bool = False
    security: str | None = None
    """Type of an AsyncAPI security scheme, such as ``scramSha256``; None: nobody logs in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One topic."""

    name: str
    """Stands for it in the document."""
    address: str | None
    """Its name on Kafka; None: not known."""
    description: str
    messages: tuple[str, ...]
    """Names among `messages`."""
    group_ids: tuple[str, ...] = ()
    """The consumer groups in which streamer reads it."""
    is_written: bool = False
    """Whether streamer writes to it."""
    is_compacted: bool = False


def document(*, title: str, version: str, servers: Sequence[Server], channels: Sequence[Channel]) -> Document:
    """The AsyncAPI document of some topics."""
    used = dict.fromkeys(name for channel in channels for name in channel.messages)
    forms = [name for name in used if name in contracts()]
    described: Document = {
        "asyncapi": VERSION,
        "info": {
            "title": title,
            "version": version,
            "description": "The Kafka topics that streamer reads and writes, seen from streamer: it receives what"
            " producers send. Every record that producers write ends delivered, duplicate, filtered or dead-lettered.",
        },
        "defaultContentType": "application/json",
        "servers": {f"broker{number}": _server(server) for number, server in enumerate(servers, 1)},
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": dict(_operations(channels)),
        "components": {
            "messages": {name: _message(name) for name in used},
            "schemas": {name: {"schemaFormat": SCHEMA_FORMAT, "schema": read_schema(name)} for name in forms},
            "securitySchemes": {server.security: {"type": server.security} for server in servers if server.security},
        },
    }
    described["components"] = {kind: parts for kind, parts in described["components"].items() if parts}
    return {key: part for key, part in described.items() if part}


def messages_of(dialect: str) -> tuple[str, ...]:
    """The messages of a topic with this dialect: the forms of its records."""
    return (PUSHES[dialect].contract,) if dialect in PUSHES else DIALECTS[dialect].contracts


def _server(server: Server) -> Document:
    described: Document = {"host": server.host, "protocol": "kafka-secure" if server.is_encrypted else "kafka"}
    if server.security:
        described["security"] = [_reference("components", "securitySchemes", server.security)]
    return described


def _channel(channel: Channel) -> Document:
    binding: Document = {"bindingVersion": BINDING_VERSION}
    if channel.address is not None:
        binding["topic"] = channel.address
    if channel.is_compacted:
        binding["topicConfiguration"] = {"cleanup.policy": ["compact"]}
    return {
        "address": channel.address,
        "description": channel.description,
        "messages": {name: _reference("components", "messages", name) for name in channel.messages},
        "bindings": {"kafka": binding},
    }


def _operations(channels: Iterable[Channel]) -> Iterable[tuple[str, Document]]:
    for channel in channels:
        messages = [_reference("channels", channel.name, "messages", name) for name in channel.messages]
        common = {"channel": _reference("channels", channel.name), "messages": messages}
        if channel.group_ids:
            group: Mapping[str, Any] = {"type": "string", "enum": list(channel.group_ids)}
            bindings = {"kafka": {"groupId": group, "bindingVersion": BINDING_VERSION}}
            yield f"receive.{channel.name}", {"action": "receive", **common, "bindings": bindings}
        if channel.is_written:
            yield f"send.{channel.name}", {"action": "send", **common}


def _message(name: str) -> Document:
    if name not in contracts():
        return _OTHER_MESSAGES[name]
    schema = read_schema(name)
    return {
        "name": name,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": "application/json",
        "headers": _HEADERS,
        "payload": _reference("components", "schemas", name),
        "bindings": {"kafka": {"key": _ANY_KEY, "bindingVersion": BINDING_VERSION}},
        "examples": [
            {"name": f"{name}_{number}", "payload": example} for number, example in enumerate(schema["examples"], 1)
        ],
    }


DEAD_LETTER: Final = "dead_letter"
CALL: Final = "segment_call"

_OTHER_MESSAGES: Final[Mapping[str, Document]] = {
    DEAD_LETTER: {
        "name": DEAD_LETTER,
        "title": "Dead letter",
        "summary": "A record that cannot be delivered, with its own key, value and headers, and why in more headers.",
        "headers": {
            "type": "object",
            "properties": {name: {"type": "string", "description": text} for name, text in DEAD_LETTER_HEADERS.items()},
        },
        "payload": {"description": "The bytes of the record, unchanged, whatever they are."},
    },
    CALL: {
        "name": CALL,
        "title": "Segment call",
        "summary": "A call that Segment forwarded with a webhook: identify, track, group, alias, screen, page, delete.",
        "contentType": "application/json",
        "payload": {"type": "object", "description": "The call as Segment sent it."},
    },
}


def _reference(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)}
