"""The worker that applies calls to the directory: many calls, one transaction, then their outcomes.

Calls of all partitions wait in one queue, in the order of their arrival, so those of a partition stay in order. One
task takes a slice of them, reads it, and applies it in one transaction. Nothing of a call is in the directory before
the commit, and all of it is afterwards, its messageId included: a call that is read again is a duplicate.

- Calls that nobody can apply are set aside while the slice is read. The others do not wait for their dead letters.
- The database cannot be used: the slice goes back into the queue, and is tried again after 1, 2, 4 .. 30 s.
- A bug of ours on one call: it alone is set aside. If it is not known which one it is, ever smaller slices find it. A
  bug on whatever call ends the pipeline instead: it cannot be the calls' fault.
- A partition is taken away: its waiting calls are forgotten. Those in a transaction are applied, and the next owner
  of the partition finds them to be duplicates.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from streamer.core.delivery.limiting import Limit
from streamer.core.errors import UnavailableError
from streamer.core.inbound.call import Applied, CallOutcome, Rejected
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.model import Outcome, Record
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.pending_letter import PendingLetter
from streamer.inbound.availability import Availability, Backoff
from streamer.inbound.bugs import Bugs
from streamer.inbound.letters import Letters
from streamer.inbound.ports import Directory
from streamer.inbound.slices import Slices, Taken
from streamer.inbound.tally import Tally
from streamer.inbound.transacting import CALLS_AT_ONCE, GuiltyError, transact
from streamer.kafka import TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.dead_letters import DeadLetters
from streamer.timings import Timings
from streamer.tracing import tracer

USER: Final = "calls"
"""Name of this user of the directory."""

_OUTCOMES: Final = {
    CallOutcome.APPLIED: Outcome.DELIVERED,
    CallOutcome.DUPLICATE: Outcome.DUPLICATE,
    CallOutcome.IGNORED: Outcome.FILTERED,
}


class Applier:
    """Applies the calls of one pipeline: a `streamer.pipeline.worker.Worker`."""

    def __init__(
        self,
        name: str,
        *,
        directory: Directory,
        rules: Rules,
        custody: Custody,
        dead_letters: DeadLetters,
        tally: Tally,
        availability: Availability,
        on_applied: Callable[[], None],
        timings: Timings,
    ) -> None:
        """Join the parts that a call meets.

        Args:
            name: for the log.
            directory: where calls are applied.
            rules: what decides about them.
            custody: where records begin and end.
            dead_letters: takes records to set aside.
            tally: counts calls, and logs them.
            availability: is told whether the directory can be used.
            on_applied: called after each transaction.
            timings: how long to wait for what.
        """
        self._name = name
        self._directory = directory
        self.rules = rules
        """What decides; may be replaced at any moment."""
        self._custody = custody
        self._dead_letters = dead_letters
        self._tally = tally
        self._availability = availability
        self._on_applied = on_applied
        self._timings = timings
        self._backoff = Backoff(timings.directory_retry)
        self._letters = Letters(tally)
        self._waiting = Slices()
        self._in_hand: list[Taken] = []
        """The slice that is being read or applied."""
        self._unread = Bugs()
        self._unapplied = Bugs()
        self._try_at = 0.0
        """Monotonic second before which nothing is tried, because the directory could not be used."""
        self._work = asyncio.Event()
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._is_quiet = False
        self.moved_at = time.monotonic()
        """When a transaction last began or ended."""
        self.parked_bytes = 0
        """None are parked."""
        self.prepare = None
        """Calls are read when they are applied."""

    @property
    def under_way(self) -> int:
        """Transactions that have begun and not ended."""
        return int(not self._at_rest.is_set())

    def parked_in(self, _partition: TopicPartition) -> int:
        """None: a call that cannot be applied now stays in the queue."""
        return 0

    def records_held(self) -> int:
        """Records that wait or are being applied; dead letters are not."""
        return sum(not taken.ledger.is_fenced for held in (self._waiting, self._in_hand) for taken in held)

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Take records of one partition, in the order of their offsets."""
        opened = self._custody.open(records, ledger)
        if opened:
            self._custody.keep(opened, ledger)
            self._waiting.add(opened, ledger)
            self._work.set()

    def letter_written(self, letter: PendingLetter) -> None:
        """The broker has confirmed a dead letter: end its record."""
        if not letter.ledger.is_fenced:
            self._custody.dead_letter(letter)
            self._letters.confirmed(letter)

    async def run(self) -> None:
        """Apply until cancelled; then everything is left open."""
        try:
            while True:
                await self._wait_for_work()
                self._in_hand = self._waiting.next()
                self._at_rest.clear()
                self.moved_at = time.monotonic()
                try:
                    await self._apply()
                finally:
                    self._in_hand = []
                    self.moved_at = time.monotonic()
                    self._at_rest.set()
        finally:
            self._availability.rests(USER)

    def is_due(self, now: float) -> bool:
        """Whether calls wait and could be applied; ``now`` in monotonic seconds."""
        return bool(self._waiting) and not self._is_quiet and self._try_at <= now

    def is_overdue(self, now: float) -> bool:
        """Whether calls could be applied and are not."""
        return self.is_due(now) and not self.under_way

    def limited_by(self, now: float) -> Limit | None:
        """Why no transaction could begin now; None: one could."""
        if self._try_at > now:
            return Limit.BACKING_OFF
        return Limit.CONCURRENCY if self.under_way else None

    def take_warnings(self) -> Counter[str]:
        """None: what is odd about a call is a remark, and counted as such."""
        return Counter()

    async def quiesce(self, timeout_seconds: float) -> None:
        """Begin no transaction, and wait for the one under way, at most so long."""
        self._is_quiet = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._at_rest.wait()
        except TimeoutError:
            logger().emit(
                Event.DRAIN_INCOMPLETE,
                integration=self._name,
                requests=self.under_way,
                next_step="No action is needed: calls that are applied all the same are duplicates when they are read"
                " again.",
            )

    def resume(self) -> None:
        """Begin transactions again."""
        self._is_quiet = False
        self._work.set()

    def drop_fenced(self) -> None:
        """Forget calls whose assignment has ended, but for those in a transaction."""
        self._waiting.drop_fenced()
        self._letters.drop_fenced()
        if not self._waiting and not self.under_way:
            self._try_at = 0.0
            self._availability.rests(USER)

    async def _wait_for_work(self) -> None:
        while not self.is_due(time.monotonic()):
            self._work.clear()
            is_idle = self._is_quiet or not self._waiting
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if is_idle else self._try_at - time.monotonic()):
                    await self._work.wait()

    async def _apply(self) -> None:
        await self._read()
        if not self._in_hand:
            return
        began = time.monotonic()
        try:
            with tracer().process("apply", self._name, self._in_hand):
                ends = await transact(
                    [taken.call for taken in self._in_hand if taken.call is not None],
                    directory=self._directory,
                    rules=self.rules,
                    timeout_seconds=self._timings.directory_transaction,
                )
        except UnavailableError as error:
            self._waiting.put_back(self._in_hand)
            self._try_at = time.monotonic() + self._backoff.next_seconds()
            self._availability.failed(USER, error)
        except GuiltyError as error:
            # The calls before it are known to be good, so the next slice is made of them.
            self._waiting.narrow(error.index)
            self._set_aside_for_bug(error.index, error.cause)
        except Exception as error:  # noqa: BLE001 - a bug of ours on one call must not stop the others
            self._look_for_bug(error)
        else:
            # No await from here on: a slice ends as a whole or not at all.
            self._settle(ends)
            self._tally.transaction_seconds.observe(time.monotonic() - began)
            self._on_applied()
            self._availability.worked(USER)
            self._backoff.reset()
            self._unapplied.end()
            self._waiting.widen()

    async def _read(self) -> None:
        """Read what was not read at an earlier attempt, and set aside what nobody can apply."""
        slice_ = self._in_hand
        for start in range(0, len(slice_), CALLS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            chunk = [taken for taken in slice_[start : start + CALLS_AT_ONCE] if taken.call is None]
            letters = [letter for letter in map(self._read_one, chunk) if letter is not None]
            if letters:
                records = {id(letter.record) for letter in letters}
                self._in_hand = [taken for taken in self._in_hand if id(taken.record) not in records]
                self._dead_letters.add([letter for letter in letters if not letter.ledger.is_fenced])
            self._dead_letters.guards.note_mapped(len(chunk) - len(letters))

    def _read_one(self, taken: Taken) -> PendingLetter | None:
        record = taken.record
        try:
            found = read(record.value, record.headers, record.timestamp, self.rules)
        except Exception as error:  # noqa: BLE001 - a bug of ours on one call must not stop the others
            self._unread.note(error)
            return self._letters.for_bug(taken, error)
        self._unread.end()
        if isinstance(found, Rejected) and found.message_id is None:
            return self._letters.for_rejected(taken, found)
        taken.call = found
        return None

    def _settle(self, ends: Sequence[Applied]) -> None:
        letters: list[PendingLetter] = []
        for taken, end in zip(self._in_hand, ends, strict=True):
            call, ledger = taken.call, taken.ledger
            assert call is not None, "it was read"
            if end.outcome is not CallOutcome.DEAD_LETTERED:
                ends_here = self._custody.end(taken.record, ledger, _OUTCOMES[end.outcome], end.reason)
                self._tally.note(taken.record.partition, call, end, ends_here=ends_here)
            elif isinstance(call, Rejected) and not ledger.is_fenced:
                letters.append(self._letters.for_rejected(taken, call))
        self._dead_letters.add(letters)

    def _look_for_bug(self, error: Exception) -> None:
        """A transaction raised, and nobody knows because of which call: try smaller slices."""
        if len(self._in_hand) > 1:
            self._waiting.narrow(len(self._in_hand) // 2)
            self._waiting.put_back(self._in_hand)
        else:
            self._set_aside_for_bug(0, error)

    def _set_aside_for_bug(self, index: int, error: Exception) -> None:
        self._unapplied.note(error)
        taken = self._in_hand[index]
        self._waiting.put_back([*self._in_hand[:index], *self._in_hand[index + 1 :]])
        if not taken.ledger.is_fenced:
            self._dead_letters.add([self._letters.for_bug(taken, error)])
