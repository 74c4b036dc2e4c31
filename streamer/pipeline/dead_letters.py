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

from streamer.core.dead_letters.letter import COMPLETE, Composer, Form, Refusal, next_form, printable
from streamer.core.dead_letters.tally import Tally, Told
from streamer.core.errors import UnavailableError
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import DeadLetterReason, Record
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import RefusedWriteError
from streamer.logs import Event, logger, place_of
from streamer.pipeline.contact import Contact
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.guarding import Guarding
from streamer.pipeline.ports import LetterWriter
from streamer.pipeline.subscription import Subscription
from streamer.timings import Timings
from streamer.tracing import tracer

MAX_WRITES_AT_ONCE: Final = 100

MAX_UNCLEAR_REFUSALS: Final = 5
"""After so many, an answer that may mean a broker in trouble counts as a refusal for good."""


class DeadLetters:
    """The dead letters of one integration."""

    def __init__(
        self,
        writer: LetterWriter,
        *,
        subscription: Subscription,
        memory: GuardMemory,
        contact: Contact,
        timings: Timings,
        on_written: Callable[[PendingLetter], None],
        on_guarded: Callable[[int, int, PendingLetter], None],
    ) -> None:
        """Begin with nothing to write.

        Args:
            writer: writes and confirms.
            subscription: of the records: the topics of their dead letters, what the headers name, and when the mass
                guard stops the integration.
            memory: keeps what the guards have seen for the next pipeline.
            contact: knows whether the brokers answer.
            timings: how long to wait for a confirmation, and after a failure.
            on_written: called with each confirmed dead letter, to end its record.
            on_guarded: called once when a guard trips, with how many of the last records were set aside, of how many,
                and the last one of them.
        """
        self._writer = writer
        self._integration = subscription.name
        self._topic_of = subscription.dead_letter_topics.__getitem__
        self._has_calls = subscription.has_calls
        self._composer = Composer(
            integration=subscription.name,
            destination=subscription.destination,
            instance=os.getpid(),
            mapping_version=MAPPING_VERSION,
            replay=subscription.replay,
        )
        self._contact = contact
        self.guards = Guarding(subscription.max_ratio, memory)
        """Must be told of what is not set aside, too."""
        self._tally = Tally()
        self._told_of = 0, 0
        """How many records were mapped, and how many calls answered, when lines were last written."""
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

    def add(self, letters: Sequence[PendingLetter], *, among: Sequence[Record] = ()) -> None:
        """Set records of one stage aside, unless its guard shows that the fault cannot be theirs.

        Args:
            letters: for those that are set aside.
            among: see `Guarding.note_letters`.
        """
        if not letters:
            return
        evidence = self.guards.note_letters(letters, among)
        self._waiting.extend(letters)
        if self.is_guarded:
            return
        if evidence is not None:
            self.guard()
            self.guards.remember()
            self._on_guarded(*evidence, letters[-1])
        else:
            self._work.set()

    def guard(self) -> None:
        """Write nothing any more; records to be set aside stay open."""
        self.is_guarded = True
        self._work.clear()

    def release(self) -> None:
        """Write again, beginning with what the guard has kept back: an operator has seen it. The guard counts anew."""
        self.is_guarded = False
        self.guards.pardon()
        if self._waiting:
            self._work.set()

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
        self.guards.remember()
        try:
            await self._write_all()
        finally:
            self.guards.remember()
            self.tell(is_end=True)

    async def _write_all(self) -> None:
        failures = 0
        while True:
            await self._work.wait()
            if self.is_guarded:
                continue  # the guard has tripped since this was woken: there is no work any more
            self.guards.remember_news()  # first: what is written counts, also after a kill
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
            with tracer().letter(self._integration, topic, letter.record, letter.reason, letter.message_id):
                await self._writer.write(
                    topic, outgoing, outgoing.headers, timeout_seconds=self._timings.letter_timeout
                )
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
        detail = printable(letter.detail)
        told = self._tally.note(
            letter.record,
            letter.reason,
            detail if form.has_value else f"{detail} {_WITHOUT_VALUE}",
            dead_letter_topic=topic,
            message_id=letter.message_id,
            was_sent=letter.opened is not None,
        )
        if told is not None:
            self._emit(told)

    def tell(self, *, is_end: bool = False) -> None:
        """Log the dead letters that were not logged at once, as far as they are due; call it once a minute.

        Args:
            is_end: whether all of them are due.
        """
        mapped, answered = self.guards.mapped - self._told_of[0], self.guards.answered - self._told_of[1]
        self._told_of = self.guards.mapped, self.guards.answered
        for told in self._tally.take(mapped=mapped, answered=answered, is_end=is_end):
            self._emit(told)

    def _emit(self, told: Told) -> None:
        logger().emit(
            Event.CALL_DEAD_LETTERED if self._has_calls else Event.EVENT_DEAD_LETTERED,
            integration=self._integration,
            topic=told.topic,
            partition=told.partition,
            offset=told.offset,
            reason=told.reason,
            detail=told.detail,
            dead_letter_topic=told.dead_letter_topic,
            message_id=told.message_id,
            records=told.records,
            next_step=self._next_step(told),
            share=round(told.records / told.among, 3) if told.among else None,
        )

    def _next_step(self, told: Told) -> str | None:
        if self._has_calls:
            return None
        redrive = f"streamer dlq redrive --integration {self._integration} --reason {told.reason} --execute"
        if told.reason is DeadLetterReason.INTERNAL_ERROR:
            return f"Report this line as a bug. No record is lost: once it is corrected, run {redrive}."
        return f"Correct what detail says, together with the producer. Then run {redrive}. No record is lost."

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
