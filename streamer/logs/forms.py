"""Forms of a log line: JSON with OpenTelemetry's names or the Elastic Common Schema's, or text for people."""

import os
import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from streamer.logs.console import Console
from streamer.logs.events import Event
from streamer.logs.fields import FIELDS
from streamer.logs.resource import resource

ECS_VERSION: Final = "8.17.0"
"""Of the Elastic Common Schema that lines of the profile ``ecs`` follow."""

Fields = MutableMapping[str, Any]

_SEVERITIES: Final = {"debug": ("DEBUG", 5), "info": ("INFO", 9), "warning": ("WARN", 13), "error": ("ERROR", 17)}
"""Level -> OpenTelemetry's severity text and number."""

_SECRET_NAME: Final = re.compile(r"(key|password|token|secret|authorization)$", re.IGNORECASE)
_URL_CREDENTIALS: Final = re.compile(rb'(?<=://)[^/\s"]+(?=@)')

_KAFKA_FIELDS: Final = frozenset({"message_id", "offset", "partition", "topic"})

_MEANINGS: Final = {event.event_name: event.meaning for event in Event}
_OUTSIDE_NAMES: Final = {name: field.outside_name for name, field in FIELDS.items()}
_ECS_NAMES: Final = {name: field.ecs_name for name, field in FIELDS.items() if field.ecs_name}
_ECS_RESOURCE: Final = {
    "service.name": "service.name",
    "service.version": "service.version",
    "service.instance.id": "service.node.name",
    "deployment.environment.name": "service.environment",
}
_NANOSECONDS: Final = 1_000_000_000


def processors_for(form: str, profile: str, descriptor: int) -> list[structlog.typing.Processor]:
    """What makes bytes of the fields of a line.

    Args:
        form: ``json``, ``console``, or ``auto``: ``console`` if lines go to a terminal.
        profile: whose names JSON lines have: ``otel`` or ``ecs``.
        descriptor: where lines go.
    """
    is_terminal = os.isatty(descriptor)
    first = [structlog.processors.add_log_level, _drop_secrets]
    if form == "console" or (form == "auto" and is_terminal):
        return [*first, Console(_MEANINGS, descriptor if is_terminal else None, os.environ), _encode]
    name = _ecs if profile == "ecs" else _otel
    return [*first, _with_resource(name, resource(os.environ)), _render_json]


def _drop_secrets(_logger: object, _method: str, fields: Fields) -> Fields:
    for name in [name for name in fields if _SECRET_NAME.search(name)]:
        del fields[name]
    return fields


def _with_resource(
    name: Callable[[Fields, Mapping[str, str]], Fields], of_process: Mapping[str, str]
) -> structlog.typing.Processor:
    return lambda _logger, _method, fields: name(fields, of_process)


def _otel(fields: Fields, of_process: Mapping[str, str]) -> Fields:
    """OpenTelemetry's names, in the order in which people read a line."""
    level, name = fields.pop("level"), fields.pop("event")
    severity_text, severity_number = _SEVERITIES[level]
    line: Fields = {
        "timestamp": _now(),
        "level": level,
        "severity_text": severity_text,
        "severity_number": severity_number,
        "event_name": name,
        "body": _MEANINGS.get(name, name),
        "logger": fields.pop("logger", "streamer"),
        **of_process,
    }
    if not _KAFKA_FIELDS.isdisjoint(fields):
        line["messaging.system"] = "kafka"
    if "partition" in fields:
        fields["partition"] = str(fields["partition"])
    line.update((_OUTSIDE_NAMES.get(field, field), value) for field, value in fields.items())
    return line


def _ecs(fields: Fields, of_process: Mapping[str, str]) -> Fields:
    """The names of the Elastic Common Schema; what it has no name for is a label."""
    level, name = fields.pop("level"), fields.pop("event")
    is_fault = "fault" in fields
    line: Fields = {
        "@timestamp": _now(),
        "log.level": level,
        "message": _MEANINGS.get(name, name),
        "ecs.version": ECS_VERSION,
        "log.logger": fields.pop("logger", "streamer"),
        "event.action": name,
        "event.dataset": f"{of_process['service.name']}.log",
        "event.outcome": "failure" if is_fault else "unknown" if level in {"warning", "error"} else "success",
        **{_ECS_RESOURCE[attribute]: value for attribute, value in of_process.items()},
    }
    if "duration_seconds" in fields:
        line["event.duration"] = round(fields.pop("duration_seconds") * _NANOSECONDS)
    if is_fault and "detail" in fields:
        line["error.message"] = fields.pop("detail")
    line.update({_ECS_NAMES[field]: fields.pop(field) for field in [*fields] if field in _ECS_NAMES})
    if fields:
        line["labels"] = dict(fields)
    return line


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _render_json(_logger: object, _method: str, fields: Fields) -> bytes:
    return _without_credentials(orjson.dumps(fields, default=str))


def _encode(_logger: object, _method: str, line: Any) -> bytes:
    return _without_credentials(line.encode())


def _without_credentials(line: bytes) -> bytes:
    """Applied to the whole line, so that no nested field can hold a URL with credentials."""
    return _URL_CREDENTIALS.sub(b"REDACTED", line)
