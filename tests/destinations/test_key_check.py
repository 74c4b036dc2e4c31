"""A wrong write key is found before anything is sent: what a destination does with the answers about its key."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.key_watch import KeyFinding
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.errors import UnavailableError
from streamer.destinations import Destination
from streamer.destinations.source_settings import KeyAnswer
from streamer.settings import DestinationSettings
from streamer.timings import PRODUCTION, Timings
from tests.doubles.destination import MemoryClient, status
from tests.pipeline.engine import eventually

SETTINGS = DestinationSettings.model_validate({"write_key": "streamer_test_key"})
TIMINGS = dataclasses.replace(PRODUCTION, held_probe=0.005, key_check_every=3_600)
CALL = b'{"messageId":"a"}'

KNOWN = KeyAnswer(KeyFinding.KNOWN)
UNKNOWN = KeyAnswer(KeyFinding.UNKNOWN)
UNCLEAR = KeyAnswer(KeyFinding.UNCLEAR, "503")


class Segment:
    """Takes calls with every key, and knows some of them: as the real one."""

    def __init__(self, timings: Timings = TIMINGS) -> None:
        self.client = MemoryClient()
        self.answer = KNOWN
        self.asked: list[str] = []
        """The keys that somebody asked about."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.fault: BaseException | None = None
        self.known: set[str] = set()
        """If not empty, these keys are known and no others."""
        self.destination = Destination(
            "segment", SETTINGS, client=self.client, timings=timings, ask_about_key=self.ask_about_key
        )

    async def ask_about_key(self, timeout_seconds: float) -> KeyAnswer:
        assert timeout_seconds > 0
        key = self.client._key_in_use
        self.asked.append(key)
        if self.fault is not None:
            raise self.fault
        await self.may_answer.wait()
        for _ in range(5):
            await asyncio.sleep(0)  # as long as others take to run
        if self.known:
            return KNOWN if key in self.known else UNKNOWN
        return self.answer

    async def send(self) -> None:
        await self.destination.borrow("surveys")
        attempt = self.destination.start("surveys", 1)
        await self.destination.send(attempt, [CALL], size=100, resend_count=0)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask about the key meanwhile, as the service does."""
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self.destination.watch_key())
            try:
                yield
            finally:
                watching.cancel()

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send one call as soon as that is possible, and wait for it at the end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.send())
            yield


@pytest.fixture
async def segment() -> AsyncIterator[Segment]:
    segment = Segment()
    yield segment
    await segment.destination.close()


async def test_nothing_is_sent_before_the_first_answer(segment: Segment) -> None:
    async with segment.sending():
        for _ in range(10):
            await asyncio.sleep(0)
        assert segment.client.batches == []
        assert not segment.destination.can_send(0.0)
        assert segment.destination.state is State.OK, "there is nothing to tell yet"
        async with segment.watched():
            await eventually(lambda: segment.client.taken)
    assert segment.asked == ["one"]


async def test_with_an_unknown_key_nothing_is_sent_until_it_is_known(segment: Segment) -> None:
    """No probe either: Segment would answer it with 200 and drop its event."""
    segment.answer = UNKNOWN
    with capture_logs() as lines:
        async with segment.watched(), segment.sending():
            await eventually(lambda: len(segment.asked) > 5)
            destination = segment.destination
            assert segment.client.batches == []
            assert (destination.state, destination.status.state) == (State.HELD, State.HELD)
            assert destination.status.reason == "unknown_write_key"
            assert "API keys of the source" in destination.status.next_step
            assert destination.limited_by(0.0) is Limit.HELD
            assert segment.client.keys_read >= 4, "the key is read again before each question"
            segment.answer = KNOWN
        assert segment.client.taken == ["a"]
        assert (segment.destination.state, segment.destination.status.next_step) == (State.OK, "")
    assert [line["event"] for line in lines] == ["destination.held", "destination.resumed"]
    assert lines[0]["error_type"] == "unknown_write_key"


async def test_a_corrected_key_is_asked_about_and_then_used(segment: Segment) -> None:
    changes: list[str] = []
    segment.destination.on_key_changed(lambda: changes.append(segment.client.key))
    segment.known = {"two"}
    with capture_logs() as lines:
        async with segment.watched(), segment.sending():
            await eventually(lambda: segment.destination.state is State.HELD)
            segment.client.key = "three"
            await eventually(lambda: "three" in segment.asked)
            assert segment.client.batches == []
            segment.client.key = "two"
    assert segment.client.taken == ["a"]
    assert changes == ["three", "two"], "what was delivered with another key proves nothing: the receipts hear of it"
    assert [line["event"] for line in lines] == ["destination.held", "destination.resumed"]


async def test_a_key_that_is_replaced_while_the_destination_is_held_is_asked_about_before_its_probe(
    segment: Segment,
) -> None:
    """For example for a 401 of a gateway."""
    segment.known = {"one"}
    async with segment.watched():
        segment.client.decide = lambda _ids: status(401)
        await segment.send()
        assert segment.destination.status.reason == "401"
        segment.client.decide = lambda _ids: status(200)
        segment.client.key = "two"
        async with segment.sending():
            await eventually(lambda: segment.destination.status.reason == "unknown_write_key")
            assert segment.client.taken == []
            segment.client.key = "one"
    assert segment.client.taken == ["a"]


async def test_an_answer_about_the_former_key_says_nothing_about_the_next_one() -> None:
    """The key is replaced while the hourly question is under way."""
    segment = Segment(dataclasses.replace(TIMINGS, key_check_every=0.01))
    segment.known = {"one"}
    async with segment.watched():
        segment.client.decide = lambda _ids: status(401)
        await segment.send()
        segment.may_answer.clear()
        asked = len(segment.asked)
        await eventually(lambda: len(segment.asked) > asked)
        segment.client.decide = lambda _ids: status(200)
        segment.client.key = "two"
        async with segment.sending():
            await eventually(lambda: segment.client._key_in_use == "two")
            segment.may_answer.set()
            await eventually(lambda: segment.destination.status.reason == "unknown_write_key")
            assert segment.client.taken == []
            segment.client.key = "one"
    await segment.destination.close()


async def test_a_key_that_becomes_unknown_is_found_by_the_hourly_question() -> None:
    segment = Segment(dataclasses.replace(TIMINGS, key_check_every=0.01))
    async with segment.watched():
        await segment.send()
        answer = asyncio.get_running_loop().create_future()
        segment.client.decide = lambda _ids: asyncio.shield(answer)
        async with segment.sending():
            await eventually(lambda: segment.destination.status.in_flight == 1)
            segment.answer = UNKNOWN
            await eventually(lambda: segment.destination.state is State.HELD)
            answer.set_result(status(200))
        assert segment.client.taken == ["a", "a"], "what was in flight ends as it ends"
        assert segment.destination.state is State.HELD
    await segment.destination.close()


async def test_a_service_that_cannot_be_asked_is_said_once_and_stops_nothing() -> None:
    segment = Segment(dataclasses.replace(TIMINGS, key_check_every=0.01))
    segment.answer = UNCLEAR
    with capture_logs() as lines:
        async with segment.watched():
            await segment.send()
            await eventually(lambda: len(segment.asked) > 1)  # a second later
            segment.answer = KNOWN
            await eventually(lambda: len(segment.asked) > 4)
            segment.answer = UNCLEAR
            await eventually(lambda: len(lines) > 1)
        assert segment.destination.state is State.OK
    assert {line["event"] for line in lines} == {"destination.key_unverified"}
    assert [line["detail"] for line in lines] == ["503", "503"], "once, and once more after it had answered"
    await segment.destination.close()


async def test_a_service_that_hangs_delays_the_start_only_for_so_long() -> None:
    segment = Segment(dataclasses.replace(TIMINGS, key_check_timeout=0.01))
    segment.may_answer.clear()
    with capture_logs() as lines:
        async with segment.watched():
            await segment.send()
    assert [(line["event"], line["detail"]) for line in lines] == [("destination.key_unverified", "timeout")]
    await segment.destination.close()


async def test_a_key_that_was_unknown_stays_so_while_nobody_can_be_asked(segment: Segment) -> None:
    segment.answer = UNKNOWN
    with capture_logs() as lines:
        async with segment.watched(), segment.sending():
            await eventually(lambda: segment.destination.state is State.HELD)
            segment.answer = UNCLEAR
            asked = len(segment.asked)
            await eventually(lambda: len(segment.asked) > asked + 5)
            assert segment.client.batches == []
            assert [line["event"] for line in lines] == ["destination.held"]
            segment.client.key = "two"
            await eventually(lambda: segment.client.taken)
    assert "destination.key_unverified" in [line["event"] for line in lines], "now calls go out"
    assert segment.destination.state is State.OK, "nothing is known against the other key"


@pytest.mark.parametrize(
    ("fault", "events"),
    [
        (RuntimeError("planted"), {"observer.failed", "destination.key_unverified"}),
        (UnavailableError("ca_file cannot be read"), {"destination.key_unverified"}),
        (asyncio.CancelledError(), {"destination.key_unverified"}),  # nobody asked for it
    ],
)
async def test_a_failure_of_the_question_itself_stops_nothing(
    segment: Segment, fault: BaseException, events: set[str]
) -> None:
    segment.fault = fault
    with capture_logs() as lines:
        async with segment.watched():
            await segment.send()
    assert {line["event"] for line in lines} == events
    assert "planted" not in str(lines)


async def test_an_end_of_the_questions_leaves_no_destination_shut_for_want_of_an_answer(segment: Segment) -> None:
    segment.may_answer.clear()
    async with segment.watched():
        await eventually(lambda: segment.asked)
    async with asyncio.timeout(10):
        await segment.send()


async def test_without_anybody_to_ask_calls_go_at_once() -> None:
    client = MemoryClient()
    destination = Destination("segment", SETTINGS, client=client, timings=TIMINGS)
    await destination.watch_key()
    assert destination.can_send(asyncio.get_running_loop().time())
    await destination.close()
