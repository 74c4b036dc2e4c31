"""What is known of the partitions' ends while nothing is read, or nobody answers; on Kafka in memory."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.records.log_ends import LogEnds
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline, asking
from streamer.pipeline.contact import Contact
from streamer.timings import Timings
from tests.pipeline.engine import TOPIC, Engine, eventually, hand_of

ONE, TWO = Place(TOPIC, 0), Place(TOPIC, 1)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path)
    engine.timings = dataclasses.replace(engine.timings, silent_after=0.1, transaction_after=0.02)
    return engine


def end_of(pipeline: Pipeline, place: Place = ONE) -> LogEnds | None:
    """What is known now."""
    return pipeline.asker.ends(place, time.monotonic())


def lag_of(pipeline: Pipeline) -> int | None:
    return pipeline.lags(time.monotonic()).get(TOPIC)


def is_silent(pipeline: Pipeline) -> bool:
    return pipeline._contact.is_silent(time.monotonic())


class TestWhileNothingIsRead:
    """The buffer is full, or the mass guard has stopped it."""

    async def test_lag_grows_while_the_buffer_is_full(self, engine: Engine) -> None:
        engine.section["limits"] = {"max_open_records": 1_000}
        engine.cluster.append(TOPIC, [b"x"] * 1_500)
        async with engine.running() as pipeline:
            await eventually(lambda: pipeline.custody.load.is_full)
            engine.cluster.append(TOPIC, [b"x"] * 2_000)
            await eventually(lambda: lag_of(pipeline) == 3_500)

    async def test_lag_is_known_of_what_is_not_read_at_all_with_its_age(self, engine: Engine) -> None:
        async with engine.running() as pipeline:
            pipeline._reader.is_stopped = lambda: True
            await eventually(lambda: pipeline._reader.reads_since is None)
            engine.cluster.append(TOPIC, [b"x"] * 7, timestamp=1_234)
            await eventually(lambda: lag_of(pipeline) == 7)
            await eventually(lambda: pipeline.asker.waiting_timestamp(ONE, 0) == 1_234)

    async def test_a_partition_whose_record_cannot_be_looked_at_keeps_no_other_from_it(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(asking, "MAX_RECORDS_LOOKED_AT", 1)
        async with engine.running() as pipeline:
            pipeline._reader.is_stopped = lambda: True
            await eventually(lambda: pipeline._reader.reads_since is None)
            engine.cluster.leave_a_hole(ONE)
            engine.cluster.append(TOPIC, [b"x"], partition=1, timestamp=1_234)
            await eventually(lambda: pipeline.asker.waiting_timestamp(TWO, 0) == 1_234)
            assert pipeline.asker.waiting_timestamp(ONE, 0) is None

    async def test_where_reading_moves_no_record_is_looked_at(self, engine: Engine) -> None:
        """Each look costs a batch of records."""
        engine.cluster.append(TOPIC, [b"x"] * 7)
        async with engine.running() as pipeline:
            await eventually(lambda: lag_of(pipeline) == 7 and len(hand_of(pipeline).open) == 7)
            asked = pipeline.asker.known_at(ONE)
            await eventually(lambda: pipeline.asker.known_at(ONE) != asked)
            assert pipeline.asker.waiting_timestamp(ONE, 0) is None


class TestNobodyAnswers:
    """Frozen, away, without a leader."""

    @pytest.mark.parametrize("how", ["is_frozen", "is_away"])
    async def test_what_was_known_is_unknown_and_known_again(self, engine: Engine, how: str) -> None:
        engine.cluster.append(TOPIC, [b"x"] * 3)
        async with engine.running() as pipeline:
            await eventually(lambda: lag_of(pipeline) == 3)
            setattr(engine.cluster, how, True)
            await eventually(lambda: is_silent(pipeline))
            assert lag_of(pipeline) is None
            told_at = pipeline.asker.known_at(ONE)
            assert told_at is not None
            assert time.monotonic() - told_at > engine.timings.silent_after
            setattr(engine.cluster, how, False)
            await eventually(lambda: lag_of(pipeline) == 3 and not is_silent(pipeline))

    async def test_a_partition_without_a_leader_hides_no_other(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, [b"x"] * 3, partition=1)
        async with engine.running() as pipeline:
            await eventually(lambda: end_of(pipeline, TWO) == LogEnds(3, 3))
            engine.cluster.log(ONE).has_leader = False
            # Looked at in one moment: on a busy machine, an answer about the other one may be late for a while, too.
            await eventually(lambda: end_of(pipeline, ONE) is None and end_of(pipeline, TWO) == LogEnds(3, 3))
            assert lag_of(pipeline) is None, "a part of the sum is not known"
            assert not is_silent(pipeline)

    async def test_a_member_without_partitions_hears_the_brokers_too(self, engine: Engine) -> None:
        async with engine.running(), engine.running(instance="two"), engine.running(instance="three") as spare:
            await eventually(lambda: not spare.assignment.partitions())
            await asyncio.sleep(2 * engine.timings.silent_after)
            assert not is_silent(spare)

    async def test_an_error_of_the_asker_ends_nothing(self, engine: Engine) -> None:
        async with engine.running() as pipeline:
            failed = 0

            async def fail(*_: object, **__: object) -> None:
                nonlocal failed
                failed += 1
                raise RuntimeError("planted")

            pipeline.source.log_ends = fail  # type: ignore[assignment, method-assign]
            with capture_logs() as lines:
                await eventually(lambda: failed > 2)
            assert {line["reason"] for line in lines if line["event"] == "observer.failed"} == {
                "ends of the partitions"
            }
            engine.cluster.append(TOPIC, [b"x"])
            await eventually(lambda: hand_of(pipeline).open)


class TestOpenTransactions:
    """What is written in them is not handed out, and counts as lag."""

    async def test_one_that_stays_open_is_named_once_and_its_records_are_lag(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, [b"x"] * 2)
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 2)
                hand_of(pipeline).deliver()
                engine.cluster.begin_transaction(ONE)
                engine.cluster.append(TOPIC, [b"y"] * 3)
                await eventually(lambda: [line for line in lines if line["event"] == "transaction.open"])
                assert since(pipeline) is not None
                assert lag_of(pipeline) == 3
                engine.cluster.end_transaction(ONE, is_committed=True)
                await eventually(lambda: len(hand_of(pipeline).open) == 3)
                hand_of(pipeline).deliver()
                await eventually(lambda: lag_of(pipeline) == 0 and since(pipeline) is None)
        [said] = [line for line in lines if line["event"] == "transaction.open"]
        assert (said["topic"], said["partition"], said["offset"], said["high_watermark"]) == (TOPIC, 0, 2, 5)

    async def test_one_that_is_aborted_leaves_no_lag(self, engine: Engine) -> None:
        engine.cluster.begin_transaction(ONE)
        engine.cluster.append(TOPIC, [b"y"] * 3)
        async with engine.running() as pipeline:
            await eventually(lambda: since(pipeline) is not None)
            engine.cluster.end_transaction(ONE, is_committed=False)
            await eventually(lambda: lag_of(pipeline) == 0)
            assert not hand_of(pipeline).open
            await eventually(lambda: engine.committed() == 4)

    async def test_a_position_beyond_the_last_stable_offset_is_kept_over_a_restart(self, engine: Engine) -> None:
        """Taken for one of a topic that was recreated, it would have everything read again."""
        engine.cluster.append(TOPIC, [b"x"] * 4)
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 4)
            hand_of(pipeline).deliver()
            await eventually(lambda: engine.committed() == 4)
        # As after a leader changed, or for a producer whose transaction began before the position was stored.
        engine.cluster.log(ONE).open_from = 2
        with capture_logs() as lines:
            async with engine.running() as heir:
                engine.cluster.append(TOPIC, [b"y"] * 2)
                await eventually(lambda: since(heir) is not None)
                engine.cluster.log(ONE).open_from = None
                await eventually(lambda: len(hand_of(heir).open) == 2)
        assert not [line for line in lines if line["event"] in {"offsets.reset", "kafka.unavailable"}]


def since(pipeline: Pipeline) -> float | None:
    """Since when an open transaction is known to keep the first partition."""
    return pipeline.asker.open_transaction_since(ONE, time.monotonic())


@contextlib.asynccontextmanager
async def frozen(engine: Engine) -> AsyncIterator[Pipeline]:
    async with engine.running() as pipeline:
        engine.cluster.is_frozen = True
        try:
            yield pipeline
        finally:
            engine.cluster.is_frozen = False


class TestWhatIsSaid:
    """One line, one each minute while it lasts, one when it is over."""

    async def test_the_reason_is_found_on_a_connection_of_its_own(self, engine: Engine) -> None:
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: end_of(pipeline) is not None)
                engine.cluster.is_away = True
                await eventually(lambda: [line for line in lines if line["event"] == "kafka.unavailable"])
                engine.cluster.is_away = False
                await eventually(lambda: [line for line in lines if line["event"] == "kafka.recovered"])
        assert {line["detail"] for line in lines if line["event"] == "kafka.unavailable"} == {"no broker answers"}

    async def test_a_commit_that_gets_no_answer_is_no_line_of_its_own(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, [b"x"] * 3)
        with capture_logs() as lines:
            async with frozen(engine) as pipeline:
                await eventually(lambda: is_silent(pipeline))
                hand_of(pipeline).deliver()
                await eventually(lambda: any(pipeline.assignment.commits.results.values()))
        assert "offsets.commit_failed" not in {line["event"] for line in lines}

    async def test_a_dead_letter_that_gets_no_answer_is_no_line_of_its_own(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, [b"x"] * 3)
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 3)
                engine.cluster.is_away = True
                await eventually(lambda: is_silent(pipeline))
                hand_of(pipeline).reject(0)
                await asyncio.sleep(10 * engine.timings.letter_backoff)
                engine.cluster.is_away = False
                await eventually(lambda: len(engine.letters()) == 1)
        assert "dead_letter.failed" not in {line["event"] for line in lines}

    def test_it_is_said_at_once_where_no_broker_ever_answered(self) -> None:
        with capture_logs() as lines:
            Contact("surveys", Timings()).missed("planted")
        assert [(line["event"], line["detail"]) for line in lines] == [("kafka.unavailable", "planted")]

    def test_one_answer_that_is_missing_is_not_said(self) -> None:
        contact = Contact("surveys", Timings())
        contact.heard()
        with capture_logs() as lines:
            contact.missed("planted")
            contact.heard()
        assert lines == []

    def test_it_is_said_again_with_a_count(self) -> None:
        contact = Contact("surveys", Timings(say_silent_every=0.1))
        with capture_logs() as lines:
            for _ in range(3):
                contact.missed("planted")
            deadline = time.monotonic() + 5
            while not contact.is_to_be_said() and time.monotonic() < deadline:
                pass
            contact.missed("planted")
            contact.heard()
            contact.heard()
        assert [line["event"] for line in lines] == ["kafka.unavailable", "kafka.unavailable", "kafka.recovered"]
        assert lines[1]["failures"] == 2
