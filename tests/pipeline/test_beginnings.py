"""Where a partition begins is stored before it is read, and what was delivered since then is not sent again."""

import asyncio
import contextlib
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from streamer.core.delivery.answers import Answer
from streamer.kafka import CommitResult, StoredPosition
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from tests.doubles.destination import ACCEPTED, accept
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, TOPIC, Engine, eventually, hand_of
from tests.service.harness import survey_events

EVENTS = 100
DELIVERED = 40


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    engine.destination["batch"] = {"max_calls": 10, "linger": 0}
    engine.target = engine.new_target()
    yield engine
    engine.receipts.close()


@contextlib.asynccontextmanager
async def crashing(engine: Delivering) -> AsyncIterator[Pipeline]:
    """Run an instance that commits where it begins, and nothing later; at the end of the block it is gone.

    To Kafka and to the receipts it looks like a kill: nothing is drained, and nothing is committed.
    """
    timings, engine.timings = engine.timings, dataclasses.replace(engine.timings, commit_every=3_600)
    pipeline = engine.pipeline(engine.deliver)
    engine.timings = timings
    running = asyncio.create_task(pipeline.run(asyncio.Event()))
    try:
        yield pipeline
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def deliver_some_and_crash(engine: Delivering) -> list[str]:
    """Have the receiver take some of the events and hang with the others; returns those that were in flight."""
    taken = 0

    def take_some(message_ids: Sequence[str]) -> Answer | asyncio.Future[Answer]:
        nonlocal taken
        taken += len(message_ids)
        return ACCEPTED if taken <= DELIVERED else asyncio.get_running_loop().create_future()

    before = len(engine.receiver.taken)
    engine.receiver.decide = take_some
    async with crashing(engine):
        await eventually(lambda: len(engine.receiver.taken) - before == DELIVERED and len(engine.receiver.batches) > 4)
        in_flight = [one for batch in engine.receiver.batches[before // 10 + DELIVERED // 10 :] for one in batch]
    engine.receiver.decide = accept
    engine.receiver.batches.clear()
    return in_flight


def reset(engine: Delivering, offset: int = 0) -> None:
    """Do as an operator does: a position without metadata."""
    engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(offset, "")


def sent(engine: Delivering) -> Counter[str]:
    return Counter(message_id for batch in engine.receiver.batches for message_id in batch)


@pytest.mark.parametrize("result", [CommitResult.TIMED_OUT, CommitResult.FAILED, CommitResult.NOT_AUTHORISED])
async def test_nothing_is_read_before_it_is_stored_where_it_begins(tmp_path: Path, result: CommitResult) -> None:
    engine = Engine(tmp_path)
    engine.cluster.commit_results.extend([result] * 5)
    engine.cluster.append(TOPIC, [b"0", b"1"])
    async with engine.running() as pipeline:
        account = engine.accounts[0][TOPIC, 0]
        await eventually(lambda: not engine.cluster.commit_results or account.consumed)
        assert account.consumed == 0
        assert pipeline.assignment.readable() == set()
        await eventually(lambda: len(hand_of(pipeline).open) == 2)
        assert engine.committed() == 0


async def test_a_topic_whose_positions_cannot_be_stored_keeps_no_other_one_from_being_read(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    for topic in ("closed", "closed.dlq"):
        engine.cluster.create(topic)
    engine.cluster.closed.add("closed")
    engine.section["topics"] = ["closed", TOPIC]
    engine.cluster.append(TOPIC, [b"0"])
    engine.cluster.append("closed", [b"0"])
    async with engine.running() as pipeline:
        await eventually(lambda: hand_of(pipeline).open)
        assert pipeline.assignment.readable() == {Place(TOPIC, 0), Place(TOPIC, 1)}
        engine.cluster.closed.clear()
        await eventually(lambda: engine.accounts[0]["closed", 0].consumed)


async def test_a_crash_before_the_first_commit_has_sent_nothing(engine: Delivering) -> None:
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    engine.cluster.commit_results.extend([CommitResult.FAILED] * 1_000)
    async with crashing(engine) as pipeline:
        await eventually(lambda: pipeline.assignment.commits.results[CommitResult.FAILED])
        for _ in range(50):
            await asyncio.sleep(0)
    assert engine.receiver.batches == []
    engine.cluster.commit_results.clear()
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    assert set(sent(engine).values()) == {1}


async def test_a_crash_in_the_first_backlog_sends_again_what_was_in_flight(engine: Delivering) -> None:
    """Nothing was committed but where the group begins: the receipts that were written since then are trusted."""
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    in_flight = await deliver_some_and_crash(engine)
    assert engine.committed() == 0
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    assert sent(engine).keys() >= set(in_flight)
    assert len(sent(engine)) == EVENTS - DELIVERED
    assert Counter(engine.receiver.taken) == Counter(f"evt_{number}" for number in range(EVENTS))


async def test_each_further_crash_costs_no_more(engine: Delivering) -> None:
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    for _ in range(2):
        await deliver_some_and_crash(engine)
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    assert set(Counter(engine.receiver.taken).values()) == {1}


@pytest.mark.parametrize("hours", [0, 1, -1], ids=["a steady clock", "a clock set forward", "a clock set back"])
async def test_a_crash_while_a_reset_is_followed_sends_again_what_was_in_flight(
    engine: Delivering, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Receipts from before the reset prove nothing, whatever the clock says of their age; those since then do."""
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    reset(engine)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + hours * 3_600)
    await deliver_some_and_crash(engine)
    monkeypatch.setattr(time, "time", clock)
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    assert Counter(engine.receiver.taken) == Counter({f"evt_{number}": 2 for number in range(EVENTS)})


async def test_a_second_reset_sends_everything_once_more(engine: Delivering) -> None:
    """Receipts of the first replay prove nothing for the second one, even where the first was not finished."""
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    await deliver_some_and_crash(engine)
    reset(engine)
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    times = Counter(engine.receiver.taken)
    assert [times[f"evt_{number}"] for number in range(EVENTS)] == [2] * DELIVERED + [1] * (EVENTS - DELIVERED)


async def test_a_replay_of_an_earlier_version_is_followed_from_where_it_stands(engine: Delivering) -> None:
    """Its metadata has no name for the replay: what was delivered before proves nothing."""
    engine.cluster.append(TOPIC, survey_events(EVENTS))
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    nameless = "s1:AABkBgxBEw"
    engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(0, nameless)
    await deliver_some_and_crash(engine)
    async with engine.running(engine.deliver):
        await engine.settled(EVENTS)
    assert set(Counter(engine.receiver.taken).values()) == {2}
