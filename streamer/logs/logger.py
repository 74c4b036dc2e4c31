"""Structured logs: one JSON object a line on standard output, or readable lines on a terminal.

Callers write ``logger().emit(Event.BATCH_RETRYING, integration="sprig", calls=25)``. What can be said is catalogued in
`streamer.logs.events`; field names are short in code, and `_name_for_outside` gives them the OpenTelemetry names that
readers know (`streamer.logs.fields`). Lines of one kind and subject are folded, secrets are removed, and what libraries
log gets the same form. If nobody reads standard output, lines are dropped; the service never waits for a reader.
"""

import contextlib
import logging
import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Container, Iterator, MutableMapping
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any, Final, Protocol

import orjson
import structlog

from streamer import __version__
from streamer.logs.events import Event
from streamer.logs.fault import FaultLine
from streamer.logs.fields import FIELDS
from streamer.logs.folding import Folding
from streamer.logs.runbooks import runbook_of
from streamer.logs.writer import LineWriter

__all__ = ["FOLD_SECONDS", "Event", "EventLogger", "configured", "logger", "place_of"]

FOLD_SECONDS: Final = 10.0
"""Lines of one kind and subject beyond `Event.max_lines` within this time are counted instead of written."""

MAX_DETAIL_CHARACTERS: Final = 500
"""Longest text of a library that is logged. Only its first line is: the next ones quote what it worked on."""

MAX_LAST_FAULTS: Final = 20
"""Lines about faults that `last_faults` keeps."""

_SUBJECT: Final = ("integration", "destination", "topic", "partition", "webhook", "reason", "error_type", "logger")
"""The fields that make up the subject of a line. Lines that differ in one of them are never folded together."""

_OUTSIDE_NAMES: Final = {name: field.outside_name for name, field in FIELDS.items()}

_SEVERITIES: Final = {"debug": ("DEBUG", 5), "info": ("INFO", 9), "warning": ("WARN", 13), "error": ("ERROR", 17)}
"""Level -> OpenTelemetry's severity text and number."""

_SECRET_NAME: Final = re.compile(r"(key|password|token|secret|authorization)$", re.IGNORECASE)
_URL_CREDENTIALS: Final = re.compile(rb'(?<=://)[^/\s"]+(?=@)')

_KAFKA_FIELDS: Final = frozenset({"message_id", "offset", "partition", "topic"})

_MEANINGS: Final = {event.event_name: event.meaning for event in Event}

Fields = MutableMapping[str, Any]


class Choice(Protocol):
    """What the configuration says about logs."""

    @property
    def level(self) -> str:
        """The least level that is written: ``debug``, ``info``, ``warning`` or ``error``."""

    @property
    def format(self) -> str:
        """``json``, ``console``, or ``auto``: readable on a terminal, JSON otherwise."""


class EventLogger:
    """Writes catalogued events. ``last_faults`` has the newest lines about faults, for the status page."""

    def __init__(
        self,
        folding: Folding[tuple[object, ...], tuple[Event, dict[str, object]]] | None = None,
        *,
        level: int = logging.DEBUG,
    ) -> None:
        self._folding = folding
        self._level = level
        self.last_faults: deque[FaultLine] = deque(maxlen=MAX_LAST_FAULTS)
        self.faults: Counter[Event] = Counter()
        """How often each event about a fault was emitted, whether its line was written, folded or below the level."""

    def writes(self, level: int) -> bool:
        """Whether lines of this level are written; asked before fields are collected for a line per record."""
        return level >= self._level

    def emit(self, event: Event, **fields: object) -> None:
        """Write one line, or only count it if too many of its kind and subject were written in the last seconds.

        A line about a fault always says whose fault it is, whether data is at risk and what to do next. ``fields`` may
        replace what the catalogue says about these. Fields that are None are left out.
        """
        if event.fault is not None:
            self.faults[event] += 1
        if event.level < self._level:
            return
        if self._folding is None:
            self._write(event, fields)
            return
        now = time.monotonic()
        self._write_suppressed(self._folding.ended(now))
        if event.max_lines is None:
            self._write(event, fields)
            return
        key = (event, *(fields.get(name) for name in _SUBJECT))
        if self._folding.admits(key, (event, fields), event.max_lines, now):
            self._write(event, fields)

    def emit_at(self, event: Event, level: int, **fields: object) -> None:
        """Write one line at another level than the event's own, however many there are."""
        if level >= self._level:
            self._write(event, fields, level)

    def flush(self) -> None:
        """Write how many lines were folded and not reported yet; called before the process ends."""
        if self._folding is not None:
            self._write_suppressed(self._folding.ended(float("inf")))

    def _write_suppressed(self, ended: list[tuple[tuple[Event, dict[str, object]], int]]) -> None:
        for (event, fields), suppressed in ended:
            self._write(event, {**fields, "suppressed": suppressed})

    def _write(self, event: Event, fields: dict[str, object], level: int | None = None) -> None:
        if event.fault is not None:
            own = {"fault": event.fault, "data_at_risk": "no", "next_step": event.next_step}
            fields = {**own, "runbook": runbook_of(event), **fields}
            self.last_faults.append(_fault_line(event, fields))
        structlog.get_logger().log(
            event.level if level is None else level,
            event.event_name,
            **{name: value for name, value in fields.items() if value is not None},
        )


def _fault_line(event: Event, fields: dict[str, object]) -> FaultLine:
    subject = fields.get("integration") or fields.get("destination") or ""
    reason = fields.get("error_type") or fields.get("reason") or fields.get("detail") or ""
    return FaultLine(time.time(), event.event_name, str(subject), str(reason), str(fields["next_step"]))


_current = EventLogger()


def logger() -> EventLogger:
    """The logger in force."""
    return _current


def place_of(error: BaseException) -> str:
    """Where an unexpected error came from, the innermost frame last. Without its text, which may quote a value."""
    frames = extract_tb(error.__traceback__)
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)


@contextlib.contextmanager
def configured(
    choice: Choice, *, file_descriptor: int | None = None, said_elsewhere: Container[str] = ()
) -> Iterator[None]:
    """Log as configured while the context lasts. At its end all lines are written, if somebody reads them.

    Args:
        choice: level and format.
        file_descriptor: where lines go; None: standard output.
        said_elsewhere: formats of lines of libraries that are written at the level ``debug``, because a line of ours
            says the same.
    """
    global _current  # noqa: PLW0603 - logging is the one thing that is the same for the whole process
    descriptor = sys.stdout.fileno() if file_descriptor is None else file_descriptor
    writer = LineWriter(descriptor, on_dropped=lambda lines: logger().emit(Event.LINES_DROPPED, lines=lines))
    level = logging.getLevelNamesMapping()[choice.level.upper()]
    previous, _current = _current, EventLogger(Folding(FOLD_SECONDS), level=level)
    structlog.configure(
        processors=_processors(choice.format, descriptor),
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    handler = _LibraryHandler(said_elsewhere)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.removeHandler(handler)
        _current.flush()
        _current = previous
        structlog.reset_defaults()
        writer.close()


class _LibraryHandler(logging.Handler):
    """Writes what libraries log in our form: without tracebacks, and without lines that quote what they worked on."""

    def __init__(self, said_elsewhere: Container[str]) -> None:
        super().__init__(logging.WARNING)
        self._said_elsewhere = said_elsewhere

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error = record.exc_info[1] if record.exc_info else None
            is_lost_task = record.name == "asyncio" and record.levelno >= logging.ERROR
            event = Event.LIBRARY_SAID if record.msg in self._said_elsewhere else Event.LIBRARY_WARNED
            logger().emit(
                Event.TASK_FAILED if is_lost_task else event,
                logger=record.name,
                detail=record.getMessage().partition("\n")[0][:MAX_DETAIL_CHARACTERS],
                error_type=type(error).__name__ if error is not None else None,
                stack=place_of(error) if error is not None and is_lost_task else None,
            )
        except Exception:  # noqa: BLE001 - what goes wrong in logging must not end what was logging
            self.handleError(record)


def _processors(form: str, descriptor: int) -> list[structlog.typing.Processor]:
    is_terminal = os.isatty(descriptor)
    if form == "console" or (form == "auto" and is_terminal):
        renderer = structlog.dev.ConsoleRenderer(colors=is_terminal)
        return [structlog.processors.add_log_level, _drop_secrets, _add_clock_time, renderer, _encode]
    return [structlog.processors.add_log_level, _drop_secrets, _name_for_outside, _render_json]


def _drop_secrets(_logger: object, _method: str, fields: Fields) -> Fields:
    for name in [name for name in fields if _SECRET_NAME.search(name)]:
        del fields[name]
    return fields


def _add_clock_time(_logger: object, _method: str, fields: Fields) -> Fields:
    fields["timestamp"] = datetime.now(UTC).strftime("%H:%M:%S")
    return fields


def _name_for_outside(_logger: object, _method: str, fields: Fields) -> Fields:
    """Replace short names by the names that readers of logs know, in the order in which people read a line."""
    level, name = fields.pop("level"), fields.pop("event")
    severity_text, severity_number = _SEVERITIES[level]
    line: Fields = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "severity_text": severity_text,
        "severity_number": severity_number,
        "event_name": name,
        "body": _MEANINGS.get(name, name),
        "logger": fields.pop("logger", "streamer"),
        "service.name": "streamer",
        "service.version": __version__,
    }
    if not _KAFKA_FIELDS.isdisjoint(fields):
        line["messaging.system"] = "kafka"
    if "partition" in fields:
        fields["partition"] = str(fields["partition"])
    line.update((_OUTSIDE_NAMES.get(field, field), value) for field, value in fields.items())
    return line


def _render_json(_logger: object, _method: str, fields: Fields) -> bytes:
    return _without_credentials(orjson.dumps(fields, default=str))


def _encode(_logger: object, _method: str, line: Any) -> bytes:
    return _without_credentials(line.encode())


def _without_credentials(line: bytes) -> bytes:
    """Applied to the whole line, so that no nested field can hold a URL with credentials."""
    return _URL_CREDENTIALS.sub(b"REDACTED", line)
