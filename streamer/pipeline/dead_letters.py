"""Records set aside with their reason: written to the dead-letter topic, ended once the broker has confirmed.

A dead letter that cannot be written for now keeps its record open and is tried again. One that the broker does not take
as it is goes alone, in forms with less and less (`streamer.core.dead_letters.letter`). When too large a share of an
integration's last records would be set aside, the mass guard stops the integration instead: the records that triggered
it stay open, on Kafka.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from streamer.core.dead_letters.guard import WINDOW, MassGuard
from streamer.core.dead_letters.letter import COMPLETE, Composer, Form, Refusal, next_form, printable
from streamer.core.errors import UnavailableError
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import DeadLetterReason, Record
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import RefusedWriteError
from streamer.logs import Event, logger, place_of
from streamer.pipeline.contact import Contact
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.ports import LetterWriter
from streamer.timings import Timings

MAX_WRITES_AT_ONCE: Final = 100

MAX_UNCLEAR_REFUSALS: Final = 5
"""After so many, an answer that may mean a broker in trouble counts as a refusal for good."""


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
        memory: GuardMemory,
        contact: Contact,
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
            memory: keeps what the guards have seen for the next pipeline.
            contact: knows whether the brokers answer.
            timings: how long to wait for a confirmation, and after a failure.
            on_written: called with each confirmed dead letter, to end its record.
            on_guarded: called once when a guard trips, with how many of the last records were set aside, and of how
                many.
        """
        self._writer = writer
        self._integration = integration
        self._composer = Composer(
            integration=integration, destination=destination, instance=os.getpid(), mapping_version=MAPPING_VERSION
        )
        self._topic_of = topic_of
        self._memory = memory
        self._contact = contact
        self._mapping_guard = MassGuard(max_ratio, memory.window(_MAPPING))
        self._delivery_guard = MassGuard(max_ratio, memory.window(_DELIVERY))
        self._to_remember = 0
        """How many records the guards have seen since the last note, if any of them matters to the next pipeline."""
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
        self._note_passed(self._mapping_guard, records)

    def note_settled(self, records: Sequence[Record]) -> None:
        """Note, for the guard, records that an earlier assignment has settled; those it has set aside count as that."""
        self.note_mapped(sum(not self._mapping_guard.knows(record) for record in records))

    def note_delivered(self, records: int) -> None:
        """Note, for the guard, calls that the destination accepted, now or earlier."""
        self._delivery_guard.passed(records)
        self._note_passed(self._delivery_guard, records)

    def add(self, letters: Sequence[PendingLetter]) -> None:
        """Set records of one stage aside, unless its guard shows that the fault cannot be theirs."""
        if not letters:
            return
        guard = self._mapping_guard if letters[0].opened is None else self._delivery_guard
        # Retries that ran out say something about the destination as well, and come hours after everything else.
        counted = [letter.record for letter in letters if letter.reason is not DeadLetterReason.RETRIES_EXHAUSTED]
        guard.set_aside(counted)
        self._to_remember += len(counted)
        self._waiting.extend(letters)
        if self.is_guarded:
            return
        if counted and guard.is_tripped:
            self.guard()
            self._remember()
            self._on_guarded(guard.bad, guard.seen)
        else:
            self._work.set()

    def _note_passed(self, guard: MassGuard, records: int) -> None:
        """Let the next pipeline know of records that passed after some were set aside, now and then."""
        if self._to_remember or guard.bad:
            self._to_remember += records
            if self._to_remember >= WINDOW:
                self._remember()

    def _remember(self) -> None:
        self._to_remember = 0
        self._memory.note({_MAPPING: self._mapping_guard.to_json(), _DELIVERY: self._delivery_guard.to_json()})

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
        self._remember()
        try:
            await self._write_all()
        finally:
            self._remember()

    async def _write_all(self) -> None:
        failures = 0
        while True:
            await self._work.wait()
            if self.is_guarded:
                continue  # the guard has tripped since this was woken: there is no work any more
            if self._to_remember:
                self._remember()  # first: what is written counts, also after a kill
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
                tasks = [writes.create_task(self._write(letter, COMPLETE)) for letter in chosen]
            for letter, task in zip(chosen, tasks, strict=True):
                if task.result() is not None:
                    # The client writes several in one request, and then the refusal of one is that of all.
                    await self._write_alone(letter)
        finally:
            unwritten = [letter for letter in chosen if letter in self._writing]
            self._writing.clear()
            # To the end: many that cannot be written must not keep the others from their turn.
            self._waiting.extend(unwritten)
            self._progress.set()
        if self._waiting and not self.is_guarded:
            self._work.set()
        return bool(unwritten)

    async def _write_alone(self, letter: PendingLetter) -> None:
        """Write one that the broker does not take in its complete form in the first form that it does take."""
        form: Form | None = COMPLETE
        refusal: Refusal | None = None
        while form is not None:
            refusal = await self._write(letter, form)
            if refusal is None:
                return
            if refusal is Refusal.UNCLEAR and letter.unclear_refusals >= MAX_UNCLEAR_REFUSALS:
                refusal = Refusal.RULE
            form = next_form(form, refusal, has_key=letter.record.key is not None)
        letter.unclear_refusals += refusal is Refusal.UNCLEAR
        self._tell_failure(letter, _MEANINGS[refusal or Refusal.UNCLEAR])

    async def _write(self, letter: PendingLetter, form: Form) -> Refusal | None:
        """Write one. It is being written until the broker has confirmed it, or its assignment has ended.

        Returns:
            Why the broker does not take it in this form; None: it is written, or it cannot be written for now.
        """
        if letter.ledger.is_fenced:
            self._writing.discard(letter)
            return None
        try:
            topic = self._topic_of(letter.record.topic)
            outgoing = self._composer.compose(letter, form, now=time.time())
            await self._writer.write(topic, outgoing, outgoing.headers, timeout_seconds=self._timings.letter_timeout)
        except RefusedWriteError as error:
            return error.refusal
        except UnavailableError as error:
            # That brokers do not answer is said once, for all that waits for them.
            if not self._contact.is_missed():
                self._tell_failure(letter, str(error))
            return None
        except Exception as error:  # noqa: BLE001 - whatever one of them does to the client, the others must go on
            self._tell_failure(letter, f"a bug in streamer: {type(error).__name__} at {place_of(error)}")
            return Refusal.UNCLEAR
        self._writing.discard(letter)
        self._tell_written(letter, topic, form)
        self._on_written(letter)
        return None

    def _tell_written(self, letter: PendingLetter, topic: str, form: Form) -> None:
        record = letter.record
        detail = printable(letter.detail)
        logger().emit(
            Event.EVENT_DEAD_LETTERED,
            integration=self._integration,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=letter.reason,
            detail=detail if form.has_value else f"{detail} {_WITHOUT_VALUE}",
            dead_letter_topic=topic,
            message_id=letter.opened.message_id if letter.opened is not None else None,
        )

    def _tell_failure(self, letter: PendingLetter, detail: str) -> None:
        topic: str | None = None
        with contextlib.suppress(Exception):  # it may be what failed
            topic = self._topic_of(letter.record.topic)
        logger().emit(
            Event.DEAD_LETTER_FAILED,
            integration=self._integration,
            topic=letter.record.topic,
            partition=letter.record.partition,
            offset=letter.record.offset,
            dead_letter_topic=topic,
            detail=detail,
        )


_MAPPING: Final = "mapping"
_DELIVERY: Final = "delivery"
"""Names of the two stages in the memory of the guard."""

_WITHOUT_VALUE: Final = (
    "(the dead-letter topic did not accept key and value of the record: they are only in its source topic)"
)

_MEANINGS: Final = {
    Refusal.TOO_LARGE: "the dead-letter topic accepts no record of this size, even without a value: see its"
    " max.message.bytes",
    Refusal.TIME: "the dead-letter topic accepts neither the present time nor the time of the record: see its"
    " message.timestamp settings, and compare the clocks of this machine and of the brokers",
    Refusal.RULE: "the dead-letter topic accepts this dead letter in no form: see its settings",
    Refusal.UNCLEAR: "the broker answered with an error that the Kafka client does not know",
}
