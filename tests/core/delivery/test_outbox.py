"""Which calls go next, and probes that are taken far apart."""

from collections.abc import Iterable
from typing import NamedTuple, cast

from streamer.core.delivery.attempt import Attempt, Wanted
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.bisection import Bisection
from streamer.core.delivery.outbox import Outbox, Shipment
from streamer.core.delivery.parked import Parked
from streamer.core.model import Record
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord


class FakeRecord(NamedTuple):
    """A record as far as the core looks at one."""

    topic: str
    partition: int
    offset: int
    value: bytes = b"{}"


class Waiting:
    """An outbox, and calls of two partitions."""

    def __init__(self) -> None:
        batcher: Batcher[OpenRecord] = Batcher(max_bytes=10_000, max_calls=2, linger_seconds=0.0, envelope_bytes=0)
        self.outbox = Outbox(batcher, Parked(max_per_partition=100, max_bytes=10_000))
        self.ledgers = [PartitionLedger("t", number, 0, Account()) for number in range(2)]

    def calls(self, offsets: Iterable[int], partition: int = 0) -> list[OpenRecord]:
        ledger = self.ledgers[partition]
        records = [cast("Record", FakeRecord("t", partition, offset)) for offset in offsets]
        return [OpenRecord(record, ledger, f"{partition}_{record.offset}", b"{}") for record in records]

    def park(self, calls: list[OpenRecord]) -> None:
        """They fail alone, and are due again at once."""
        for call in calls:
            attempt = Attempt(0.0, is_probe=False, calls=1, term=0)
            call.charge(attempt, 0.0)
            self.outbox.park([call], 0.0, attempt)
        self.outbox.release_due(0.0)

    def next(self, **wanted: bool) -> list[str]:
        return ids_of(self.outbox.take(0.0, Wanted(max_bytes=10_000, **wanted)))

    def probe(self) -> list[str]:
        return self.next(is_probe=True)


def ids_of(shipment: Shipment | None) -> list[str]:
    return [] if shipment is None else [call.message_id for call in shipment.records]


def test_divided_batches_go_before_retries_and_these_before_fresh_calls() -> None:
    waiting = Waiting()
    waiting.outbox.add(waiting.calls(range(3)), 0.0)
    waiting.park(waiting.calls([10, 11]))
    waiting.outbox.go_on(Bisection(waiting.calls(range(20, 22)), evidence=True))
    assert [waiting.next() for _ in range(6)] == [["0_20"], ["0_10"], ["0_11"], ["0_0", "0_1"], ["0_2"], []]


def test_with_one_permit_retries_and_fresh_calls_alternate() -> None:
    waiting = Waiting()
    waiting.outbox.add(waiting.calls(range(4)), 0.0)
    waiting.park(waiting.calls(range(10, 14)))
    taken = [waiting.next(takes_turns=True) for _ in range(7)]
    assert taken == [["0_10"], ["0_0", "0_1"], ["0_11"], ["0_2", "0_3"], ["0_12"], ["0_13"], []]


def test_retries_wait_while_their_share_is_used_up() -> None:
    waiting = Waiting()
    waiting.park(waiting.calls([0]))
    assert waiting.outbox.due_at(Wanted(max_bytes=1, may_resend=False)) is None
    assert waiting.next(may_resend=False) == []
    assert waiting.outbox.due_at(Wanted(max_bytes=1)) is not None
    assert waiting.next() == ["0_0"]


def test_unrelated_calls_are_the_newest() -> None:
    waiting = Waiting()
    waiting.outbox.put_back(waiting.calls([8, 9]))
    waiting.outbox.add(waiting.calls(range(6)), 0.0)
    assert waiting.next(is_unrelated=True) == ["0_4", "0_5"]
    assert waiting.next(is_unrelated=False) == ["0_8", "0_9"]


def test_without_fresh_calls_whatever_is_due_must_do() -> None:
    waiting = Waiting()
    waiting.park(waiting.calls([0]))
    assert waiting.next(is_unrelated=True) == ["0_0"]


def test_a_probe_is_of_another_partition_than_the_one_before() -> None:
    waiting = Waiting()
    waiting.outbox.add(waiting.calls(range(3), partition=1), 0.0)
    waiting.outbox.add(waiting.calls(range(300)), 0.0)
    probes = [waiting.probe() for _ in range(4)]
    assert [probe[0] for [probe] in probes] == ["0", "1", "0", "1"]
    assert probes[0] == ["0_299"], "the newest call first"
    assert len({probe for [probe] in probes}) == 4


def test_a_probe_may_be_a_call_that_failed_with_others() -> None:
    """The good ones may all be among them, beside thousands of fresh ones that fail."""
    waiting = Waiting()
    waiting.outbox.add(waiting.calls(range(300)), 0.0)
    waiting.outbox.put_back_halves(waiting.calls([900, 901]))
    probes = [waiting.probe() for _ in range(3)]
    assert ["0_900"] in probes
    assert len(list(waiting.outbox)) == 302 - 3


def test_probes_end_the_search_in_divided_batches_when_nothing_else_is_left() -> None:
    waiting = Waiting()
    waiting.outbox.go_on(Bisection(waiting.calls(range(4)), evidence=True))
    assert sorted(waiting.probe() for _ in range(4)) == [["0_0"], ["0_1"], ["0_2"], ["0_3"]]
    assert waiting.probe() == []
