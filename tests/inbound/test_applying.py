"""The way of a call through the engine into the directory: applied once, whatever fails. All of it is in memory."""

import asyncio
import logging
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.limiting import Limit
from streamer.core.errors import UnavailableError
from streamer.core.inbound.call import Applied, Call, CallOutcome, Ignored, IgnoredReason
from streamer.core.inbound.directory import Changes
from streamer.core.inbound.reading import read
from streamer.core.inbound.view import View
from streamer.core.model import DeadLetterReason
from streamer.inbound.availability import Availability, Backoff
from streamer.inbound.bugs import MAX_CONSECUTIVE, BugError
from streamer.inbound.slices import MAX_SLICE_CALLS
from streamer.kafka import TopicPartition as Place
from streamer.logs import EventLogger
from streamer.pipeline.runner import root_of
from tests.inbound.engine import TOPIC, InboundEngine, Instance, call
from tests.pipeline.engine import eventually

AWAY = UnavailableError("the directory cannot be used (unreachable): refused; check that the database runs")

NOT_A_CALL = b"{"


class LockedError(UnavailableError):
    """Another reason."""


@pytest.fixture
def engine(tmp_path: Path) -> InboundEngine:
    return InboundEngine(tmp_path)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each of thousands of calls takes longer than all the rest."""
    monkeypatch.setattr(sys.modules["streamer.logs.logger"], "_current", EventLogger(level=logging.INFO))


def calls(count: int, prefix: str = "m") -> list[bytes]:
    return [call(f"{prefix}{number}") for number in range(count)]


async def settled(engine: InboundEngine, *ends: int) -> None:
    """Wait until everything below these positions is committed, partition by partition."""
    await eventually(lambda: [engine.committed(number) for number in range(len(ends))] == list(ends))


def applied_everywhere(engine: InboundEngine) -> Counter[CallOutcome]:
    return sum((instance.outcomes() for instance in engine.instances), Counter[CallOutcome]())


def break_on(monkeypatch: pytest.MonkeyPatch, *message_ids: str) -> None:
    """Plant a bug: applying a call with one of these messageIds raises."""
    right = View.apply

    def stumble(self: View, applied: Call | Ignored) -> Applied:
        end = right(self, applied)  # half of the work is done when it happens
        if applied.message_id in message_ids:
            raise ZeroDivisionError("user@example.com")
        return end

    monkeypatch.setattr(View, "apply", stumble)


async def test_calls_are_applied_in_few_transactions_and_their_records_end(engine: InboundEngine) -> None:
    engine.write(*calls(700, "a"))
    engine.write(*calls(700, "b"), partition=1)
    async with engine.running() as instance:
        await settled(engine, 700, 700)
        assert instance.outcomes() == {CallOutcome.APPLIED: 1_400}
        assert instance.tally.transaction_seconds.count == engine.directory.committed
        assert instance.availability.is_up
    assert engine.directory.committed <= 20
    assert len(engine.directory.users) == 1_400


async def test_each_call_ends_in_the_way_that_its_content_says(engine: InboundEngine) -> None:
    engine.write(call("a"), NOT_A_CALL, call("p", type="page"), call("a"), call("b"), call("p", type="page"))
    async with engine.running() as instance:
        await settled(engine, 6)
        kinds = {(kind.type, kind.outcome, kind.reason): number for kind, number in instance.tally.calls.items()}
        assert kinds == {
            ("identify", CallOutcome.APPLIED, ""): 2,
            ("identify", CallOutcome.DUPLICATE, ""): 1,
            ("page", CallOutcome.IGNORED, IgnoredReason.NOT_AN_ACTION): 1,
            ("page", CallOutcome.DUPLICATE, ""): 1,
            ("_other", CallOutcome.DEAD_LETTERED, DeadLetterReason.DECODE_ERROR): 1,
        }
    [letter] = engine.letters()
    assert letter.value == NOT_A_CALL
    assert ("streamer.integration", b"inbound") in letter.headers


async def test_a_call_with_a_known_message_id_is_a_duplicate_whatever_it_holds(engine: InboundEngine) -> None:
    """Repeats are looked for before fields; one that nobody can apply may be sent again, corrected."""
    wrong = call("wrong", userId=[])
    engine.write(wrong, call("right"), call("right", userId=[]), call("wrong"))
    async with engine.running() as instance:
        await settled(engine, 4)
        assert instance.outcomes() == {
            CallOutcome.DEAD_LETTERED: 1,
            CallOutcome.APPLIED: 2,
            CallOutcome.DUPLICATE: 1,
        }
    assert [letter.value for letter in engine.letters()] == [wrong]


async def test_a_call_that_comes_again_in_another_slice_or_partition_is_a_duplicate(engine: InboundEngine) -> None:
    engine.write(*calls(3))
    async with engine.running() as instance:
        await settled(engine, 3)
        engine.write(*calls(3), *calls(1, "new"))
        engine.write(*calls(2), partition=1)
        await settled(engine, 7, 2)
        assert instance.outcomes() == {CallOutcome.APPLIED: 4, CallOutcome.DUPLICATE: 5}


async def test_calls_of_one_partition_are_applied_in_order(engine: InboundEngine) -> None:
    engine.write(*(call(f"m{number}", userId="ben", traits={"plan": number}) for number in range(1_234)))
    async with engine.running():
        await settled(engine, 1_234)
    [user] = engine.directory.users.values()
    assert user.person.attributes["plan"].value == 1_233, "times are equal, so the later applied one counts"


async def test_while_the_directory_is_away_calls_wait_and_nothing_is_set_aside(engine: InboundEngine) -> None:
    engine.directory.fault = AWAY
    engine.write(*calls(300), NOT_A_CALL)
    with capture_logs() as lines:
        async with engine.running() as instance:
            await eventually(lambda: not instance.availability.is_up and len(engine.letters()) == 1)
            assert "check that the database runs" in instance.availability.reason
            assert instance.applier.limited_by(time.monotonic() - 1) is Limit.BACKING_OFF
            assert not instance.applier.is_overdue(instance.applier._try_at - 0.001)
            assert (instance.settled(), instance.applier.records_held()) == (1, 300)
            engine.directory.fault = None
            await settled(engine, 301)
            assert instance.availability.is_up
            assert instance.outcomes() == {CallOutcome.APPLIED: 300, CallOutcome.DEAD_LETTERED: 1}
    told = [line["event"] for line in lines if line["event"].startswith("directory.")]
    assert told == ["directory.unavailable", "directory.recovered"]


async def test_a_slice_that_is_tried_again_is_still_in_order(engine: InboundEngine) -> None:
    failures: list[UnavailableError] = [AWAY]

    def fail_once(_: Changes) -> None:
        if failures:
            raise failures.pop()

    engine.directory.on_save = fail_once
    engine.write(*(call(f"m{number}", userId="ben", traits={"plan": number}) for number in range(150)))
    async with engine.running():
        await settled(engine, 150)
    [user] = engine.directory.users.values()
    assert user.person.attributes["plan"].value == 149


async def test_no_transaction_begins_while_partitions_are_taken_or_the_service_ends(engine: InboundEngine) -> None:
    async with engine.running() as instance:
        await instance.applier.quiesce(1.0)
        engine.write(*calls(5))
        await eventually(lambda: instance.applier.records_held() == 5)
        for _ in range(20):
            await asyncio.sleep(0)
        assert (engine.directory.begun, instance.applier.is_overdue(time.monotonic())) == (0, False)
        instance.applier.resume()
        await settled(engine, 5)


async def test_a_directory_that_is_away_for_several_users_is_said_once_for_each_reason() -> None:
    availability = Availability()
    with capture_logs() as lines:
        for _ in range(3):
            availability.failed("calls", AWAY)
            availability.failed("relay", LockedError("locked; look for an import"))
        availability.worked("relay")
        assert (availability.is_up, "check that the database runs" in availability.reason) == (False, True)
        availability.worked("calls")
        availability.worked("calls")
    assert availability.is_up
    assert [line["event"] for line in lines] == [*["directory.unavailable"] * 2, "directory.recovered"]


async def test_a_pause_after_a_failed_transaction_doubles_up_to_its_limit() -> None:
    backoff = Backoff(30.0)
    assert [backoff.next_seconds() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next_seconds() == 1


async def test_a_commit_that_is_lost_on_its_way_counts_once(engine: InboundEngine) -> None:
    """The database has committed, and we do not know: the same calls are duplicates of themselves."""
    engine.directory.loses_commits = 1
    engine.write(*calls(20))
    async with engine.running() as instance:
        await settled(engine, 20)
        assert instance.outcomes() == {CallOutcome.DUPLICATE: 20}
    assert len(engine.directory.users) == len(engine.directory.outbox) == 20


async def test_a_transaction_that_takes_too_long_is_undone_and_tried_again(engine: InboundEngine) -> None:
    engine.timings = replace(engine.timings, directory_transaction=0.02)
    engine.directory.open.clear()
    engine.write(*calls(5))
    async with engine.running() as instance:
        await eventually(lambda: engine.directory.begun > 1)
        assert "took more than" in instance.availability.reason
        engine.directory.open.set()
        await settled(engine, 5)
        assert instance.outcomes() == {CallOutcome.APPLIED: 5}


@pytest.mark.parametrize("guilty", [(0,), (17,), (0, 1, 2), (3, 60, 61, 99), tuple(range(1, 100, 3))])
async def test_a_bug_on_one_call_is_that_calls_alone(
    engine: InboundEngine, monkeypatch: pytest.MonkeyPatch, guilty: tuple[int, ...]
) -> None:
    break_on(monkeypatch, *(f"m{number}" for number in guilty))
    engine.write(*calls(100))
    async with engine.running() as instance:
        await settled(engine, 100)
        assert instance.outcomes() == {
            CallOutcome.APPLIED: 100 - len(guilty),
            CallOutcome.DEAD_LETTERED: len(guilty),
        }
    assert {dict(letter.headers)["__connect.errors.offset"] for letter in engine.letters()} == {
        str(number).encode() for number in guilty
    }
    assert {dict(letter.headers)["streamer.reason"] for letter in engine.letters()} == {b"internal_error"}
    assert {dict(letter.headers)["__connect.errors.stage"] for letter in engine.letters()} == {b"APPLY"}
    assert not any(b"user@example.com" in (value or b"") for letter in engine.letters() for _, value in letter.headers)
    assert engine.directory.usernames() == sorted(f"u-m{number}" for number in range(100) if number not in guilty)


@pytest.mark.parametrize("guilty", [(0,), (42,), (98, 99)])
async def test_a_bug_that_shows_when_changes_are_stored_is_found_with_smaller_slices(
    engine: InboundEngine, guilty: tuple[int, ...]
) -> None:
    names = {f"u-m{number}" for number in guilty}

    def stumble(changes: Changes) -> None:
        if names.intersection(user.username for user in changes.users):
            raise ValueError("cannot be stored")

    engine.directory.on_save = stumble
    engine.write(*calls(100))
    async with engine.running() as instance:
        await settled(engine, 100)
        assert instance.outcomes()[CallOutcome.DEAD_LETTERED] == len(guilty)
    assert engine.directory.usernames() == sorted({f"u-m{number}" for number in range(100)} - names)


@pytest.mark.parametrize("step", ["read", "save"])
async def test_a_bug_on_whatever_call_is_not_the_calls_fault(
    engine: InboundEngine, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Otherwise a bad update of streamer would set every call aside."""

    def stumble(*_: object) -> None:
        raise ValueError("whatever it is")

    if step == "read":
        monkeypatch.setattr("streamer.inbound.applying.read", stumble)
    else:
        engine.directory.on_save = stumble
    engine.write(*calls(MAX_CONSECUTIVE + 30))
    with pytest.raises(ExceptionGroup) as raised:
        async with engine.running() as instance:
            await eventually(lambda: instance.pipeline.assignment.ledgers == {} or not instance.pipeline.is_connected)
    assert isinstance(root_of(raised.value), BugError)
    assert len(engine.letters()) <= MAX_CONSECUTIVE
    engine.instances[0].verify()


async def test_a_bug_in_reading_a_call_is_that_calls_alone(
    engine: InboundEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = read

    def stumble(value: bytes, *rest: Any) -> Any:
        if b"m3" in value:
            raise ZeroDivisionError
        return right(value, *rest)

    monkeypatch.setattr("streamer.inbound.applying.read", stumble)
    engine.write(*calls(7))
    async with engine.running() as instance:
        await settled(engine, 7)
        assert instance.outcomes() == {CallOutcome.APPLIED: 6, CallOutcome.DEAD_LETTERED: 1}


async def test_a_rebalance_waits_for_the_transaction_and_hands_the_rest_on(engine: InboundEngine) -> None:
    """What the old owner applied is committed before the new one reads: nothing is a duplicate."""
    engine.timings = replace(engine.timings, revoke_drain=5.0)
    engine.directory.open.clear()
    engine.write(*calls(100, "a"))
    engine.write(*calls(100, "b"), partition=1)
    async with engine.running() as one:
        await eventually(lambda: one.applier.under_way)
        joining = asyncio.create_task(_second(engine, one))
        await asyncio.sleep(0)
        engine.directory.open.set()
        await joining
    assert len(engine.directory.messages) == 200
    assert applied_everywhere(engine)[CallOutcome.APPLIED] == 200


async def _second(engine: InboundEngine, _one: Instance) -> None:
    async with engine.running("two"):
        await settled(engine, 100, 100)


@pytest.mark.parametrize("under_way", [0, 1])
async def test_a_transaction_that_outlives_its_assignment_makes_duplicates_elsewhere(
    engine: InboundEngine, under_way: int
) -> None:
    """The old owner's commit comes after the partition was taken: the next owner's calls are known then."""
    engine.directory.open.clear()
    engine.write(*calls(50, "a"), partition=under_way)
    async with engine.running() as one:
        await eventually(lambda: one.applier.under_way)
        engine.write(*calls(50, "b"), partition=1 - under_way)
        async with engine.running("two") as two:
            await eventually(lambda: len(one.pipeline.assignment.ledgers) == len(two.pipeline.assignment.ledgers) == 1)
            is_taken = Place(TOPIC, under_way) in two.pipeline.assignment.ledgers
            await eventually(lambda: not is_taken or two.applier.records_held() >= 50)
            engine.directory.open.set()
            await settled(engine, 50, 50)
            ends = applied_everywhere(engine)
            assert ends == {CallOutcome.APPLIED: 50, CallOutcome.DUPLICATE: 50} if is_taken else True
    assert len(engine.directory.users) == len(engine.directory.messages) == 100


async def test_waiting_calls_of_a_partition_that_is_taken_away_are_forgotten(engine: InboundEngine) -> None:
    engine.directory.fault = AWAY
    engine.write(*calls(50, "a"))
    engine.write(*calls(50, "b"), partition=1)
    async with engine.running() as one:
        await eventually(lambda: one.applier.records_held() == 100 and not one.availability.is_up)
        async with engine.running("two") as two:
            await eventually(lambda: one.applier.records_held() == two.applier.records_held() == 50)
            engine.directory.fault = None
            await settled(engine, 50, 50)
    assert applied_everywhere(engine) == {CallOutcome.APPLIED: 100}


async def test_a_drain_finishes_the_transaction_under_way_and_hands_the_rest_back(engine: InboundEngine) -> None:
    engine.timings = replace(engine.timings, drain=5.0)
    engine.directory.open.clear()
    engine.write(*calls(MAX_SLICE_CALLS + 200))
    async with engine.running() as one:
        await eventually(lambda: one.applier.under_way and len(one.applier._waiting) > 0)
        asyncio.get_running_loop().call_later(0.02, engine.directory.open.set)
    applied = one.outcomes()[CallOutcome.APPLIED]
    assert 0 < applied < MAX_SLICE_CALLS + 200
    assert engine.committed() == applied
    async with engine.running("two"):
        await settled(engine, MAX_SLICE_CALLS + 200)
    assert applied_everywhere(engine) == {CallOutcome.APPLIED: MAX_SLICE_CALLS + 200}


@pytest.mark.parametrize("moment", range(60))
async def test_a_cancellation_at_any_moment_leaves_each_call_applied_once(engine: InboundEngine, moment: int) -> None:
    """Each await is a moment at which a pipeline may end."""
    engine.write(*calls(120, "a"), NOT_A_CALL)
    engine.write(*calls(120, "b"), partition=1)
    async with engine.running() as one:
        for _ in range(moment):
            await asyncio.sleep(0)
        one.task.cancel()
    async with engine.running("two"):
        await settled(engine, 121, 120)
    assert len(engine.directory.users) == len(engine.directory.messages) == 240
    assert len(engine.letters()) <= 2


async def test_in_debug_mode_each_applied_call_is_a_line(
    engine: InboundEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["streamer.logs.logger"], "_current", EventLogger())
    engine.write(call("m", anonymousId="d-1"), call("m"), call("p", type="page"))
    with capture_logs() as lines:
        async with engine.running(debug=True, environment="staging"):
            await settled(engine, 3)
    told = {line["event"]: line for line in lines if line["event"].startswith("call.")}
    assert set(told) == {"call.applied", "call.duplicate", "call.ignored"}
    line = told["call.applied"]
    assert line["log_level"] == "info"
    assert {
        name: line[name] for name in ("action", "message_id", "user_id", "username", "matched_by", "environment")
    } == {
        "action": "identify_user",
        "message_id": "m",
        "user_id": "u-m",
        "username": "u-m",
        "matched_by": "created",
        "environment": "staging",
    }
    assert "plan" not in str(lines)
    assert "Pro" not in str(line)


async def test_records_that_nobody_can_read_are_counted_too(engine: InboundEngine) -> None:
    engine.write(*calls(5))
    engine.cluster.damaged[Place(TOPIC, 0)] = range(2, 4)
    async with engine.running() as instance:
        await settled(engine, 5)
        assert instance.outcomes() == {CallOutcome.APPLIED: 3, CallOutcome.DEAD_LETTERED: 2}


async def test_a_bounded_number_of_calls_waits_in_memory(
    engine: InboundEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamer.pipeline.subscription.MAX_OPEN_CALLS", 400)
    engine.directory.fault = AWAY
    engine.write(*calls(3_000))
    async with engine.running() as instance:
        await eventually(lambda: instance.pipeline.custody.load.is_full)
        assert instance.applier.records_held() < 3_000
        engine.directory.fault = None
        await settled(engine, 3_000)
