"""What the watchdog takes for a stall, and what it leaves alone."""

from dataclasses import dataclass, field
from typing import cast

import pytest
from structlog.testing import capture_logs

from streamer.core.errors import UnavailableError
from streamer.core.records.obstacles import PartitionFault
from streamer.kafka import Source, TopicPartition
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.reader import Reader
from streamer.pipeline.watchdog import UNFETCHED, StalledError, Watchdog
from streamer.pipeline.worker import Worker
from streamer.timings import PRODUCTION, Timings

NOW = 10_000.0
EPOCH = 1_790_000_000.0
LONG_AGO = PRODUCTION.stalled_after + 1
PARTITION = TopicPartition("surveys", 3)


@dataclass
class Parts:
    """The parts of a pipeline, as far as a watchdog looks at them; all of them move."""

    is_restored: bool = True
    turned_at: float = NOW
    reads_since: float | None = NOW - 1_000
    moved_at: float = NOW
    overdue: bool = False
    fetched: dict[TopicPartition, float] = field(default_factory=lambda: {PARTITION: EPOCH})
    left_out: object = None
    waiting: bool = False
    """Whether what was fetched waits to be polled."""

    def flowing(self) -> set[TopicPartition]:
        return set(self.fetched)

    def fetched_at(self, partition: TopicPartition) -> float | None:
        return self.fetched[partition] or None

    def has_fetched(self, _partition: TopicPartition) -> bool:
        return self.waiting

    def is_overdue(self, _now: float) -> bool:
        return self.overdue

    def watchdog(self, timings: Timings = PRODUCTION, contact: Contact | None = None) -> Watchdog:
        return Watchdog(
            "surveys",
            source=cast("Source", self),
            assignment=cast("Assignment", self),
            reader=cast("Reader", self),
            worker=cast("Worker", self),
            dead_letters=cast("DeadLetters", None),
            contact=contact or Contact("surveys", timings),
            timings=timings,
        )

    def stall(self) -> str | None:
        return self.watchdog().stall(NOW, EPOCH)


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        (Parts(turned_at=NOW - LONG_AGO), "reader"),
        (Parts(turned_at=NOW - PRODUCTION.rebalance - 1, is_restored=False), "rebalance"),
        (Parts(moved_at=NOW - LONG_AGO, overdue=True), "work"),
        (Parts(fetched={PARTITION: EPOCH - LONG_AGO}), "fetch of surveys-3"),
    ],
)
def test_what_makes_no_progress_for_too_long_is_named(parts: Parts, cause: str) -> None:
    assert parts.stall() == cause


@pytest.mark.parametrize(
    "parts",
    [
        Parts(),
        Parts(turned_at=NOW - LONG_AGO, is_restored=False),
        Parts(moved_at=NOW - LONG_AGO),
        Parts(fetched={PARTITION: EPOCH - LONG_AGO}, reads_since=None),
        Parts(fetched={PARTITION: EPOCH - LONG_AGO}, reads_since=NOW - 5),
        Parts(fetched={PARTITION: EPOCH - LONG_AGO}, waiting=True),
        Parts(fetched={PARTITION: 0}),
        Parts(fetched={}),
    ],
    ids=[
        "all moves",
        "a rebalance takes its time",
        "nothing is due",
        "nothing is read, for want of room",
        "reading has only begun again",
        "what was fetched is being used up, slowly",
        "not fetched yet",
        "no partitions",
    ],
)
def test_what_has_a_reason_to_wait_is_left_alone(parts: Parts) -> None:
    """A restart costs repeats: it must not be the answer to a long outage or an idle topic."""
    assert parts.stall() is None


def test_one_partition_that_is_not_fetched_beside_others_is_left_out_and_stops_nothing() -> None:
    """The broker may be unable to read it: a restart would not help, and cost the others their pace each time."""
    left_out: dict[TopicPartition, PartitionFault] = {}

    class Out:
        def meet(self, _source: object, partition: TopicPartition, fault: PartitionFault) -> None:
            left_out[partition] = fault

    parts = Parts(fetched={PARTITION: EPOCH - LONG_AGO, TopicPartition("surveys", 4): EPOCH})
    parts.left_out = Out()
    assert parts.stall() is None
    assert left_out == {PARTITION: UNFETCHED}


@pytest.mark.parametrize(
    ("causes", "checks"), [(["fetch", None, "fetch", "fetch"], 4), (["reader", "fetch", "fetch"], 3)]
)
async def test_a_stall_ends_the_pipeline_when_it_is_seen_at_two_consecutive_checks(
    monkeypatch: pytest.MonkeyPatch, causes: list[str | None], checks: int
) -> None:
    """Seen once, it may be a wall clock that has jumped, and with it the age of every fetch."""
    seen: list[str | None] = []

    def stall(*_: object) -> str | None:
        seen.append(causes[len(seen)])
        return seen[-1]

    monkeypatch.setattr(Watchdog, "stall", stall)
    with pytest.raises(StalledError, match="fetch"):
        await Parts().watchdog(Timings(watch_every=0, count_every=3_600)).run()
    assert len(seen) == checks


@pytest.mark.parametrize(
    ("cause", "is_heard", "expected"),
    [
        ("fetch of surveys-3", False, UnavailableError),
        ("rebalance", False, UnavailableError),
        ("fetch of surveys-3", True, StalledError),
        ("work", False, StalledError),
    ],
)
async def test_what_stands_still_for_want_of_brokers_is_no_stall_of_ours(
    monkeypatch: pytest.MonkeyPatch, cause: str, *, is_heard: bool, expected: type[Exception]
) -> None:
    """It restarts, because they may have moved; three outages in a row must not have the process killed."""
    monkeypatch.setattr(Watchdog, "stall", lambda *_: cause)
    timings = Timings(watch_every=0, count_every=3_600)
    contact = Contact("surveys", timings)
    if is_heard:
        contact.heard()
    with capture_logs() as lines, pytest.raises(expected):
        await Parts().watchdog(timings, contact).run()
    assert [line["event"] for line in lines] == (["task.stalled"] if expected is StalledError else [])
