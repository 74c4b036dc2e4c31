"""Records set aside with their reason: written to the dead-letter topic, ended once the broker has confirmed.

A dead letter that cannot be written keeps its record open and is tried again. When too large a share of an
integration's last records would be set aside, the mass guard stops the integration instead: the records that triggered
it stay open, on Kafka.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from streamer.core.dead_letters.dead_letter import OUR_HEADERS
from streamer.core.dead_letters.guard import MassGuard
from streamer.core.errors import UnavailableError
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import Record
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import MessageTooLargeError
from streamer.logs import Event, logger
from streamer.pipeline.ports import LetterWriter
from streamer.timings import Timings

MAX_WRITES_AT_ONCE: Final = 100

MAX_DETAIL_BYTES: Final = 1_000
"""Longest error text put into a header."""


class DeadLetters:
    """The dead letters of one integration."""

    def __init__(
        self,
        writer: LetterWriter,
        *,
        integration: str,
        destination: str,
        topic_of: Callable[[str], str],
        max_ratio: float,
        timings: Timings,
        on_written: Callable[[PendingLetter], None],
        on_guarded: Callable[[int, int], None],
    ) -> None:
        """Begin with nothing to write.

        Args:
            writer: writes and confirms.
            integration: named in the headers.
            destination: named in the headers.
            topic_of: the dead-letter topic of a topic.
            max_ratio: of `MassGuard`, for each of its two stages.
            timings: how long to wait for a confirmation, and after a failure.
            on_written: called with each confirmed dead letter, to end its record.
            on_guarded: called once when a guard trips, with how many of the last records were set aside, and of how
                many.
        """
        self._writer = writer
        self._integration = integration
        self._destination = destination
        self._topic_of = topic_of
        self._mapping_guard, self._delivery_guard = MassGuard(max_ratio), MassGuard(max_ratio)
        self._timings = timings
        self._on_written = on_written
        self._on_guarded = on_guarded
        self._waiting: deque[PendingLetter] = deque()
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._writing: set[PendingLetter] = set()
        self.is_guarded = False
        """Whether the mass guard has stopped the integration: nothing is written."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._writing)

    def __iter__(self) -> Iterator[PendingLetter]:
        yield from self._waiting
        yield from self._writing

    def note_mapped(self, records: int) -> None:
        """Note, for the guard, records that became calls or were filtered."""
        self._mapping_guard.passed(records)

    def note_delivered(self, records: int) -> None:
        """Note, for the guard, calls that the destination accepted."""
        self._delivery_guard.passed(records)

    def add(self, letters: Sequence[PendingLetter]) -> None:
        """Set records of one stage aside, unless its guard shows that the fault cannot be theirs."""
        if not letters:
            return
        guard = self._mapping_guard if letters[0].opened is None else self._delivery_guard
        guard.set_aside(len(letters))
        self._waiting.extend(letters)
        if self.is_guarded:
            return
        if guard.is_tripped:
            self.guard()
            self._on_guarded(guard.bad, guard.seen)
        else:
            self._work.set()

    def guard(self) -> None:
        """Write nothing any more; records to be set aside stay open."""
        self.is_guarded = True
        self._work.clear()

    def drop_fenced(self) -> None:
        """Forget records whose assignment has ended; they will be read again."""
        self._waiting = deque(letter for letter in self._waiting if not letter.ledger.is_fenced)

    async def flush(self) -> None:
        """Wait a moment for what is being written; not when the guard has stopped the integration."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timings.flush):
                while len(self) and not self.is_guarded:
                    await self._progress.wait()
                    self._progress.clear()

    async def run(self) -> None:
        """Write dead letters as they come, until cancelled."""
        failures = 0
        while True:
            await self._work.wait()
            if self.is_guarded:
                continue  # the guard has tripped since this was woken: there is no work any more
            failed = await self._write_some()
            failures = failures + 1 if failed else 0
            if failed:
                await asyncio.sleep(min(2.0 ** (failures - 1), self._timings.letter_backoff))

    async def _write_some(self) -> bool:
        """Write what waits, many at once; whether one of them failed."""
        chosen = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_WRITES_AT_ONCE))]
        if not self._waiting:
            self._work.clear()
        self._writing.update(chosen)
        try:
            async with asyncio.TaskGroup() as writes:
                for letter in chosen:
                    writes.create_task(self._write(letter))
        finally:
            unwritten = [letter for letter in chosen if letter in self._writing]
            self._writing.clear()
            # To the end: many that cannot be written must not keep the others from their turn.
            self._waiting.extend(unwritten)
            self._progress.set()
        if self._waiting and not self.is_guarded:
            self._work.set()
        return bool(unwritten)

    async def _write(self, letter: PendingLetter) -> None:
        """Write one. It is being written until the broker has confirmed it, or its assignment has ended."""
        if letter.ledger.is_fenced:
            self._writing.discard(letter)
            return
        record = letter.record
        topic = self._topic_of(record.topic)
        # Ours of an earlier dead letter, on a redriven record, are replaced; everybody else's are kept.
        original = [header for header in record.headers if not header[0].startswith(OUR_HEADERS)]
        headers = self._headers(letter)
        for attempt in (original + headers, original + headers[:REQUIRED_HEADERS], headers[:REQUIRED_HEADERS]):
            try:
                await self._writer.write(topic, record, attempt, timeout_seconds=self._timings.letter_timeout)
            except MessageTooLargeError:
                continue
            except UnavailableError as error:
                self._tell_failure(letter, topic, str(error))
                return
            self._writing.discard(letter)
            self._tell_written(letter, topic)
            self._on_written(letter)
            return
        self._tell_failure(letter, topic, "the broker accepts no record of this size (max.message.bytes of the topic)")

    def _headers(self, letter: PendingLetter) -> list[tuple[str, bytes | None]]:
        """Headers that consoles for Kafka Connect show, and ours; the first `REQUIRED_HEADERS` are never left out."""
        record, opened = letter.record, letter.opened
        texts: list[tuple[str, str | int | None]] = [
            ("streamer.reason", letter.reason),
            ("streamer.integration", self._integration),
            ("streamer.redrives", _redrives(record)),
            ("__connect.errors.topic", record.topic),
            ("__connect.errors.partition", record.partition),
            ("__connect.errors.offset", record.offset),
            ("__connect.errors.connector.name", self._integration),
            ("__connect.errors.task.id", os.getpid()),
            ("__connect.errors.stage", letter.stage),
            ("__connect.errors.exception.class.name", letter.error_class),
            ("__connect.errors.exception.message", letter.detail.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")),
            ("streamer.destination", self._destination),
            ("streamer.dead_letter_time", _utc(time.time())),
            ("streamer.mapping_version", MAPPING_VERSION),
            ("streamer.http.status", letter.http_status),
        ]
        if opened is not None:
            texts += [
                ("streamer.message_id", opened.message_id),
                ("streamer.attempts", opened.attempts),
                ("streamer.first_failure_time", _utc(opened.first_failed_at) if opened.first_failed_at else None),
            ]
        return [(name, str(text).encode()) for name, text in texts if text is not None]

    def _tell_written(self, letter: PendingLetter, topic: str) -> None:
        record = letter.record
        logger().emit(
            Event.EVENT_DEAD_LETTERED,
            integration=self._integration,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=letter.reason,
            detail=letter.detail,
            dead_letter_topic=topic,
            message_id=letter.opened.message_id if letter.opened is not None else None,
        )

    def _tell_failure(self, letter: PendingLetter, topic: str, detail: str) -> None:
        logger().emit(
            Event.DEAD_LETTER_FAILED,
            integration=self._integration,
            topic=letter.record.topic,
            partition=letter.record.partition,
            offset=letter.record.offset,
            dead_letter_topic=topic,
            detail=detail,
        )


REQUIRED_HEADERS: Final = 6
"""Of the headers added, those that a redrive needs: reason, integration, redrives and the place in the source topic."""


def _redrives(record: Record) -> int:
    """How often the record was redriven before."""
    for name, value in record.headers:
        if name == "streamer.redrives" and value is not None and value.isdigit():
            return int(value)
    return 0


def _utc(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
