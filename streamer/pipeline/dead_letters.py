"""Records set aside with their reason: written to the dead-letter topic, settled once the broker has confirmed.

A dead letter that cannot be written keeps its record open and is tried again. When too large a share of an
integration's last records would be set aside, the mass guard holds the integration instead: what triggered it stays
open, on Kafka.
"""

import asyncio
import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from streamer import __version__
from streamer.core.dead_letters.dead_letter import OUR_HEADERS
from streamer.core.dead_letters.guard import MassGuard
from streamer.core.errors import UnavailableError
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import DeadLetterReason, Record, Stage
from streamer.core.records.in_flight import Size
from streamer.core.records.ledger import OpenRecord, PartitionLedger
from streamer.kafka import DeadLetterProducer, MessageTooLargeError
from streamer.logs import Event, logger

WRITE_TIMEOUT_SECONDS: Final = 15.0
"""Longest wait for the confirmation of one dead letter: past the time after which the client itself gives it up."""

FLUSH_SECONDS: Final = 5.0
"""Longest wait for dead letters at shutdown."""

MAX_BACKOFF_SECONDS: Final = 30.0

MAX_WRITES_AT_ONCE: Final = 100

MAX_DETAIL_BYTES: Final = 1_000
"""Longest error text put into a header."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refusal:
    """A record that cannot become a delivered event, and why. One is not another, however alike."""

    record: Record = field(repr=False)
    """Left out of the representation, which may end up in a log: its client shows key and value."""
    ledger: PartitionLedger
    reason: DeadLetterReason
    stage: Stage
    detail: str
    """For the record's producer; quotes no value."""
    error_class: str
    opened: OpenRecord | None = None
    """Set when the record had become a call: then others may wait for its messageId."""
    http_status: int | None = None


class DeadLetters:
    """The dead letters of one integration."""

    def __init__(
        self,
        producer: DeadLetterProducer,
        *,
        integration: str,
        destination: str,
        topic_of: Callable[[str], str],
        mapping_guard: MassGuard,
        delivery_guard: MassGuard,
        on_written: Callable[[Refusal], None],
        on_held: Callable[[int, int], None],
    ) -> None:
        """Begin with nothing to write.

        Args:
            producer: writes and confirms.
            integration: named in the headers.
            destination: named in the headers.
            topic_of: the dead-letter topic of a topic.
            mapping_guard: holds the integration when too many records cannot be mapped.
            delivery_guard: the same for calls that the destination refuses.
            on_written: told of each confirmed dead letter, to settle its record.
            on_held: told once when the guard trips, with how many of the last records were refused, and of how many.
        """
        self._producer = producer
        self._integration = integration
        self._destination = destination
        self._topic_of = topic_of
        self._mapping_guard = mapping_guard
        self._delivery_guard = delivery_guard
        self._on_written = on_written
        self._on_held = on_held
        self._waiting: deque[Refusal] = deque()
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._writing: set[Refusal] = set()
        self.is_held = False
        """Whether the mass guard holds the integration: nothing is written."""

    def __len__(self) -> int:
        return len(self._waiting) + len(self._writing)

    def unmapped_size(self) -> Size:
        """The records to set aside that never became a call, as far as they are still ours."""
        refusals = [*self._waiting, *self._writing]
        values = [r.record.value or b"" for r in refusals if r.opened is None and not r.ledger.is_fenced]
        return Size(len(values), sum(map(len, values)))

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Set records of one stage aside, unless its mass guard says that the fault cannot be theirs."""
        guard = self._mapping_guard if refusals[0].opened is None else self._delivery_guard
        guard.refuse(len(refusals))
        self._waiting.extend(refusals)
        if self.is_held:
            return
        if guard.is_tripped:
            self.hold()
            self._on_held(guard.refused, guard.seen)
        elif self._waiting:
            self._work.set()

    def hold(self) -> None:
        """Write nothing any more; records to be set aside stay open."""
        self.is_held = True
        self._work.clear()

    def drop_fenced(self) -> None:
        """Forget records whose assignment has ended; they will be read again."""
        self._waiting = deque(refusal for refusal in self._waiting if not refusal.ledger.is_fenced)

    async def flush(self) -> None:
        """Wait a moment for what is being written; not when the guard holds the integration."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                while len(self) and not self.is_held:
                    await self._progress.wait()
                    self._progress.clear()

    async def run(self) -> None:
        """Write dead letters as they come, for ever."""
        failures = 0
        while True:
            await self._work.wait()
            failed = await self._write_some()
            failures = failures + 1 if failed else 0
            if failed:
                await asyncio.sleep(min(2.0 ** (failures - 1), MAX_BACKOFF_SECONDS))

    async def _write_some(self) -> bool:
        """Write what waits, many at once; whether one of them failed."""
        chosen = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_WRITES_AT_ONCE))]
        if not self._waiting:
            self._work.clear()
        self._writing.update(chosen)
        try:
            async with asyncio.TaskGroup() as writes:
                for refusal in chosen:
                    writes.create_task(self._write(refusal))
        finally:
            unwritten = [refusal for refusal in chosen if refusal in self._writing]
            self._writing.clear()
            # To the end: many that cannot be written must not keep the others from their turn.
            self._waiting.extend(unwritten)
            self._progress.set()
        if self._waiting and not self.is_held:
            self._work.set()
        return bool(unwritten)

    async def _write(self, refusal: Refusal) -> None:
        """Write one; it is taken off what is being written when the broker has confirmed it, or nobody waits for it."""
        if refusal.ledger.is_fenced:
            self._writing.discard(refusal)
            return
        record = refusal.record
        topic = self._topic_of(record.topic)
        # Ours of an earlier dead letter, on a redriven record, are replaced; everybody else's are kept.
        original = [header for header in record.headers if not header[0].startswith(OUR_HEADERS)]
        headers = self._headers(refusal)
        for attempt in (original + headers, original + headers[:REQUIRED_HEADERS], headers[:REQUIRED_HEADERS]):
            try:
                await self._producer.write(topic, record, attempt, timeout_seconds=WRITE_TIMEOUT_SECONDS)
            except MessageTooLargeError:
                continue
            except UnavailableError as error:
                self._tell_failure(refusal, topic, str(error))
                return
            self._writing.discard(refusal)
            self._tell_written(refusal, topic)
            if not refusal.ledger.is_fenced:
                self._on_written(refusal)
            return
        self._tell_failure(refusal, topic, "the broker takes no message of this size (max.message.bytes of the topic)")

    def _headers(self, refusal: Refusal) -> list[tuple[str, bytes | None]]:
        """Headers that consoles for Kafka Connect show, and ours; the first `REQUIRED_HEADERS` are never left out."""
        record, opened = refusal.record, refusal.opened
        texts: list[tuple[str, str | int | None]] = [
            ("streamer.reason", refusal.reason),
            ("streamer.integration", self._integration),
            ("streamer.redrives", _redrives(record)),
            ("__connect.errors.topic", record.topic),
            ("__connect.errors.partition", record.partition),
            ("__connect.errors.offset", record.offset),
            ("__connect.errors.connector.name", self._integration),
            ("__connect.errors.task.id", os.getpid()),
            ("__connect.errors.stage", refusal.stage),
            ("__connect.errors.exception.class.name", refusal.error_class),
            ("__connect.errors.exception.message", refusal.detail.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore")),
            ("streamer.destination", self._destination),
            ("streamer.dead_letter_time", _utc(time.time())),
            ("streamer.mapping_version", MAPPING_VERSION),
            ("streamer.http.status", refusal.http_status),
        ]
        if opened is not None:
            texts += [
                ("streamer.message_id", opened.message_id),
                ("streamer.attempts", opened.attempts),
                ("streamer.first_failure_time", _utc(opened.first_failed_at) if opened.first_failed_at else None),
            ]
        return [(name, str(text).encode()) for name, text in texts if text is not None]

    def _tell_written(self, refusal: Refusal, topic: str) -> None:
        record = refusal.record
        logger().emit(
            Event.EVENT_DEAD_LETTERED,
            integration=self._integration,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=refusal.reason,
            detail=refusal.detail,
            dead_letter_topic=topic,
            message_id=refusal.opened.message_id if refusal.opened is not None else None,
        )

    def _tell_failure(self, refusal: Refusal, topic: str, detail: str) -> None:
        logger().emit(
            Event.DEAD_LETTER_FAILED,
            integration=self._integration,
            topic=refusal.record.topic,
            partition=refusal.record.partition,
            offset=refusal.record.offset,
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


class GuardMemory:
    """Remembers over restarts that the mass guard holds an integration, until its configuration or version changes.

    Without it, every restart would dead-letter some more records of a topic that is wrong as a whole.
    """

    def __init__(self, directory: Path, *, fingerprint: str) -> None:
        """Use a small file in ``directory``; ``fingerprint`` stands for the configuration in force."""
        self._path = directory / "held.json"
        self._now = {"version": __version__, "configuration": fingerprint}

    def is_held(self) -> bool:
        """Whether the guard held the integration with this very configuration and version."""
        try:
            return bool(json.loads(self._path.read_text()) == self._now)
        except (OSError, ValueError):
            return False

    def remember(self) -> None:
        """Note the hold; without a disk it lasts only as long as the process."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._now))
        except OSError as error:
            logger().emit(Event.STATE_UNWRITABLE, detail=str(error.strerror))
