"""The records of one integration from being read to their outcome: the one place where a record ends.

An end concerns three things that must agree: the ledger of the record's assignment, the messageIds in flight, and the
load. Every way to end a record, or to keep it without holding others up, is one method here, and changes all three.

    open --> filter                         a named rule makes no call of it
      |----> settle_known                   a receipt says that it was delivered
      `----> take --> deliver               with those attached to it
               |----> dead_letter           confirmed by the broker; also what was rejected before it became a call
               |----> take_equal            shares the verdict of a dead-lettered call: a dead letter of its own
               |----> park <--> unpark      failed alone: no load while it waits
               |----> newest, keep_newest   superseded by a newer record, where only the newest of a key counts
               `----> fence                 its assignment has ended: handed back
    open --> keep --> end                   no messageId in flight concerns it: the database says what is a duplicate

A method that ends a record without delivering it returns the *successors*: attached records that take its place, and
that the caller must send.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from streamer.core.model import FilterReason, Outcome, Record
from streamer.core.records.in_flight import InFlight
from streamer.core.records.latest import Latest
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.load import Load
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter


class Custody:
    """What one integration has in hand. The ledgers are those of its assignments."""

    def __init__(self, *, max_records: int, max_bytes: int, on_room: Callable[[], None]) -> None:
        """Begin with nothing.

        Args:
            max_records: most open records that are no failing ones, before reading stops.
            max_bytes: most bytes of memory kept for them.
            on_room: called when reading may go on.
        """
        self.load = Load(max_records=max_records, max_bytes=max_bytes, on_room=on_room)
        self._in_flight = InFlight()

    def keep_only_latest(self) -> None:
        """From the first record on: of those with one messageId only the newest one counts, because each is a state.

        Otherwise the first one counts, and the others are duplicates.
        """
        assert not len(self._in_flight), "records were taken before"
        self._in_flight = Latest()

    def open(self, records: Sequence[Record], ledger: PartitionLedger) -> Sequence[Record]:
        """Take records of one read, in ascending order; returns those that no earlier owner has settled."""
        return ledger.open(records, sum([len(record.value) for record in records if record.value is not None]))

    def filter(self, record: Record, ledger: PartitionLedger, reason: StrEnum) -> None:
        """A named rule makes no call of the record: it ends."""
        ledger.filter(record.offset, reason)

    def settle_known(self, call: OpenRecord, delivered_from: tuple[str, int, int, int]) -> bool:
        """A receipt says that the call's messageId was delivered: end its record, unless it is wanted again.

        Args:
            call: a call that was not taken yet.
            delivered_from: topic, partition and offset of the record that was delivered, and the replay in which it was
                (0: in none).

        Returns:
            Whether the record has ended.
        """
        record, ledger = call.record, call.ledger
        topic, partition, offset, replay_id = delivered_from
        if (offset, partition, topic) != (record.offset, record.partition, record.topic):
            ledger.duplicate(record.offset)
            return True
        # A receipt of this very record proves that it was delivered. But when the stored position was not made by
        # streamer, somebody has reset it and wants the record again, once.
        if ledger.trusts_receipt(offset, replay_id):
            ledger.deliver((record.offset,))
            return True
        return False

    def take(
        self, calls: Sequence[OpenRecord], letters: Sequence[PendingLetter], ledger: PartitionLedger
    ) -> list[OpenRecord]:
        """Keep what became of open records of one ledger: calls, and letters for those that never became one.

        Returns:
            The calls to send; the others are attached to a call with the same messageId.
        """
        kept_bytes = sum([call.kept_bytes for call in calls]) + sum([letter.kept_bytes for letter in letters])
        if calls or letters:
            self.load.add(ledger, len(calls) + len(letters), kept_bytes)
        going = self._in_flight.claim(calls)
        for superseded in self._in_flight.take_superseded():
            self._supersede(superseded)
        return going

    def keep(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Keep open records of one ledger that share no outcome with others: each is ended by itself."""
        self.load.add(ledger, len(records), sum([len(record.value or b"") for record in records]))

    def end(self, record: Record, ledger: PartitionLedger, outcome: Outcome, reason: StrEnum | None = None) -> bool:
        """A record that is kept has an outcome other than a dead letter.

        Args:
            record: the record.
            ledger: where it was opened.
            outcome: how it ends.
            reason: by which rule, if it is filtered.

        Returns:
            Whether it ends here; not if its assignment has ended: then it was handed back.
        """
        if ledger.is_fenced:
            return False
        if outcome is Outcome.DELIVERED:
            ledger.deliver((record.offset,))
        elif outcome is Outcome.DUPLICATE:
            ledger.duplicate(record.offset)
        else:
            assert reason is not None, "a rule has a name"
            ledger.filter(record.offset, reason)
        self.load.remove(ledger, 1, len(record.value or b""))
        return True

    def newest(self, calls: Sequence[OpenRecord]) -> Sequence[OpenRecord]:
        """The turn of these calls has come: those that go. A call for which a newer one waits is superseded by it."""
        return [self._newest(call) for call in calls] if self._in_flight.keeps_latest else calls

    def keep_newest(self, calls: list[OpenRecord]) -> tuple[list[OpenRecord], list[OpenRecord]]:
        """A request was not accepted: the calls that may be sent again, and those that have superseded the others."""
        if not self._in_flight.keeps_latest:
            return calls, []
        newest = [(call, self._newest(call)) for call in calls]
        kept = [call for call, newer in newest if newer is call]
        return kept, [newer for call, newer in newest if newer is not call]

    def take_overtaken(self) -> Sequence[OpenRecord]:
        """The calls for which a newer one waits since this was last called."""
        return self._in_flight.take_overtaken()

    def deliver(self, calls_by_ledger: Mapping[PartitionLedger, Sequence[OpenRecord]]) -> list[OpenRecord]:
        """The destination has accepted the calls, whose receipts are written: their records end.

        Returns:
            The successors, which there are only where the newest record of a key counts.
        """
        successors: list[OpenRecord] = []
        for ledger, calls in calls_by_ledger.items():
            for leader in self._in_flight.delivered(calls):
                successors += self._end_attached(leader)
            if not ledger.is_fenced:
                ledger.deliver([call.record.offset for call in calls])
                self.load.remove(ledger, len(calls), sum([call.kept_bytes for call in calls]))
        return successors

    def dead_letter(self, letter: PendingLetter) -> list[OpenRecord]:
        """The broker has confirmed a dead letter: its record ends. Returns the successors."""
        ledger = letter.ledger
        if ledger.is_fenced:
            return []
        ledger.dead_letter(letter.record.offset, letter.reason)
        self.load.remove(ledger, 1, letter.kept_bytes)
        if letter.opened is None or not self._in_flight.leads(letter.opened):
            return []  # equal to another call: a record with another one may be on its way with its messageId
        return self._succeed([letter.opened])

    def take_equal(self, letter: PendingLetter, limit: int) -> list[OpenRecord]:
        """The records that wait for a call that is about to end as dead-lettered, and whose call is the same.

        They are set aside with it, and no longer wait. At most ``limit`` of them.
        """
        if letter.opened is None or letter.ledger.is_fenced or not self._in_flight.leads(letter.opened):
            return []
        return self._in_flight.take_equal(letter.opened, limit)

    def park(self, calls: Iterable[OpenRecord]) -> None:
        """The calls failed alone and wait for their next attempt; meanwhile they are no load."""
        for call in calls:
            if not call.ledger.is_fenced:
                self.load.remove(call.ledger, 1, call.kept_bytes)

    def unpark(self, calls: Iterable[OpenRecord]) -> None:
        """The wait of calls that failed alone is over, or they are given up: they are load again."""
        for call in calls:
            if not call.ledger.is_fenced:
                self.load.add(call.ledger, 1, call.kept_bytes)

    def fence(self, ledger: PartitionLedger) -> int:
        """An assignment has ended: its open records are handed back. Returns how many they are."""
        self.load.drop(ledger)
        return ledger.fence()

    def release_fenced(self, in_requests: Collection[OpenRecord]) -> list[OpenRecord]:
        """Let go of records whose assignment has ended, but for those in a request without an answer.

        Returns:
            The successors.
        """
        return self._in_flight.release_fenced(in_requests)

    def keep_ours(self, calls: Iterable[OpenRecord]) -> tuple[list[OpenRecord], list[OpenRecord]]:
        """A request was not accepted: let go of those of its calls whose assignment has ended meanwhile.

        Returns:
            The calls that are still ours, and the successors of the others.
        """
        ours: list[OpenRecord] = []
        gone: list[OpenRecord] = []
        for call in calls:
            (gone if call.ledger.is_fenced else ours).append(call)
        return ours, self._succeed(gone)

    def find(self, message_id: str) -> OpenRecord | None:
        """The record that goes by itself with a messageId, if there is one."""
        return self._in_flight.find(message_id)

    def attached(self) -> Iterator[OpenRecord]:
        """The records that wait for the end of another one with the same messageId."""
        for leader in self._in_flight:
            yield from leader.attached or ()

    def leaders(self) -> Iterator[OpenRecord]:
        """The records whose messageId is in flight, and that go by themselves."""
        return iter(self._in_flight)

    def _succeed(self, ended: Iterable[OpenRecord]) -> list[OpenRecord]:
        successors = [self._in_flight.ended(call) for call in ended]
        return [successor for successor in successors if successor is not None]

    def _newest(self, call: OpenRecord) -> OpenRecord:
        newest = self._in_flight.newest(call)
        if newest is not call:
            self._supersede(call)
        return newest

    def _supersede(self, call: OpenRecord) -> None:
        """A newer record of its key is in hand: it ends."""
        if not call.ledger.is_fenced:
            call.ledger.filter(call.record.offset, FilterReason.SUPERSEDED)
            self.load.remove(call.ledger, 1, call.kept_bytes)

    def _end_attached(self, leader: OpenRecord) -> list[OpenRecord]:
        """What waited for a delivered call is a duplicate, or the very same record, read again after a rebalance.

        Returns:
            What is no duplicate, because it is a newer state.
        """
        newer: list[OpenRecord] = []
        for waiting in leader.attached or ():
            if waiting.ledger.is_fenced:
                continue
            if waiting.place == leader.place:
                waiting.ledger.deliver((waiting.record.offset,))
            elif self._in_flight.keeps_latest:
                newer += self._in_flight.claim([waiting])
                continue
            else:
                waiting.ledger.duplicate(waiting.record.offset)
            self.load.remove(waiting.ledger, 1, waiting.kept_bytes)
        return newer
