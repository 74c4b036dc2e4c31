"""Ledger and metadata over crashes: what is committed is true, and nothing that is not settled is ever left out.

The world is a log of records and the set of offsets that have their outcome; the owner under test is killed at any
moment, and its heir begins with any commit that was ever stored: a late commit of a previous owner may overwrite a
newer one.
"""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.core.delivery.attempt import Attempt
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.statement import MAX_CHARACTERS, decode


@dataclass
class FakeRecord:
    """A record as far as a ledger looks at one."""

    offset: int
    timestamp: int
    topic: str = "t"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = b"12"
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Commit:
    """A stored position with its metadata, and what its owner knew to be settled above it."""

    position: int
    metadata: str
    known: frozenset[int]
    attempts: dict[int, int]


class Restarts(RuleBasedStateMachine):
    """One partition and its owners, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[int, FakeRecord] = {}
        self.end = 0
        self.settled: set[int] = set()
        self.account = Account()
        self.commits = [Commit(0, "", frozenset(), {})]
        self._begin(self.commits[0])

    def _begin(self, commit: Commit) -> None:
        stated = decode(commit.metadata, commit.position)
        self.ledger = PartitionLedger("t", 0, commit.position, self.account, replay_until=0, stated=stated)
        self.told = commit if commit.position in self.log else Commit(commit.position, "", frozenset(), {})
        self.known = set(self.told.known)
        self.stated = commit.known
        """What is handed on until something was read: true, whether or not the record at the position still exists."""
        self.open: dict[int, OpenRecord] = {}

    def _unread(self) -> list[FakeRecord]:
        return [record for offset, record in sorted(self.log.items()) if offset >= self.ledger.next_offset]

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=8))
    def records_are_produced(self, gaps: list[int]) -> None:
        for gap in gaps:
            offset = self.end + gap
            self.log[offset] = FakeRecord(offset, timestamp=1000 + 10 * offset)
            self.end = offset + 1

    @precondition(lambda self: self._unread())
    @rule(count=st.integers(1, 6))
    def the_owner_reads(self, count: int) -> None:
        read = self._unread()[:count]
        assert self.ledger.verify(read[0])
        opened = [record.offset for record in self.ledger.open(read, value_bytes=2 * len(read))]
        left_out = {record.offset for record in read} - set(opened)
        assert left_out <= self.settled, "a record without an outcome was left out"
        assert left_out == self.told.known & {record.offset for record in read}, "told, and still sent again"
        for offset in opened:
            self.open[offset] = OpenRecord(self.log[offset], self.ledger, str(offset), b"{}")
            assert self.open[offset].attempts == self.told.attempts.get(offset, 0)

    @precondition(lambda self: not self._unread())
    @rule(markers=st.integers(0, 2))
    def the_client_passes_markers(self, markers: int) -> None:
        self.end += markers
        self.ledger.advance(self.end)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def a_record_is_delivered(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.open)))
        del self.open[offset]
        self.ledger.deliver([offset])
        self.settled.add(offset)
        self.known.add(offset)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_refunded=st.booleans())
    def an_attempt_fails(self, data: st.DataObject, *, is_refunded: bool) -> None:
        attempt = Attempt(started_at=0.0, is_probe=False, calls=1, term=0, is_refunded=is_refunded)
        self.open[data.draw(st.sampled_from(sorted(self.open)))].charge(attempt, failed_at=1.0)

    @rule(limit=st.sampled_from([MAX_CHARACTERS, MAX_CHARACTERS, 0, 11, 18, 20, 22, 24, 30]))
    def a_commit_is_stored(self, limit: int) -> None:
        position, metadata = self.ledger.to_commit(limit)
        assert len(metadata) <= limit
        assert position >= self.told.position, "an owner never goes back"
        assert {offset for offset in self.log if offset < position} <= self.settled
        stated = decode(metadata, position)
        claimed = {offset for offset in self.log if stated is not None and stated.is_settled(offset)}
        assert claimed <= self.settled
        has_read = self.ledger.next_offset > self.told.position
        known = frozenset(offset for offset in (self.known if has_read else self.stated) if offset >= position)
        if limit == MAX_CHARACTERS:
            assert claimed == known & self.log.keys(), "known, and not handed on"
        attempts = {offset: stated.attempts(offset) for offset in self.log if stated is not None}
        self.commits.append(Commit(position, metadata, frozenset(claimed), attempts))

    @rule(data=st.data())
    def the_owner_is_killed(self, data: st.DataObject) -> None:
        back = data.draw(st.sampled_from([1, 1, 1, 2, 3, 9]))
        self.ledger.fence()
        self._begin(self.commits[-min(back, len(self.commits))])

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def compaction_takes_a_record(self, data: st.DataObject) -> None:
        """Whatever it takes nobody wants any more; an owner that has begun may still rely on what it was told."""
        offset = data.draw(st.sampled_from(sorted(self.log)))
        is_unverified = self.ledger.next_offset == self.told.position == offset
        del self.log[offset]
        if is_unverified:
            self.told = Commit(offset, "", frozenset(), {})
            self.known = set()

    @invariant()
    def everything_adds_up(self) -> None:
        assert self.account.unaccounted(self.ledger.open_records) == 0
        assert self.ledger.open_records == len(self.open)

    @invariant()
    def no_open_record_lies_below_the_position(self) -> None:
        assert self.ledger.position <= min(self.open, default=self.ledger.next_offset)


TestRestarts = Restarts.TestCase
