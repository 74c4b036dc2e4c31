"""Kafka's side of an integration: what is read, committed, handed back and set aside, whatever the worker does."""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.model import DeadLetterReason
from streamer.kafka import CommitResult, RefusedWriteError, StoredPosition
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.dead_letters import MAX_UNCLEAR_REFUSALS
from streamer.pipeline.endings import EndedError
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.reader import MAX_POLL_RECORDS
from streamer.pipeline.runner import root_of
from streamer.pipeline.watchdog import ORPHANS, StalledError
from streamer.status import GuardEvidence
from tests.doubles.kafka import MemoryBrokers
from tests.pipeline.engine import GROUP, LETTERS, TOPIC, WAIT_SECONDS, Engine, HandWorker, eventually, hand_of


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def test_what_has_its_outcome_is_committed_and_not_read_again(engine: Engine) -> None:
    engine.cluster.append(TOPIC, numbered(10))
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 10)
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed() == 10)
    async with engine.running() as heir:
        engine.cluster.append(TOPIC, [b"new"])
        await eventually(lambda: hand_of(heir).open)
        assert [call.record.offset for call in hand_of(heir).open] == [10]


async def test_what_is_open_at_the_end_is_handed_back_and_read_again_by_itself(engine: Engine) -> None:
    engine.cluster.append(TOPIC, numbered(10))
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 10)
        hand_of(pipeline).deliver(0, 1, 5, 9)
    assert engine.committed() == 2
    assert engine.accounts[0][TOPIC, 0].handed_back == 6
    async with engine.running() as heir:
        await eventually(lambda: len(hand_of(heir).open) == 6)
        assert [call.record.offset for call in hand_of(heir).open] == [2, 3, 4, 6, 7, 8]


async def test_nothing_is_committed_past_an_open_record(engine: Engine) -> None:
    engine.cluster.append(TOPIC, numbered(5))
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 5)
        hand_of(pipeline).deliver(1, 2, 3, 4)
        await eventually(lambda: engine.cluster.group(GROUP).stored)
        assert engine.committed() == 0


async def test_holes_are_no_records_and_are_committed_past(engine: Engine) -> None:
    engine.cluster.append(TOPIC, numbered(2))
    engine.cluster.leave_a_hole(Place(TOPIC, 0), 3)
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 2)
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed() == 5)


async def test_reading_waits_for_room(engine: Engine) -> None:
    engine.section["limits"] = {"max_open_records": 10}
    engine.cluster.append(TOPIC, numbered(4_500))
    async with engine.running() as pipeline:
        worker = hand_of(pipeline)
        await eventually(lambda: worker.open)
        turned_at = pipeline._reader.turned_at
        await eventually(lambda: pipeline._reader.turned_at > turned_at)
        read = engine.accounts[0][TOPIC, 0].consumed
        assert read <= MAX_POLL_RECORDS, "one poll, and no more"
        while engine.accounts[0][TOPIC, 0].delivered < 4_500:
            worker.deliver()
            await asyncio.sleep(0)
        await eventually(lambda: engine.committed() == 4_500)


@pytest.mark.parametrize("error", [RuntimeError("planted"), SettingsError(["planted"]), UnavailableError("planted")])
async def test_a_retention_that_cannot_be_found_out_ends_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It only tells how much time is left. Errors that have a line elsewhere have none here."""
    asked = 0

    async def fail(*_: object) -> None:
        nonlocal asked
        asked += 1
        raise error

    monkeypatch.setattr(MemoryBrokers, "retention_seconds", fail)
    with capture_logs() as lines:
        async with engine.running() as pipeline:
            engine.cluster.append(TOPIC, numbered(1))
            await eventually(lambda: asked and hand_of(pipeline).open)
    failures = [line["reason"] for line in lines if line["event"] == "observer.failed"]
    assert failures == (["retention"] * asked if isinstance(error, RuntimeError) else [])


class TestRebalances:
    """Two instances: everything is taken, and half of it comes back."""

    async def test_partitions_that_stay_go_on_and_the_others_are_handed_back(self, engine: Engine) -> None:
        for partition in range(2):
            engine.cluster.append(TOPIC, numbered(4), partition=partition)
        async with engine.running() as one:
            await eventually(lambda: len(hand_of(one).open) == 8)
            async with engine.running(instance="two") as two:
                await eventually(lambda: len(hand_of(two).open) == 4 and one.assignment.is_restored)
                assert len(one.assignment.ledgers) == len(two.assignment.ledgers) == 1
                assert len(hand_of(one).open) == 4
                [stayed] = one.assignment.ledgers
                account = engine.accounts[0][stayed.topic, stayed.partition]
                assert (account.consumed, account.handed_back) == (4, 0), "not read again"
                assert not hand_of(one).is_quiet
                hand_of(one).deliver()
                hand_of(two).deliver()
                await eventually(lambda: engine.committed(0) == engine.committed(1) == 4)

    async def test_a_partition_that_another_instance_had_meanwhile_begins_again(self, engine: Engine) -> None:
        engine.timings = dataclasses.replace(engine.timings, commit_every=3_600)  # ours would replace what is stored
        engine.cluster.append(TOPIC, numbered(4))
        async with engine.running() as one:
            await eventually(lambda: len(hand_of(one).open) == 4)
            one.assignment.suspend()
            engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(3, "")
            one.assignment.give(frozenset({Place(TOPIC, 0)}))
            await eventually(lambda: one.assignment.is_restored and len(hand_of(one).open) == 1)
            assert engine.accounts[0][TOPIC, 0].handed_back == 4
            assert [call.record.offset for call in hand_of(one).open] == [3]

    async def test_before_partitions_are_taken_the_worker_is_quiet_and_outcomes_are_committed(
        self, engine: Engine
    ) -> None:
        engine.timings = dataclasses.replace(engine.timings, commit_every=3_600)
        engine.cluster.append(TOPIC, numbered(4))
        async with engine.running() as one:
            await eventually(lambda: len(hand_of(one).open) == 4)
            hand_of(one).deliver(0, 1, 2)
            await one._on_revoked(frozenset())
            assert hand_of(one).is_quiet
            assert engine.committed() == 3
            one.assignment.give(frozenset(one.assignment.ledgers))
            await eventually(lambda: not hand_of(one).is_quiet)

    async def test_an_error_in_the_callback_ends_the_pipeline(self, engine: Engine) -> None:
        """The client would only log it, and read on for nobody."""

        async def break_it(pipeline: Pipeline) -> None:
            pipeline.source.gone = _broken  # type: ignore[method-assign, assignment]
            await pipeline._on_revoked(frozenset())

        assert isinstance(await error_of(engine, break_it), RuntimeError)


def _broken(*_: object) -> list[Place]:
    raise RuntimeError("planted")


async def error_of(engine: Engine, act: Callable[[Pipeline], Awaitable[None]]) -> BaseException:
    """What ends a pipeline in which something was done."""

    async def run() -> None:
        async with engine.running() as pipeline:
            await act(pipeline)
            await eventually(lambda: not pipeline.is_connected)

    with pytest.raises(ExceptionGroup) as raised:
        await run()
    return root_of(raised.value)


class TestFaultsOfKafka:
    """Errors of single partitions, of commits, of all brokers."""

    async def test_brokers_that_are_away_at_the_start_are_waited_for(self, engine: Engine) -> None:
        engine.cluster.is_away = True
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()
        with capture_logs() as lines:
            running = asyncio.create_task(pipeline.run(stop))
            await eventually(lambda: sum(line["event"] == "kafka.unavailable" for line in lines) >= 3)
            engine.cluster.is_away = False
            await eventually(lambda: pipeline.assignment.is_restored)
        stop.set()
        await running
        assert [line["event"] for line in lines if line["event"] == "kafka.recovered"]

    async def test_a_stop_while_the_brokers_are_away_ends_at_once(self, engine: Engine) -> None:
        engine.cluster.is_away = True
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()
        running = asyncio.create_task(pipeline.run(stop))
        await asyncio.sleep(0)
        stop.set()
        async with asyncio.timeout(WAIT_SECONDS):
            await running

    async def test_a_join_that_gets_no_assignment_is_given_up_and_tried_again(self, engine: Engine) -> None:
        engine.timings = dataclasses.replace(engine.timings, join=0.01)
        engine.cluster.join_hangs = True
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()
        with capture_logs() as lines:
            running = asyncio.create_task(pipeline.run(stop))
            await eventually(lambda: sum(line["event"] == "kafka.unavailable" for line in lines) >= 2)
            engine.cluster.join_hangs = False
            await eventually(lambda: pipeline.assignment.is_restored)
        stop.set()
        await running
        assert "no assignment within 0.01 s" in next(line["detail"] for line in lines if "detail" in line)

    async def test_a_join_that_takes_long_is_told_while_it_lasts(self, engine: Engine) -> None:
        """One of several brokers that does not answer may cost a start more than a minute."""
        engine.timings = dataclasses.replace(engine.timings, join_told=0.01)
        engine.cluster.join_hangs = True
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()
        with capture_logs() as lines:
            running = asyncio.create_task(pipeline.run(stop))
            await eventually(lambda: [line for line in lines if line["event"] == "kafka.unavailable"])
        stop.set()
        await running
        assert "no assignment within 0.01 s" in lines[0]["detail"]

    async def test_missing_topics_are_named_and_waited_for(self, engine: Engine) -> None:
        engine.cluster.delete(LETTERS)
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()
        with capture_logs() as lines:
            running = asyncio.create_task(pipeline.run(stop))
            await eventually(lambda: [line for line in lines if line["event"] == "topics.missing"])
            engine.cluster.create(LETTERS)
            await eventually(lambda: pipeline.assignment.is_restored)
        stop.set()
        await running
        assert LETTERS in next(line["detail"] for line in lines if line["event"] == "topics.missing")

    async def test_missing_dead_letter_topics_are_made_where_that_is_allowed(self, engine: Engine) -> None:
        engine.cluster.delete(LETTERS)
        engine.create_topics = True
        with capture_logs() as lines:
            async with engine.running():
                assert len(engine.cluster.logs[LETTERS]) == 2
        [created] = [line for line in lines if line["event"] == "topic.created"]
        assert created["dead_letter_topic"] == LETTERS
        assert created["detail"].startswith("2 partitions, replication factor 1, cleanup.policy=delete")

    async def test_records_that_were_deleted_before_they_were_read_are_counted(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(10))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 10)
            hand_of(pipeline).deliver()
            await eventually(lambda: engine.committed() == 10)
        engine.cluster.append(TOPIC, numbered(5))
        engine.cluster.delete_records(Place(TOPIC, 0), before=13)
        async with engine.running() as heir:
            await eventually(lambda: len(hand_of(heir).open) == 2)
        assert engine.accounts[1][TOPIC, 0].lost == {"retention": 3}

    async def test_records_that_retention_takes_from_under_our_hands_are_counted(self, engine: Engine) -> None:
        async with engine.running() as pipeline:
            engine.cluster.append(TOPIC, numbered(9))
            engine.cluster.delete_records(Place(TOPIC, 0), before=6)
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            assert engine.accounts[0][TOPIC, 0].lost == {"retention": 6}

    async def test_a_position_beyond_the_end_begins_at_the_start_of_the_topic(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(2))
        engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(50, "")
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 2)
        assert [line["start"] for line in lines if line["event"] == "offsets.reset"] == [0]

    async def test_another_record_at_the_position_means_that_the_topic_was_recreated(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(3), timestamp=1_000)
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            hand_of(pipeline).deliver(0, 2)
        assert engine.committed() == 1
        engine.cluster.delete(TOPIC)
        engine.cluster.create(TOPIC, 2)
        engine.cluster.append(TOPIC, numbered(3), timestamp=2_000)
        async with engine.running() as heir:
            await eventually(lambda: len(hand_of(heir).open) == 3)

    @pytest.mark.parametrize("result", [CommitResult.TIMED_OUT, CommitResult.FAILED, CommitResult.NOT_AUTHORISED])
    async def test_a_commit_that_fails_is_replaced_by_a_later_one(self, engine: Engine, result: CommitResult) -> None:
        engine.cluster.append(TOPIC, numbered(3))
        engine.cluster.commit_results.extend([result] * 3)
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 3)
                hand_of(pipeline).deliver()
                await eventually(lambda: engine.committed() == 3)
                assert pipeline.assignment.commits.results[result] == 3
        failed = [line for line in lines if line["event"] == "offsets.commit_failed"]
        # Here brokers count as silent between any two answers, and then kafka.unavailable says all of it.
        said = 0 if result is CommitResult.TIMED_OUT else 3
        assert [line["error_type"] for line in failed] == [result.value] * said

    async def test_a_commit_that_landed_unheard_is_recognised(self, engine: Engine) -> None:
        """Its answer got lost: after the next rebalance the partition goes on, and is not read again."""
        engine.cluster.append(TOPIC, numbered(3))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            source = engine.cluster.group(GROUP).members[0]
            engine.cluster.commit_results.append(CommitResult.TIMED_OUT)
            hand_of(pipeline).deliver(0)
            await eventually(lambda: not engine.cluster.commit_results)
            landed = source.commits[-1][Place(TOPIC, 0)]
            engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(*landed)
            await engine.cluster.group(GROUP).rebalance()
            await eventually(lambda: pipeline.assignment.is_restored)
            assert engine.accounts[0][TOPIC, 0].handed_back == 0

    async def test_metadata_is_halved_until_the_broker_takes_it(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(400))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 400)
            engine.cluster.commit_results.extend([CommitResult.METADATA_TOO_LARGE] * 3)
            hand_of(pipeline).deliver(*range(1, 400, 2))
            await eventually(lambda: not engine.cluster.commit_results)
            stored = engine.cluster.group(GROUP).stored
            await eventually(lambda: Place(TOPIC, 0) in stored and 0 < len(stored[Place(TOPIC, 0)].metadata) <= 512)

    async def test_brokers_that_cannot_be_asked_after_a_rebalance_are_asked_again(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(1))
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                engine.cluster.is_away = True
                await engine.cluster.group(GROUP).rebalance()
                await eventually(lambda: [line for line in lines if line["event"] == "kafka.unavailable"])
                assert not pipeline.assignment.is_restored
                engine.cluster.is_away = False
                await eventually(lambda: hand_of(pipeline).open)


class TestDeadLetters:
    """Set aside, confirmed, ended; in this order."""

    async def test_a_record_ends_when_its_dead_letter_is_confirmed(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(3), headers=[("trace", b"1")])
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            hand_of(pipeline).reject(1)
            hand_of(pipeline).deliver()
            await eventually(lambda: engine.committed() == 3)
        [letter] = engine.letters()
        assert (letter.value, dict(letter.headers)["trace"]) == (b"1", b"1")
        assert dict(letter.headers)["streamer.reason"] == b"rejected_400"

    async def test_one_is_shown_when_it_is_confirmed(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(2))
        engine.cluster.max_record_bytes[LETTERS] = 10
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 2)
            hand_of(pipeline).reject(1)
            await eventually(lambda: pipeline.dead_letters._writing)
            assert not engine.recent_letters.letters
            engine.cluster.max_record_bytes.clear()
            await eventually(engine.letters)
        [shown] = engine.recent_letters.letters
        assert shown[1:] == (TOPIC, 0, 1, "rejected_400", "planted", f"{TOPIC}-0-1")
        assert abs(shown.at - time.time()) < 60

    async def test_one_that_cannot_be_written_stays_open_and_is_tried_again(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(2))
        engine.cluster.max_record_bytes[LETTERS] = 10
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 2)
                hand_of(pipeline).reject(0)
                hand_of(pipeline).deliver()
                await eventually(lambda: sum(line["event"] == "dead_letter.failed" for line in lines) >= 2)
                assert engine.committed() in {None, 0}
                engine.cluster.max_record_bytes.clear()
                await eventually(lambda: engine.committed() == 2)
        assert len(engine.letters()) == 1

    async def test_headers_that_do_not_fit_are_left_out(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(1), headers=[("large", b"x" * 1_000)])
        engine.cluster.max_record_bytes[LETTERS] = 300
        async with engine.running() as pipeline:
            await eventually(lambda: hand_of(pipeline).open)
            hand_of(pipeline).reject(0)
            await eventually(lambda: engine.committed() == 1)
        assert engine.letters()[0].value == b"0"
        names = {name for name, _ in engine.letters()[0].headers}
        assert "large" not in names
        assert {"streamer.reason", "streamer.integration", "__connect.errors.offset"} <= names

    async def test_they_are_written_with_the_present_time(self, engine: Engine) -> None:
        """Retention counts from the time of a record: with the original one, an old record would be deleted at once."""
        engine.cluster.append(TOPIC, numbered(1), timestamp=1_000)
        engine.cluster.max_age_ms[LETTERS] = 60_000
        async with engine.running() as pipeline:
            await eventually(lambda: hand_of(pipeline).open)
            hand_of(pipeline).reject(0)
            await eventually(lambda: engine.committed() == 1)
        [letter] = engine.letters()
        assert letter.timestamp > 1_700_000_000_000
        assert dict(letter.headers)["streamer.original_timestamp"] == b"1000"

    async def test_one_that_no_form_of_headers_makes_small_enough_goes_without_its_value(self, engine: Engine) -> None:
        """Else its partition could not move on before the topic is changed."""
        engine.cluster.append(TOPIC, [b"x" * 1_000])
        engine.cluster.max_record_bytes[LETTERS] = 400
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: hand_of(pipeline).open)
                hand_of(pipeline).reject(0)
                await eventually(lambda: engine.committed() == 1)
        [letter] = engine.letters()
        assert letter.value == b""
        assert dict(letter.headers)["__connect.errors.offset"] == b"0"
        [line] = [line for line in lines if line["event"] == "event.dead_lettered"]
        assert "source topic" in line["detail"]

    async def test_one_without_a_key_gets_one_where_the_topic_is_compacted(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(1), headers=[("trace", b"1")])
        engine.cluster.compacted.add(LETTERS)
        async with engine.running() as pipeline:
            await eventually(lambda: hand_of(pipeline).open)
            hand_of(pipeline).reject(0)
            await eventually(lambda: engine.committed() == 1)
        [letter] = engine.letters()
        assert (letter.key, letter.value) == (f"{TOPIC}-0-0".encode(), b"0")
        assert dict(letter.headers).items() >= {("trace", b"1"), ("streamer.key.null", b"1")}

    async def test_one_that_is_refused_costs_the_others_written_with_it_nothing(self, engine: Engine) -> None:
        """The client writes several in one request, and then the broker refuses them all."""
        engine.cluster.append(TOPIC, numbered(3), headers=[("trace", b"1")])
        too_large = RefusedWriteError(Refusal.TOO_LARGE, "planted")
        engine.cluster.write_errors.extend([too_large] * 3)
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            for offset in range(3):
                hand_of(pipeline).reject(offset)
            await eventually(lambda: engine.committed() == 3)
        assert all("streamer.destination" in dict(letter.headers) for letter in engine.letters())

    @pytest.mark.parametrize("error", [RefusedWriteError(Refusal.UNCLEAR, "planted"), TypeError("planted")])
    async def test_an_answer_that_nobody_understands_costs_a_while_and_not_the_value(
        self, engine: Engine, error: Exception
    ) -> None:
        """A broker in trouble may give it, or a bug of ours or of the client; the pipeline goes on."""
        engine.cluster.append(TOPIC, numbered(1), key=b"visitor")
        engine.cluster.write_errors.extend([error] * 4)
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: hand_of(pipeline).open)
                hand_of(pipeline).reject(0)
                await eventually(lambda: engine.committed() == 1)
        assert [letter.value for letter in engine.letters()] == [b"0"]
        assert [line for line in lines if line["event"] == "dead_letter.failed"]

    async def test_an_answer_that_nobody_understands_does_not_pin_a_partition_for_ever(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(1), key=b"visitor")
        unclear = RefusedWriteError(Refusal.UNCLEAR, "planted")
        # Twice in each round: with others, and alone. Then with fewer headers.
        engine.cluster.write_errors.extend([unclear] * (2 * MAX_UNCLEAR_REFUSALS + 3))
        async with engine.running() as pipeline:
            await eventually(lambda: hand_of(pipeline).open)
            hand_of(pipeline).reject(0)
            await eventually(lambda: engine.committed() == 1)
        assert [(letter.value, dict(letter.headers)["streamer.value.omitted"]) for letter in engine.letters()] == [
            (b"", b"1")
        ]

    async def test_a_header_that_cannot_be_read_stops_nobody(self, engine: Engine) -> None:
        """It was a crash loop: the record was read again after each restart of the pipeline."""
        engine.cluster.append(TOPIC, [b"0"], headers=[("streamer.redrives", b"9" * 4_301)])
        engine.cluster.append(TOPIC, [b"1"], headers=[("na\udcffme", b"1")])
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 2)
            for offset in range(2):
                hand_of(pipeline).reject(offset)
            await eventually(lambda: engine.committed() == 2)
        assert [letter.value for letter in engine.letters()] == [b"0", b"1"]

    async def test_a_topic_that_cannot_be_named_stops_nobody_else(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(2))
        async with engine.running() as pipeline:
            named = iter([ValueError("planted")])

            def topic_of(_topic: str) -> str:
                for error in named:
                    raise error
                return LETTERS

            pipeline.dead_letters._topic_of = topic_of
            await eventually(lambda: len(hand_of(pipeline).open) == 2)
            for offset in range(2):
                hand_of(pipeline).reject(offset)
            await eventually(lambda: engine.committed() == 2)

    async def test_too_many_of_them_stop_the_integration_and_a_restart_does_not_end_that(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(30))
        with capture_logs() as lines:
            async with engine.running() as pipeline:
                await eventually(lambda: len(hand_of(pipeline).open) == 30)
                for offset in range(25):
                    hand_of(pipeline).reject(offset)
                assert pipeline.is_guarded
                assert pipeline.guard_evidence == GuardEvidence(20, 20, "rejected_400", "planted")
            async with engine.running() as heir:
                assert heir.is_guarded
                turned_at = heir._reader.turned_at
                await eventually(lambda: heir._reader.turned_at > turned_at)
                assert not hand_of(heir).open
        assert not engine.letters(), "none was confirmed before it tripped"
        stopped, still_stopped = [line for line in lines if line["event"].startswith("integration.")]
        assert (stopped["reason"], stopped["detail"]) == ("rejected_400", "planted"), "no dead letter says it"
        for line in (stopped, still_stopped):
            assert "streamer resume surveys" in line["next_step"]
        engine.section["dead_letters"] = {"max_ratio": 1}
        async with engine.running() as freed:
            assert not freed.is_guarded
            await eventually(lambda: hand_of(freed).open)

    async def test_restarts_let_no_more_of_them_through(self, engine: Engine) -> None:
        """Each pipeline began to count at 0, so each dead-lettered 19 before the guard could trip."""
        engine.cluster.append(TOPIC, numbered(60))
        for _ in range(4):
            async with engine.running() as pipeline:
                await eventually(lambda: hand_of(pipeline).open or pipeline.is_guarded)
                for call in hand_of(pipeline).open[:7]:
                    hand_of(pipeline).reject(call.record.offset)
                await eventually(lambda: pipeline.is_guarded or not len(pipeline.dead_letters))
        assert pipeline.is_guarded
        assert len(engine.letters()) == 14, "with the third seven there would be 21"

    async def test_retries_that_ran_out_do_not_count(self, engine: Engine) -> None:
        """They say something about the destination as well, and come hours later than everything else."""
        engine.cluster.append(TOPIC, numbered(30))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 30)
            for offset in range(30):
                hand_of(pipeline).reject(offset, reason=DeadLetterReason.RETRIES_EXHAUSTED)
            assert not pipeline.is_guarded
            await eventually(lambda: engine.committed() == 30)

    async def test_the_stop_is_forgotten_once_it_ran_with_another_configuration(self, engine: Engine) -> None:
        """Whoever goes back to the old file has a reason to; only deleting a file ended the stop."""
        engine.cluster.append(TOPIC, numbered(30))

        async def trip(pipeline: Pipeline) -> None:
            await eventually(lambda: len(hand_of(pipeline).open) == 30)
            for offset in range(25):
                hand_of(pipeline).reject(offset)
            assert pipeline.is_guarded

        async with engine.running() as pipeline:
            await trip(pipeline)
        engine.section["dead_letters"] = {"max_ratio": 0.6}
        async with engine.running() as changed:
            assert not changed.is_guarded
        del engine.section["dead_letters"]
        async with engine.running() as back:
            assert not back.is_guarded
            await trip(back)

    async def test_the_stop_ends_when_it_is_released(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(30))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 30)
            for offset in range(25):
                hand_of(pipeline).reject(offset)
            assert pipeline.is_guarded
        GuardMemory(engine.directory / "one", fingerprint=engine.settings().fingerprint()).release()
        async with engine.running() as released:
            assert not released.is_guarded
            await eventually(lambda: len(hand_of(released).open) == 30)
            hand_of(released).reject(0)
            await eventually(engine.letters)

    async def test_those_of_a_partition_that_left_are_forgotten(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(1))
        engine.cluster.max_record_bytes[LETTERS] = 10
        async with engine.running() as pipeline:
            await eventually(lambda: hand_of(pipeline).open)
            hand_of(pipeline).reject(0)
            await eventually(lambda: len(pipeline.dead_letters) == 1)
            pipeline.assignment.fence([Place(TOPIC, 0)])
            engine.cluster.max_record_bytes.clear()
            await eventually(lambda: not len(pipeline.dead_letters))
        assert not engine.letters()
        assert engine.accounts[0][TOPIC, 0].handed_back == 1


class TestEnds:
    """However a pipeline ends: the group is left, and every record is accounted for."""

    async def test_an_error_of_the_worker_ends_the_pipeline_and_hands_everything_back(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(3))

        async def break_it(pipeline: Pipeline) -> None:
            await eventually(lambda: len(hand_of(pipeline).open) == 3)
            hand_of(pipeline).failure.set_exception(RuntimeError("planted"))

        assert isinstance(await error_of(engine, break_it), RuntimeError)
        assert engine.accounts[0][TOPIC, 0].handed_back == 3
        assert not engine.cluster.group(GROUP).members
        engine.verify()

    async def test_work_that_is_overdue_for_too_long_is_a_stall(self, engine: Engine) -> None:
        engine.timings = dataclasses.replace(engine.timings, watch_every=0.0, stalled_after=0.0, rebalance=3_600)

        async def stall(pipeline: Pipeline) -> None:
            hand_of(pipeline).overdue = True

        assert isinstance(await error_of(engine, stall), StalledError)

    async def test_records_that_no_part_has_in_hand_are_a_stall(self, engine: Engine) -> None:
        """They would keep their partition from moving until the next restart, and nobody would know."""

        async def leak(pipeline: Pipeline) -> None:
            hand_of(pipeline).leaks = True
            engine.cluster.append(TOPIC, numbered(1))

        with capture_logs() as lines:
            assert isinstance(await error_of(engine, leak), StalledError)
        assert [line["reason"] for line in lines if line["event"] == "task.stalled"] == [ORPHANS]

    async def test_records_in_hand_are_none_without_a_holder(self, engine: Engine) -> None:
        engine.cluster.append(TOPIC, numbered(30))
        async with engine.running() as pipeline:
            await eventually(lambda: len(hand_of(pipeline).open) == 30)
            hand_of(pipeline).reject(3)
            assert pipeline._watchdog.orphans() is None
            await eventually(engine.letters)
            assert pipeline._watchdog.orphans() is None

    async def test_a_cancellation_that_nobody_asked_for_is_a_failure(self, engine: Engine) -> None:
        """A task group takes it for the end of a task, and goes on without the reader."""

        async def cancel(pipeline: Pipeline) -> None:
            async def cancelled(*_: object, **__: object) -> None:
                raise asyncio.CancelledError

            pipeline.source.poll = cancelled  # type: ignore[method-assign, assignment]

        assert isinstance(await error_of(engine, cancel), EndedError)

    async def test_a_part_that_ends_by_itself_is_a_failure(self, engine: Engine) -> None:
        async def end(pipeline: Pipeline) -> None:
            hand_of(pipeline).failure.set_result(None)

        assert isinstance(await error_of(engine, end), EndedError)

    @pytest.mark.parametrize("turns", range(0, 60, 3))
    async def test_a_cancellation_at_any_moment_leaves_nothing_behind(self, engine: Engine, turns: int) -> None:
        for partition in range(2):
            engine.cluster.append(TOPIC, numbered(300), partition=partition)
        pipeline = engine.pipeline(HandWorker)
        running = asyncio.create_task(pipeline.run(asyncio.Event()))
        for _ in range(turns):
            await asyncio.sleep(0)
            if pipeline.is_connected:
                hand_of(pipeline).deliver()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(WAIT_SECONDS):
                await running
        assert not engine.cluster.group(GROUP).members
        assert pipeline.assignment.ledgers == {}
        assert pipeline.custody.load.records == 0
        engine.verify()

    async def test_a_writer_that_cannot_be_started_keeps_the_group_unjoined(self, engine: Engine) -> None:
        """Without it, the first dead letter would keep its partition waiting."""
        pipeline, stop = engine.pipeline(HandWorker), asyncio.Event()

        async def fail() -> None:
            raise UnavailableError("planted")

        pipeline._writer.start = fail  # type: ignore[method-assign]
        with capture_logs() as lines:
            running = asyncio.create_task(pipeline.run(stop))
            await eventually(lambda: [line for line in lines if line["event"] == "kafka.unavailable"])
            stop.set()
            await running
        assert not engine.cluster.group(GROUP).members
