"""One partition without a leader, without its topic or without a right: the others go on, and so does it later."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.records.obstacles import Obstacle
from streamer.kafka import TopicPartition as Place
from streamer.service_view import check_of_reading
from streamer.status import Check
from tests.pipeline.engine import TOPIC, Engine, eventually, hand_of

OTHER = "answers"
"""A second topic of the integration."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Two topics, with two partitions and with one."""
    engine = Engine(tmp_path, topics=[TOPIC, OTHER])
    engine.cluster.create(OTHER)
    engine.cluster.create(f"{OTHER}.dlq")
    for place in (Place(TOPIC, 0), Place(TOPIC, 1), Place(OTHER, 0)):
        engine.cluster.append(place.topic, [b"0", b"1", b"2"], partition=place.partition)
    return engine


def take_leader(engine: Engine) -> None:
    engine.cluster.leaderless.add(Place(TOPIC, 1))


def give_leader(engine: Engine) -> None:
    engine.cluster.leaderless.clear()


def take_right(engine: Engine) -> None:
    engine.cluster.forbidden.add(OTHER)


def give_right(engine: Engine) -> None:
    engine.cluster.forbidden.clear()


faults = pytest.mark.parametrize(
    ("begin", "end", "place", "obstacle"),
    [
        (take_leader, give_leader, Place(TOPIC, 1), Obstacle.NO_LEADER),
        (take_right, give_right, Place(OTHER, 0), Obstacle.NOT_AUTHORISED),
    ],
    ids=["no leader", "no right"],
)


@faults
async def test_the_others_are_read_after_a_start_and_the_faulty_one_when_its_fault_is_gone(
    engine: Engine,
    begin: Callable[[Engine], None],
    end: Callable[[Engine], None],
    place: Place,
    obstacle: Obstacle,
) -> None:
    begin(engine)
    with capture_logs() as lines:
        async with engine.running() as pipeline:
            hand = hand_of(pipeline)
            await eventually(lambda: len(hand.open) == 6)
            assert place not in {Place(call.record.topic, call.record.partition) for call in hand.open}
            await eventually(lambda: any(line["event"] == "partition.left_out" for line in lines))
            fault = pipeline.assignment.left_out.fault(place)
            assert fault is not None
            assert fault.obstacle is obstacle
            since = pipeline.assignment.left_out.since(place)
            assert since is not None
            assert since < time.monotonic(), "of the first failed attempt, not of the latest"
            end(engine)
            await eventually(lambda: len(hand.open) == 9)
            await eventually(lambda: not pipeline.assignment.left_out)
    left_out = [
        (line["topic"], line["partition"], line["reason"]) for line in lines if line["event"] == "partition.left_out"
    ]
    assert left_out == [(*place, obstacle)], "it is told once"
    assert [line["partition"] for line in lines if line["event"] == "partition.resumed"] == [place.partition]


@faults
async def test_the_others_are_read_and_committed_while_it_lasts(
    engine: Engine,
    begin: Callable[[Engine], None],
    end: Callable[[Engine], None],
    place: Place,
    obstacle: Obstacle,
) -> None:
    async with engine.running() as pipeline:
        hand = hand_of(pipeline)
        await eventually(lambda: len(hand.open) == 9)
        begin(engine)
        await eventually(lambda: pipeline.assignment.left_out.fault(place))
        assert pipeline.assignment.left_out.faults()[place].obstacle is obstacle
        for each in (Place(TOPIC, 0), Place(TOPIC, 1), Place(OTHER, 0)):
            engine.cluster.append(each.topic, [b"3"], partition=each.partition)
        await eventually(lambda: len(hand.open) == 11)
        hand.deliver()
        await eventually(lambda: engine.committed(0) == 4)
        end(engine)
        await eventually(lambda: [Place(*call.place[:2]) for call in hand.open] == [place])


async def test_a_rebalance_does_not_wait_for_a_partition_without_a_leader(engine: Engine) -> None:
    async with engine.running() as first:
        await eventually(lambda: len(hand_of(first).open) == 9)
        hand_of(first).deliver()
        await eventually(lambda: engine.committed(1) == 3)
        take_leader(engine)
        async with engine.running(instance="two") as second:
            await eventually(lambda: second.assignment.is_restored and first.assignment.is_restored)
            engine.cluster.append(TOPIC, [b"3"], partition=0)
            engine.cluster.append(TOPIC, [b"3"], partition=1)
            await eventually(lambda: hand_of(first).open or hand_of(second).open)
            give_leader(engine)
            await eventually(lambda: len(hand_of(first).open) + len(hand_of(second).open) == 2)


async def test_a_partition_that_goes_on_needs_no_question_about_its_log(engine: Engine) -> None:
    """After a rebalance that gives it back, what was in hand is still ours, whether it has a leader or not."""
    async with engine.running() as pipeline:
        hand = hand_of(pipeline)
        await eventually(lambda: len(hand.open) == 9)
        hand.deliver(0, partition=1)
        await eventually(lambda: engine.committed(1) == 1)
        ledger = pipeline.assignment.ledgers[Place(TOPIC, 1)]
        take_leader(engine)
        await engine.cluster.group("streamer.surveys").rebalance()
        await eventually(lambda: pipeline.assignment.is_restored)
        assert pipeline.assignment.ledgers[Place(TOPIC, 1)] is ledger
        assert not ledger.is_fenced


async def test_readiness_tells_what_is_not_read_and_turns_when_nothing_is(engine: Engine) -> None:
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 9)
        assert check_of_reading("surveys", pipeline) == Check("surveys", ok=True)
        take_leader(engine)
        await eventually(lambda: pipeline.assignment.left_out)
        check = check_of_reading("surveys", pipeline)
        assert (check.ok, check.detail) == (True, "surveys-1 is not read: no_leader")
        engine.cluster.leaderless |= {Place(TOPIC, 0), Place(OTHER, 0)}
        await eventually(lambda: len(pipeline.assignment.left_out) == 3)
        assert not check_of_reading("surveys", pipeline).ok


async def test_a_topic_that_is_missing_at_a_start_is_named_and_the_others_are_read(engine: Engine) -> None:
    engine.cluster.delete(OTHER)
    engine.cluster.delete(f"{OTHER}.dlq")
    engine.create_topics = True
    with capture_logs() as lines:
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 6)
            await eventually(lambda: any(line["event"] == "topics.missing" for line in lines))
            check = check_of_reading("surveys", pipeline)
            assert (check.ok, check.detail) == (True, f"the topic {OTHER} is missing")
            engine.cluster.create(OTHER)
            engine.cluster.append(OTHER, [b"0"])
            await engine.cluster.group("streamer.surveys").rebalance()
            await eventually(lambda: len(hand_of(pipeline).open) == 7)
            await eventually(lambda: f"{OTHER}.dlq" in engine.cluster.logs)
            assert not check_of_reading("surveys", pipeline).detail
    assert OTHER in next(line["detail"] for line in lines if line["event"] == "topics.missing")
    assert [line["detail"] for line in lines if line["event"] == "topics.found"] == [OTHER]


async def test_a_topic_that_is_deleted_stops_no_other(engine: Engine) -> None:
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 9)
        engine.cluster.delete(OTHER)
        engine.cluster.append(TOPIC, [b"3"])
        await eventually(lambda: any(call.record.offset == 3 for call in hand_of(pipeline).open))
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed(0) == 4)
        await engine.cluster.group("streamer.surveys").rebalance()
        await eventually(lambda: pipeline.assignment.is_restored)
        engine.cluster.append(TOPIC, [b"4"])
        await eventually(lambda: any(call.record.offset == 4 for call in hand_of(pipeline).open))


async def test_a_commit_that_is_forbidden_for_one_topic_counts_for_the_others(engine: Engine) -> None:
    """The broker stores theirs. If we did not know, they would be read again after the next rebalance."""
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 9)
        take_right(engine)
        hand_of(pipeline).deliver()
        ledgers = pipeline.assignment.ledgers
        await eventually(lambda: ledgers[Place(TOPIC, 0)].committed == ledgers[Place(TOPIC, 1)].committed == 3)
        assert ledgers[Place(OTHER, 0)].committed != 3
        give_right(engine)
        await eventually(lambda: ledgers[Place(OTHER, 0)].committed == 3)
