"""The way of an event through the engine: mapped, sent, answered, and what its answer does, without a broker."""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.transitions import State
from streamer.core.mapping import Mapper
from streamer.kafka import StoredPosition
from streamer.kafka import TopicPartition as Place
from streamer.pipeline import Pipeline
from streamer.pipeline.delivery import Delivery
from tests.doubles.destination import ACCEPTED, BROKEN, Decide, status
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, LETTERS, TOPIC, eventually
from tests.service.harness import survey_event, survey_events


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Delivering]:
    engine = Delivering(tmp_path)
    yield engine
    engine.receipts.close()


def worker_of(pipeline: Pipeline) -> Delivery:
    worker = pipeline.worker
    assert isinstance(worker, Delivery)
    return worker


def refusing(*bad: str) -> Decide:
    """400 for every batch that holds one of these."""
    return lambda message_ids: status(400) if set(bad).intersection(message_ids) else ACCEPTED


def failing(*bad: str) -> Decide:
    """A reset connection for every batch that holds one of these."""
    return lambda message_ids: BROKEN if set(bad).intersection(message_ids) else ACCEPTED


async def test_events_arrive_once_and_their_records_end_delivered(engine: Delivering) -> None:
    for partition in range(2):
        engine.cluster.append(TOPIC, survey_events(250, f"p{partition}"), partition=partition)
    async with engine.running(engine.deliver):
        await engine.settled(250, 250)
    assert sorted(engine.receiver.taken) == sorted(f"p{p}_{n}" for p in range(2) for n in range(250))
    assert engine.total("delivered") == 500


async def test_each_record_ends_in_the_way_that_its_content_says(engine: Delivering) -> None:
    engine.section["events"] = {"disabled": ["Flow Viewed"]}
    disabled = survey_event("disabled").replace(b"Response Submitted", b"Flow Viewed")
    values = [survey_event("a"), b"not JSON", None, disabled, survey_event("a"), survey_event("b")]
    engine.cluster.append(TOPIC, values)
    async with engine.running(engine.deliver):
        await engine.settled(6)
    assert engine.receiver.taken == ["a", "b"]
    assert [engine.total(way) for way in ("delivered", "duplicate", "filtered", "dead_lettered")] == [2, 1, 2, 1]
    assert [letter.value for letter in engine.letters()] == [b"not JSON"]


async def test_a_bug_on_one_record_is_that_records_alone(engine: Delivering, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Mapper.map

    def stumble(self: Mapper, value: bytes | None, *rest: object) -> object:
        if value == b"{}":
            raise ZeroDivisionError
        return right(self, value, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Mapper, "map", stumble)
    engine.cluster.append(TOPIC, [b"{}", survey_event("a")])
    async with engine.running(engine.deliver):
        await engine.settled(2)
    assert engine.receiver.taken == ["a"]
    assert dict(engine.letters()[0].headers)["streamer.reason"] == b"internal_error"


async def test_what_was_delivered_before_a_restart_is_known_by_its_receipt(engine: Delivering) -> None:
    engine.cluster.append(TOPIC, survey_events(3))
    async with engine.running(engine.deliver):
        await engine.settled(3)
    engine.cluster.append(TOPIC, survey_events(4))
    async with engine.running(engine.deliver):
        await engine.settled(7)
    assert engine.receiver.taken == ["evt_0", "evt_1", "evt_2", "evt_3"]
    assert engine.total("duplicate") == 3


async def test_a_position_that_somebody_reset_is_delivered_again(engine: Delivering) -> None:
    engine.cluster.append(TOPIC, survey_events(3))
    async with engine.running(engine.deliver):
        await engine.settled(3)
    engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(0, "")
    async with engine.running(engine.deliver):
        await engine.settled(3)
    assert engine.receiver.taken == ["evt_0", "evt_1", "evt_2"] * 2


async def test_the_message_id_of_a_rejected_record_is_in_its_dead_letter_and_its_line(engine: Delivering) -> None:
    engine.cluster.append(TOPIC, [survey_event("evt_1", app_id=None), survey_event("x" * 120), b"not JSON"])
    with capture_logs() as lines:
        async with engine.running(engine.deliver):
            await engine.settled(3)
    headers = [dict(letter.headers).get("streamer.message_id") for letter in engine.letters()]
    assert headers == [b"evt_1", b"x" * 120, None]
    told = [line.get("message_id") for line in lines if line["event"] == "event.dead_lettered"]
    assert told == ["evt_1", "x" * 120, None]


async def test_dead_letters_that_say_the_same_are_one_line(engine: Delivering) -> None:
    """The first one at once, with its place; then how many, and how large a part of all."""
    good = survey_events(300)
    engine.cluster.append(TOPIC, [value for event in good for value in (event, event, b"not JSON")] + [b"\xff"])
    with capture_logs() as lines:
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(901, 0)
            pipeline.dead_letters.tell()
            engine.cluster.append(TOPIC, [b"not JSON"] * 2)
            await engine.settled(903, 0)
    told = [line for line in lines if line["event"] == "event.dead_lettered"]
    facts = [(line["detail"].split()[1], line["offset"], line["records"], line.get("share")) for line in told]
    assert facts == [
        ("JSON:", 2, 1, None),
        ("UTF-8", 900, 1, None),
        ("JSON:", 5, 299, round(299 / 901, 3)),
        ("JSON:", 901, 2, 1.0),
    ]
    assert "streamer dlq redrive --integration surveys --reason decode_error --execute" in told[0]["next_step"]


class TestRefusals:
    """The destination will never take a call: find it, set it aside, deliver the others."""

    async def test_the_guilty_call_is_found_and_the_others_are_delivered(self, engine: Delivering) -> None:
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = refusing("evt_37")
        with capture_logs() as lines:
            async with engine.running(engine.deliver):
                await engine.settled(1)
                engine.cluster.append(TOPIC, survey_events(100))
                await engine.settled(101)
        assert sorted(engine.receiver.taken) == sorted(
            ["before_0", *(f"evt_{number}" for number in range(100) if number != 37)]
        )
        [letter] = engine.letters()
        headers = dict(letter.headers)
        assert (headers["streamer.reason"], headers["streamer.http.status"]) == (b"rejected_400", b"400")
        assert headers["streamer.message_id"] == b"evt_37"
        assert len(engine.receiver.batches) <= 1 + 1 + 15, "halves, not one by one"
        assert sum(line["event"] == "batch.split" for line in lines) == 1

    async def test_a_corrected_copy_does_not_die_with_the_malformed_one(self, engine: Delivering) -> None:
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        bad = [0]

        def refuse_the_first(message_ids: Sequence[str]) -> Answer:
            if "twice" in message_ids and not bad[0]:
                bad[0] += len(message_ids) == 1
                return status(400)
            return ACCEPTED

        engine.receiver.decide = refuse_the_first
        async with engine.running(engine.deliver):
            await engine.settled(1)
            corrected = survey_event("twice", survey_id="srv_2")
            engine.cluster.append(TOPIC, [survey_event("twice"), survey_event("other"), corrected])
            await engine.settled(4)
        assert sorted(engine.receiver.taken) == ["before_0", "other", "twice"]
        assert [record.offset for record in engine.letters()] == [0]
        assert engine.total("dead_lettered") == 1

    @pytest.mark.parametrize("at_once", [1_000, 7])
    async def test_copies_of_a_refused_call_share_its_verdict(
        self, engine: Delivering, at_once: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They went one by one, ten a second, and held their partition for that long. Each is a record of its own."""
        monkeypatch.setattr("streamer.core.delivery.shipping.MAX_EQUAL_AT_ONCE", at_once)
        copies = 300
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = refusing("again")
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(1)
            corrected = survey_event("again", survey_id="srv_2")
            engine.cluster.append(TOPIC, [survey_event("again")] * copies + [corrected] + survey_events(5))
            await engine.settled(1 + copies + 1 + 5)
            assert not pipeline.is_guarded, "they are one fault, however many they are"
        alone = [batch for batch in engine.receiver.batches if batch == ["again"]]
        assert len(alone) <= 5, "the call and its correction; those that were read too late to wait for it"
        assert sorted(engine.receiver.taken) == ["before_0", *(f"evt_{number}" for number in range(5))]
        assert engine.total("dead_lettered") == copies + 1
        told = [dict(letter.headers) for letter in engine.letters()]
        assert len(told) == copies + 1
        assert {headers["streamer.reason"] for headers in told} == {b"rejected_400"}
        assert {headers["streamer.http.status"] for headers in told} == {b"400"}
        assert {headers["streamer.message_id"] for headers in told} == {b"again"}
        assert sum(b"not sent" in (headers["__connect.errors.exception.message"] or b"") for headers in told) >= 290

    async def test_a_copy_in_another_partition_shares_the_verdict_as_well(self, engine: Delivering) -> None:
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        answer = asyncio.Event()
        async with engine.running(engine.deliver):
            await engine.settled(1, 0)

            async def refuse_later(message_ids: Sequence[str]) -> Answer:
                await answer.wait()
                return status(400) if "again" in message_ids else ACCEPTED

            engine.receiver.decide = refuse_later
            engine.cluster.append(TOPIC, [survey_event("again")])
            await eventually(lambda: ["again"] in engine.receiver.batches)
            engine.cluster.append(TOPIC, [survey_event("again")], partition=1)
            await eventually(lambda: engine.total("consumed") == 3)
            answer.set()
            await engine.settled(2, 1)
        assert engine.receiver.batches.count(["again"]) == 1
        assert engine.total("dead_lettered") == 2

    async def test_without_evidence_that_anything_is_taken_nothing_is_blamed(self, engine: Delivering) -> None:
        engine.receiver.decide = lambda _message_ids: status(400)
        engine.cluster.append(TOPIC, survey_events(20))
        async with engine.running(engine.deliver):
            await eventually(lambda: engine.target.state is State.HELD)
        assert not engine.letters()
        assert engine.total("handed_back") == 20

    async def test_a_batch_that_is_too_large_is_halved(self, engine: Delivering) -> None:
        engine.receiver.decide = lambda ids: status(413) if len(ids) > 30 else ACCEPTED
        engine.cluster.append(TOPIC, survey_events(100))
        async with engine.running(engine.deliver):
            await engine.settled(100)
        assert len(engine.receiver.taken) == 100


class TestFailures:
    """The destination is unhappy: who is charged, who waits, who goes on."""

    @pytest.fixture(autouse=True)
    def _short_waits(self, engine: Delivering) -> None:
        engine.destination["retry"] = {"quick": ["1ms", "1ms", "1ms"], "schedule": ["1ms"]}
        engine.target = engine.new_target()

    async def test_an_event_that_always_fails_ends_alone_and_takes_nobody_along(self, engine: Delivering) -> None:
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = failing("evt_5")
        async with engine.running(engine.deliver):
            await engine.settled(1)
            engine.cluster.append(TOPIC, survey_events(50))
            await eventually(lambda: len(engine.receiver.taken) == 50)
            await engine.settled(51)
        headers = dict(engine.letters()[0].headers)
        assert headers["streamer.reason"] == b"retries_exhausted"
        assert headers["streamer.attempts"] == b"5"
        assert len(engine.letters()) == 1

    @pytest.mark.parametrize("answer", [status(403), status(302), status(429), status(503, 0.001)])
    async def test_an_answer_to_one_event_is_about_that_event_while_others_arrive(
        self, engine: Delivering, answer: Answer
    ) -> None:
        """A firewall that blocks one event used to hold the destination for everybody."""
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = lambda message_ids: answer if "evt_5" in message_ids else ACCEPTED
        with capture_logs() as lines:
            async with engine.running(engine.deliver):
                await engine.settled(1)
                engine.cluster.append(TOPIC, survey_events(50))
                await engine.settled(51)
        assert len(engine.receiver.taken) == 50
        [letter] = engine.letters()
        assert dict(letter.headers)["streamer.http.status"] == str(answer.status).encode()
        assert {line["event"] for line in lines}.isdisjoint({"destination.held", "destination.backing_off"})

    async def test_copies_of_a_call_whose_retries_ran_out_share_its_verdict(self, engine: Delivering) -> None:
        """Its bytes failed each time, for most of a day, while others were accepted: a copy would fail for as long."""
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = failing("evt_5")
        async with engine.running(engine.deliver):
            await engine.settled(1)
            engine.cluster.append(TOPIC, survey_events(20) + [survey_event("evt_5")] * 30)
            await engine.settled(51)
        assert len(engine.receiver.taken) == 20
        assert sum("evt_5" in batch for batch in engine.receiver.batches) <= 12
        assert [dict(letter.headers)["streamer.reason"] for letter in engine.letters()] == [b"retries_exhausted"] * 31

    async def test_attempts_outlive_the_instance(self, engine: Delivering) -> None:
        """What failed here is stated beside the position, and alone from its first request on elsewhere."""
        engine.destination["retry"] = {"quick": ["1ms"], "schedule": ["1h"]}
        engine.target = engine.new_target()
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = failing("evt_2")
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(1)
            engine.cluster.append(TOPIC, survey_events(5))
            await eventually(lambda: len(worker_of(pipeline).parked) == 1 and engine.committed() == 3)
        engine.receiver.batches.clear()
        engine.receiver.decide = lambda _message_ids: ACCEPTED
        async with engine.running(engine.deliver):
            await engine.settled(6)
        assert engine.receiver.batches == [["evt_2"]], "the others are stated as settled"

    async def test_parked_events_are_no_load(self, engine: Delivering) -> None:
        engine.destination["retry"] = {"quick": ["1ms"], "schedule": ["1h"]}
        engine.target = engine.new_target()
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = failing("evt_2", "evt_3")
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(1)
            engine.cluster.append(TOPIC, survey_events(5))
            await eventually(lambda: len(worker_of(pipeline).parked) == 2)
            await eventually(lambda: pipeline.custody.load.records == 0)
            assert worker_of(pipeline).parked_in(Place(TOPIC, 0)) == 2
            assert worker_of(pipeline).parked_bytes > 0

    async def test_over_the_cap_the_most_tried_are_given_up(self, engine: Delivering) -> None:
        engine.section["limits"] = {"max_parked_per_partition": 2}
        engine.destination["retry"] = {"quick": ["1ms"], "schedule": ["1h"]}
        engine.target = engine.new_target()
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        engine.receiver.decide = failing("evt_2", "evt_3", "evt_4")
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(1)
            engine.cluster.append(TOPIC, survey_events(9))
            await eventually(lambda: len(engine.letters()) == 1 and len(worker_of(pipeline).parked) == 2)
            await eventually(lambda: pipeline.custody.load.records == 0)
        assert engine.total("dead_lettered") == 1

    async def test_an_outage_charges_nothing_and_everything_waits(self, engine: Delivering) -> None:
        engine.receiver.decide = lambda _message_ids: BROKEN
        engine.cluster.append(TOPIC, survey_events(40))
        async with engine.running(engine.deliver) as pipeline:
            await eventually(lambda: engine.target.state is State.BACKING_OFF)
            assert len(worker_of(pipeline).parked) == 0
            assert pipeline.custody.load.records == 40
        assert not engine.letters()
        assert engine.total("handed_back") == 40

    async def test_a_wrong_key_holds_and_nothing_is_set_aside(self, engine: Delivering) -> None:
        engine.receiver.decide = lambda _message_ids: status(401)
        engine.cluster.append(TOPIC, survey_events(40))
        with capture_logs() as lines:
            async with engine.running(engine.deliver):
                await eventually(lambda: engine.target.state is State.HELD)
        assert not engine.letters()
        assert [line["error_type"] for line in lines if line["event"] == "destination.held"] == ["401"]


class TestMassGuard:
    """What it counts when records are read again."""

    async def test_records_that_were_settled_before_a_restart_count_as_good_ones(self, engine: Delivering) -> None:
        """Only the bad ones are open and come again: without the others they would look like all there is."""
        engine.cluster.append(TOPIC, [value for event in survey_events(100) for value in (event, event, b"not JSON")])
        engine.cluster.max_record_bytes[LETTERS] = 10
        async with engine.running(engine.deliver):
            await eventually(lambda: engine.total("delivered") == 100)
        assert engine.total("handed_back") == 100
        (engine.directory / "one" / "guarded.json").unlink()
        engine.cluster.max_record_bytes.clear()
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(300)
            assert not pipeline.is_guarded

    async def test_when_every_record_is_bad_from_some_moment_on_at_most_twenty_are_set_aside(
        self, engine: Delivering
    ) -> None:
        """One by one, and after any number of good ones: 76 were seen."""
        engine.cluster.append(TOPIC, survey_events(300))
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(300, 0)
            while not pipeline.is_guarded:
                set_aside = engine.total("dead_lettered")
                engine.cluster.append(TOPIC, [b"not JSON"])
                await eventually(lambda: engine.total("dead_lettered") > set_aside or pipeline.is_guarded)  # noqa: B023
        assert len(engine.letters()) == 20

    async def test_calls_that_are_known_count_in_their_place_among_the_refused(self, engine: Delivering) -> None:
        """They are known when they are read. The refusals come later, one after the other: that is no surge."""
        refused = [f"evt_{number}" for number in range(0, 1_000, 20)]
        engine.receiver.decide = refusing(*refused)
        async with engine.running(engine.deliver) as pipeline:
            for end in (1_000, 2_000):
                engine.cluster.append(TOPIC, survey_events(1_000))
                await engine.settled(end, 0)
            assert not pipeline.is_guarded
        assert len(engine.letters()) == 2 * len(refused)

    async def test_so_do_those_that_a_commit_states_as_settled(self, engine: Delivering) -> None:
        """After a restart only the refused ones are open, if their dead letters could not be written before."""
        refused = [f"evt_{number}" for number in range(0, 600, 15)]
        engine.receiver.decide = refusing(*refused)
        engine.cluster.append(TOPIC, survey_events(600))
        engine.cluster.max_record_bytes[LETTERS] = 10
        async with engine.running(engine.deliver):
            await eventually(lambda: engine.total("delivered") == 600 - len(refused))
        assert engine.total("handed_back") == len(refused)
        (engine.directory / "one" / "guarded.json").unlink()
        engine.cluster.max_record_bytes.clear()
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(600, 0)
            assert not pipeline.is_guarded
        assert engine.total("known_settled") > 0

    async def test_calls_that_are_known_by_their_receipts_count_as_delivered(self, engine: Delivering) -> None:
        """A producer sends everything again: the refused ones have no receipts, and alone look like all there is."""
        engine.section["dead_letters"] = {"max_ratio": 0.3}
        engine.cluster.append(TOPIC, survey_events(100))
        async with engine.running(engine.deliver):
            await engine.settled(100)
        (engine.directory / "one" / "guarded.json").unlink()
        engine.receiver.decide = refusing(*(f"bad_{number}" for number in range(20)))
        engine.cluster.append(TOPIC, survey_events(100) + survey_events(20, "bad"))
        async with engine.running(engine.deliver) as pipeline:
            await engine.settled(220)
            assert not pipeline.is_guarded
            assert len(engine.letters()) == 20


class TestRebalances:
    """Partitions leave while requests are out."""

    @pytest.fixture
    async def answers(self, engine: Delivering) -> asyncio.Future[Answer]:
        """What every request gets once it is set."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        engine.receiver.decide = lambda _message_ids: asyncio.shield(answer)
        return answer

    async def test_a_late_answer_settles_nothing_of_another_assignment(
        self, engine: Delivering, answers: asyncio.Future[Answer]
    ) -> None:
        engine.timings = dataclasses.replace(engine.timings, commit_every=3_600)  # ours would replace what is stored
        engine.cluster.append(TOPIC, survey_events(5))
        async with engine.running(engine.deliver) as pipeline:
            await eventually(lambda: engine.receiver.batches)
            pipeline.assignment.suspend()
            engine.cluster.group(GROUP).stored[Place(TOPIC, 0)] = StoredPosition(0, "")
            pipeline.assignment.give(frozenset({Place(TOPIC, 0), Place(TOPIC, 1)}))
            await eventually(lambda: pipeline.assignment.is_restored and engine.total("consumed") == 10)
            assert len(engine.receiver.batches) == 1, "read again, they wait for the answer"
            answers.set_result(ACCEPTED)
            await eventually(lambda: engine.total("delivered") == 5)
        assert engine.committed() == 5
        assert len(engine.receiver.batches) == 1
        assert (engine.total("handed_back"), engine.total("delivered")) == (5, 5)

    async def test_a_request_without_an_answer_delays_a_rebalance_for_a_while_only(
        self, engine: Delivering, answers: asyncio.Future[Answer]
    ) -> None:
        engine.cluster.append(TOPIC, survey_events(5))
        with capture_logs() as lines:
            async with engine.running(engine.deliver):
                await eventually(lambda: engine.receiver.batches)
                await engine.cluster.group(GROUP).rebalance()
                assert [line["requests"] for line in lines if line["event"] == "drain.incomplete"] == [1]
                answers.set_result(ACCEPTED)
                await engine.settled(5)
        assert engine.total("handed_back") == 0, "the partition came back before the answer did"

    async def test_who_waited_for_a_record_that_left_goes_by_itself(
        self, engine: Delivering, answers: asyncio.Future[Answer]
    ) -> None:
        engine.cluster.append(TOPIC, [survey_event("same")], partition=0)
        async with engine.running(engine.deliver) as pipeline:
            await eventually(lambda: engine.receiver.batches)
            engine.cluster.append(TOPIC, [survey_event("same")], partition=1)
            await eventually(lambda: engine.total("consumed") == 2)
            pipeline.assignment.fence([Place(TOPIC, 0)])
            engine.receiver.decide = lambda _message_ids: ACCEPTED
            answers.set_result(BROKEN)
            await eventually(lambda: engine.committed(1) == 1)
        assert engine.receiver.batches == [["same"], ["same"]]


class TestEnds:
    """A stop, at any moment."""

    async def test_a_stop_waits_for_the_answer_and_commits_it(self, engine: Delivering) -> None:
        engine.timings = dataclasses.replace(engine.timings, commit_every=3_600, drain=5.0)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        engine.receiver.decide = lambda _message_ids: answer
        engine.cluster.append(TOPIC, survey_events(5))
        async with engine.running(engine.deliver):
            await eventually(lambda: engine.receiver.batches)
            asyncio.get_running_loop().call_soon(answer.set_result, ACCEPTED)
        assert engine.committed() == 5

    async def test_a_request_that_hangs_is_given_up_and_its_events_stay_open(self, engine: Delivering) -> None:
        engine.receiver.decide = lambda _message_ids: asyncio.get_running_loop().create_future()
        engine.cluster.append(TOPIC, survey_events(5))
        async with engine.running(engine.deliver):
            await eventually(lambda: engine.receiver.batches)
        assert engine.committed() == 0
        assert engine.total("handed_back") == 5
        assert engine.target.status.in_flight == 0, "its permit is free again"

    @pytest.mark.parametrize("turns", range(0, 80, 4))
    async def test_a_cancellation_at_any_moment_loses_nothing(self, engine: Delivering, turns: int) -> None:
        """Whatever was taken by then has its receipt, and is not sent again."""
        engine.cluster.append(TOPIC, survey_events(1, "before"))
        async with engine.running(engine.deliver):
            await engine.settled(1)
        engine.cluster.append(TOPIC, survey_events(30))
        pipeline = engine.pipeline(engine.deliver)
        running = asyncio.create_task(pipeline.run(asyncio.Event()))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert engine.target.status.in_flight == 0
        async with engine.running(engine.deliver):
            await engine.settled(31)
        assert sorted(engine.receiver.taken) == sorted(["before_0", *(f"evt_{number}" for number in range(30))])


async def test_another_mapper_takes_over_between_two_records(engine: Delivering) -> None:
    """Without a rebalance, and without a record that is read again."""
    engine.cluster.append(TOPIC, survey_events(10, "before"))
    async with engine.running(engine.deliver) as pipeline:
        await engine.settled(10, 0)
        engine.section["events"] = {"disabled": ["Response Submitted"]}
        worker_of(pipeline).remap(Mapper(engine.settings().mapping("surveys")), None)
        engine.cluster.append(TOPIC, survey_events(5, "after"))
        await engine.settled(15, 0)
    assert len(engine.receiver.taken) == 10
    assert engine.total("filtered") == 5


async def test_what_arrives_while_a_person_stops_it_waits(engine: Delivering) -> None:
    """Also if it was being waited for when the pause began."""
    engine.cluster.append(TOPIC, survey_events(10, "before"))
    async with engine.running(engine.deliver) as pipeline:
        await engine.settled(10, 0)
        reader, is_paused = pipeline._reader, True
        reader.is_stopped = lambda: is_paused
        turned_at = reader.turned_at
        engine.cluster.append(TOPIC, survey_events(5, "meanwhile"))
        await eventually(lambda: reader.turned_at > turned_at)
        await eventually(lambda: reader.reads_since is None)
        assert engine.total("consumed") == 10
        is_paused = False
        await engine.settled(15, 0)
    assert len(engine.receiver.taken) == 15
