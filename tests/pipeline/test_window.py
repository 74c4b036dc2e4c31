"""A pipeline that reads a stretch of each partition and nothing else: what a replay runs on."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.core.records.window import Window
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from tests.pipeline.engine import GROUP, TOPIC, Engine, eventually, hand_of


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def values(count: int) -> list[bytes]:
    return [b"event"] * count


def bound(engine: Engine, first: tuple[int, int], second: tuple[int, int] = (0, 0)) -> None:
    """Read these offsets of the two partitions."""
    engine.window = Window({(TOPIC, 0): first, (TOPIC, 1): second})


def taken(pipeline: Pipeline) -> list[tuple[int, int]]:
    return [(call.record.partition, call.record.offset) for call in hand_of(pipeline).open]


async def deliver_all(pipeline: Pipeline) -> None:
    """Deliver whatever is taken until the window is over."""

    def is_over() -> bool:
        hand_of(pipeline).deliver()
        return pipeline.assignment.is_over

    await eventually(is_over)


async def test_each_partition_begins_and_ends_at_its_own_offsets(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(10))
    engine.cluster.append(TOPIC, values(10), partition=1)
    bound(engine, (3, 6), (0, 2))

    async with engine.running() as pipeline:
        await eventually(lambda: all(ledger.is_read for ledger in pipeline.assignment.ledgers.values()))
        assert sorted(taken(pipeline)) == [(0, 3), (0, 4), (0, 5), (1, 0), (1, 1)]
        assert not pipeline.assignment.is_over, "they are open"
        await deliver_all(pipeline)
        assert (engine.committed(0), engine.committed(1)) == (6, 2)


async def test_it_is_over_only_once_the_end_is_stored(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(2))
    bound(engine, (0, 2))

    async with engine.running() as pipeline:
        await eventually(lambda: len(taken(pipeline)) == 2)
        hand_of(pipeline).deliver(0)
        await eventually(lambda: engine.committed(0) == 1)
        assert not pipeline.assignment.is_over
        hand_of(pipeline).deliver(1)
        await eventually(lambda: pipeline.assignment.is_over)
        assert engine.committed(0) == 2


async def test_empty_stretches_are_over_at_once(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(5))
    bound(engine, (5, 5), (0, 0))

    async with engine.running() as pipeline:
        await eventually(lambda: pipeline.assignment.is_over)
        assert not taken(pipeline)


async def test_what_arrives_meanwhile_is_not_taken(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(2))
    bound(engine, (0, 2))

    async with engine.running() as pipeline:
        await eventually(lambda: len(taken(pipeline)) == 2)
        engine.cluster.append(TOPIC, values(3))
        await deliver_all(pipeline)
        assert pipeline.assignment.ledgers[Place(TOPIC, 0)].account.consumed == 2
    assert engine.committed(0) == 2


async def test_one_read_that_reaches_over_the_end_is_cut(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(500))
    bound(engine, (250, 450))

    async with engine.running() as pipeline:
        await eventually(lambda: pipeline.assignment.ledgers[Place(TOPIC, 0)].is_read)
        assert taken(pipeline) == [(0, offset) for offset in range(250, 450)]
        await deliver_all(pipeline)


@pytest.mark.parametrize("records_behind", [0, 2])
async def test_markers_at_the_end_are_passed(engine: Engine, records_behind: int) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(2))
    engine.cluster.leave_a_hole(place, 3)
    engine.cluster.append(TOPIC, values(records_behind))
    bound(engine, (0, 4))

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        assert engine.committed(0) == 4, "and not what lies behind it"
        assert pipeline.assignment.ledgers[place].account.consumed == 2


async def test_a_stretch_whose_records_were_compacted_away_is_over(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(10))
    engine.cluster.log(place).records = [r for r in engine.cluster.log(place).records if r.offset in {0, 1, 9}]
    bound(engine, (2, 8))

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        assert engine.committed(0) == 8
        assert pipeline.assignment.ledgers[place].account.consumed == 0


async def test_an_open_transaction_is_waited_for(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(1))
    engine.cluster.begin_transaction(place)
    engine.cluster.append(TOPIC, values(2))
    bound(engine, (0, 3))

    async with engine.running() as pipeline:
        await eventually(lambda: taken(pipeline) == [(0, 0)])
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed(0) == 1)
        assert not pipeline.assignment.is_over
        engine.cluster.end_transaction(place, is_committed=True)
        await deliver_all(pipeline)
        assert engine.committed(0) == 3


async def test_nothing_is_read_of_a_partition_that_was_added_since(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(1))
    engine.window = Window({(TOPIC, 0): (0, 1)})  # decided when there was no partition 1
    engine.cluster.append(TOPIC, values(4), partition=1)

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        assert pipeline.assignment.ledgers[Place(TOPIC, 1)].account.consumed == 0


async def test_the_next_run_goes_on_where_the_group_is(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(6))
    bound(engine, (1, 5))

    async with engine.running() as pipeline:
        await eventually(lambda: len(taken(pipeline)) == 4)
        hand_of(pipeline).deliver(1, 2, 4)
        await eventually(lambda: engine.committed(0) == 3)
    async with engine.running() as pipeline:
        await eventually(lambda: bool(taken(pipeline)) and pipeline.assignment.ledgers[Place(TOPIC, 0)].is_read)
        assert taken(pipeline) == [(0, 3)], "4 is stated as settled"
        await deliver_all(pipeline)
    assert engine.committed(0) == 5


async def test_receipts_are_believed_although_nothing_was_stored(engine: Engine) -> None:
    """The beginning is the command's own, and no position that an operator has set: nobody wants everything again."""
    engine.cluster.append(TOPIC, values(3))
    bound(engine, (1, 3))

    async with engine.running() as pipeline:
        assert pipeline.assignment.ledgers[Place(TOPIC, 0)].trusts_receipt(1, 0)


async def test_what_retention_has_taken_of_the_stretch_is_counted(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(10))
    engine.cluster.delete_records(place, 7)
    bound(engine, (2, 5))

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        account = pipeline.assignment.ledgers[place].account
        assert (account.consumed, account.lost) == (0, {"retention": 3}), "and what lies behind it is not counted"
        assert engine.committed(0) == 5


async def test_retention_overtakes_the_reader(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.section["limits"] = {"max_open_records": 2}
    engine.cluster.append(TOPIC, values(2))
    engine.cluster.begin_transaction(place)
    bound(engine, (0, 9))

    async with engine.running() as pipeline:
        await eventually(lambda: len(taken(pipeline)) == 2)
        engine.cluster.append(TOPIC, values(20))
        engine.cluster.end_transaction(place, is_committed=True)
        engine.cluster.delete_records(place, 15)
        await deliver_all(pipeline)
        account = pipeline.assignment.ledgers[place].account
        assert (account.consumed, account.lost) == (2, {"retention": 7})


async def test_of_a_topic_that_was_made_anew_nothing_is_read(engine: Engine) -> None:
    """Its offsets mean other records."""
    engine.cluster.append(TOPIC, values(3))
    bound(engine, (5, 9))

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        account = pipeline.assignment.ledgers[Place(TOPIC, 0)].account
        assert (account.consumed, account.lost) == (0, {"retention": 4})


async def test_of_a_topic_that_is_made_anew_meanwhile_nothing_more_is_read(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(3))
    bound(engine, (0, 6))

    async with engine.running() as pipeline:
        await eventually(lambda: len(taken(pipeline)) == 3)
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed(0) == 3)
        engine.cluster.delete(TOPIC)
        engine.cluster.create(TOPIC, 2)
        engine.cluster.append(TOPIC, values(1))
        await deliver_all(pipeline)
        account = pipeline.assignment.ledgers[place].account
        assert (account.consumed, account.lost) == (3, {"retention": 3})


async def test_damage_is_set_aside_up_to_the_end_only(engine: Engine) -> None:
    place = Place(TOPIC, 0)
    engine.cluster.append(TOPIC, values(10))
    engine.cluster.damaged[place] = range(2, 8)
    bound(engine, (0, 4))

    async with engine.running() as pipeline:
        await deliver_all(pipeline)
        account = pipeline.assignment.ledgers[place].account
        assert account.consumed == 4
        assert account.dead_lettered.total() == 2
    assert len(engine.letters()) == 2


async def test_two_processes_share_one_stretch(engine: Engine) -> None:
    engine.cluster.append(TOPIC, values(4))
    engine.cluster.append(TOPIC, values(4), partition=1)
    bound(engine, (0, 4), (0, 4))

    async with engine.running() as one, engine.running(instance="two") as two:

        def is_over() -> bool:
            for pipeline in (one, two):
                hand_of(pipeline).deliver()
            return one.assignment.is_over and two.assignment.is_over

        await eventually(is_over)
        stored = engine.cluster.group(GROUP).stored
        assert {place: position.offset for place, position in stored.items()} == {
            Place(TOPIC, 0): 4,
            Place(TOPIC, 1): 4,
        }


def test_a_window_of_everything_has_no_end() -> None:
    unbounded = Window()
    assert unbounded.begin(TOPIC, 0) is None
    assert unbounded.end(TOPIC, 0) > 1 << 60


@given(
    holes=st.lists(st.integers(0, 3), max_size=30),
    first=st.integers(0, 60),
    size=st.integers(0, 60),
    meanwhile=st.integers(0, 3),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_holes_exactly_the_records_of_the_window_are_taken(
    tmp_path: Path, holes: list[int], first: int, size: int, meanwhile: int
) -> None:
    """Markers and compaction leave holes anywhere: at the beginning, at the end, and behind it."""
    engine = Engine(tmp_path)
    place = Place(TOPIC, 0)
    for hole in holes:
        engine.cluster.leave_a_hole(place, hole)
        engine.cluster.append(TOPIC, values(1))
    end = engine.cluster.log(place).end
    begin = min(first, end)
    until = min(begin + size, end)
    bound(engine, (begin, until))
    wanted = [record.offset for record in engine.cluster.log(place).records if begin <= record.offset < until]

    async def run() -> list[int]:
        delivered: list[int] = []
        async with engine.running() as pipeline:
            engine.cluster.append(TOPIC, values(meanwhile))

            def is_over() -> bool:
                delivered.extend(offset for _, offset in taken(pipeline))
                hand_of(pipeline).deliver()
                return pipeline.assignment.is_over

            await eventually(is_over)
        return delivered

    assert asyncio.run(run()) == wanted
    assert engine.committed(0) == (until if begin < until else None), "of an empty stretch nothing needs to be stored"
