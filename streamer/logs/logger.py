"""How log lines are written.

Code names an event of the catalogue and gives the fields; both are short names, and `streamer.logs.forms` gives them
the names that readers know. Lines of one kind and subject are folded, and what libraries log gets the same form. If
nobody reads standard output, lines are dropped; the service never waits for a reader.
"""

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator
from traceback import extract_tb
from typing import Final, Protocol

import structlog

from streamer.logs.events import INFO, Event
from streamer.logs.fault import FaultLine, LastFaults
from streamer.logs.folding import Folding
from streamer.logs.forms import processors_for
from streamer.logs.runbooks import runbook_of
from streamer.logs.subject import fold_key
from streamer.logs.writer import LineWriter

__all__ = ["Event", "EventLogger", "configured", "logger", "place_of", "reconfigure"]

MAX_DETAIL_CHARACTERS: Final = 500
"""Longest text of a library that is logged. Only its first line is: the next ones quote what it worked on."""

_Line = tuple[Event, dict[str, object]]


class Choice(Protocol):
    """What the configuration says about logs."""

    @property
    def level(self) -> str:
        """The least level that is written: ``debug``, ``info``, ``warning`` or ``error``."""

    @property
    def format(self) -> str:
        """``json``, ``console``, or ``auto``: readable on a terminal, JSON otherwise."""

    @property
    def profile(self) -> str:
        """Whose names JSON lines have: ``otel`` or ``ecs``."""


class EventLogger:
    """Writes catalogued events. ``last_faults`` has the latest faults that lines were about, for the status."""

    def __init__(
        self,
        folding: Folding[tuple[object, ...], _Line] | None = None,
        *,
        level: int = logging.DEBUG,
    ) -> None:
        """``folding`` None: each line is written. ``level``: the least one."""
        self._folding = folding
        self._level = self.configured_level = level
        self.last_faults = LastFaults()
        self.faults: Counter[Event] = Counter()
        """How often each event about a fault was emitted, whether its line was written, folded or below the level."""

    def writes(self, level: int) -> bool:
        """Whether lines of this level are written; asked before fields are collected for a line per record."""
        return level >= self._level

    def change_level(self, level: int) -> None:
        """Write only lines of this level or a higher one from now on. The line that says so is always written."""
        self._level = min(level, INFO)
        self.emit_at(Event.LOG_LEVEL_CHANGED, INFO, written_from=logging.getLevelName(level).lower())
        self._level = level

    def configure_level(self, level: int) -> None:
        """Write only lines of this level or a higher one, now and after a signal has set the level back."""
        self._level = self.configured_level = level

    def emit(self, event: Event, **fields: object) -> None:
        """Write one line, or only count it if too many of its kind and subject were written lately.

        A line about a fault always says whose fault it is, whether data is at risk and what to do next. ``fields`` may
        replace what the catalogue says about these. Fields that are None are left out.
        """
        if event.fault is not None:
            self.faults[event] += 1
            own = {"fault": event.fault, "data_at_risk": "no", "next_step": event.next_step}
            fields = {**own, "runbook": runbook_of(event), **fields}
            self.last_faults.note(_fault_line(event, fields))
        if event.level < self._level:
            return
        if self._folding is None:
            self._write(event, fields)
            return
        self.write_folded()
        if event.max_lines is None:
            self._write(event, fields)
            return
        suppressed = self._folding.admits(
            fold_key(event, fields), (event, fields), event.max_lines, time.monotonic(), level=event.level
        )
        if suppressed is not None:
            self._write(event, {**fields, "suppressed": suppressed or None})

    def emit_at(self, event: Event, level: int, **fields: object) -> None:
        """Write one line at another level than the event's own, however many there are."""
        if level >= self._level:
            self._write(event, fields, level)

    def write_folded(self) -> None:
        """Write how many lines were folded in windows that are over; call it now and then while nothing is logged."""
        if self._folding is not None:
            self._write_suppressed(self._folding.ended(time.monotonic()))

    def flush(self) -> None:
        """Write how many lines were folded and not reported yet; called before the process ends."""
        if self._folding is not None:
            self._write_suppressed(self._folding.ended(float("inf")))

    def _write_suppressed(self, ended: list[tuple[_Line, int]]) -> None:
        for (event, fields), suppressed in ended:
            self._write(event, {**fields, "suppressed": suppressed})

    def _write(self, event: Event, fields: dict[str, object], level: int | None = None) -> None:
        structlog.get_logger().log(
            event.level if level is None else level,
            event.event_name,
            **{name: value for name, value in fields.items() if value is not None},
        )


def _join(earlier: _Line, later: _Line) -> _Line:
    """The later one of two folded lines, with the records of both."""
    event, fields = later
    records, before = fields.get("records"), earlier[1].get("records")
    if isinstance(records, int) and isinstance(before, int):
        fields = {**fields, "records": records + before}
    return event, fields


def _fault_line(event: Event, fields: dict[str, object]) -> FaultLine:
    subject = fields.get("integration") or fields.get("destination") or fields.get("webhook") or ""
    detail = str(fields.get("detail") or "")
    return FaultLine(
        at=time.time(),
        event_name=event.event_name,
        subject=str(subject),
        reason=str(fields.get("error_type") or fields.get("reason") or ""),
        next_step=str(fields["next_step"]),
        detail=detail,
        data_at_risk=str(fields["data_at_risk"]),
    )


_current = EventLogger()
_descriptor: int | None = None
"""Where lines go; None: nothing is configured."""


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
        choice: level, format and profile.
        file_descriptor: where lines go; None: standard output.
        said_elsewhere: formats of lines of libraries that are written at the level ``debug``, because a line of ours
            says the same.
    """
    global _current, _descriptor  # noqa: PLW0603 - logging is the one thing that is the same for the whole process
    descriptor = _descriptor = sys.stdout.fileno() if file_descriptor is None else file_descriptor
    writer = LineWriter(descriptor, on_dropped=lambda lines: logger().emit(Event.LINES_DROPPED, lines=lines))
    previous, _current = _current, EventLogger(Folding(join=_join), level=_level_of(choice))
    structlog.configure(
        processors=processors_for(choice.format, choice.profile, descriptor),
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
        _current, _descriptor = previous, None
        structlog.reset_defaults()
        writer.close()


def reconfigure(choice: Choice) -> None:
    """Log in another way from now on; call it while `configured` lasts. Before that, it does nothing."""
    if _descriptor is not None:
        structlog.configure(processors=processors_for(choice.format, choice.profile, _descriptor))
        _current.configure_level(_level_of(choice))


def _level_of(choice: Choice) -> int:
    return logging.getLevelNamesMapping()[choice.level.upper()]


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
