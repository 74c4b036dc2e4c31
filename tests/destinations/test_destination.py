"""Permits and probes in real time: who waits for whom, and what a cancellation leaves behind."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery import permits
from streamer.core.delivery.answers import Answer, NetworkFault, answer_of_fault
from streamer.core.delivery.attempt import Attempt, Verdict
from streamer.core.delivery.concurrency import INITIAL_LIMIT
from streamer.core.delivery.permits import PERMITS_WITHOUT_EVIDENCE
from streamer.core.delivery.transitions import State
from streamer.destinations import Destination
from streamer.destinations.remedies import held_next_step
from streamer.settings import DestinationSettings
from streamer.timings import PRODUCTION
from tests.doubles.destination import MemoryClient, status
from tests.pipeline.engine import eventually

SETTINGS = DestinationSettings.model_validate({"write_key": "streamer_test_key", "max_in_flight": 4})
TIMINGS = dataclasses.replace(PRODUCTION, held_probe=0.005)
CALL = b'{"messageId":"a"}'


class Target:
    """A destination, its client, and requests made the way a pipeline makes them."""

    def __init__(self, settings: DestinationSettings = SETTINGS) -> None:
        self.client = MemoryClient()
        self.destination = Destination("segment", settings, client=self.client, timings=TIMINGS)

    async def borrow(self, calls: int = 1) -> Attempt:
        await self.destination.borrow("surveys")
        return self.destination.start("surveys", calls, is_retry=False)

    async def send(self, calls: int = 1) -> Verdict:
        attempt = await self.borrow(calls)
        verdict, _ = await self.destination.send(attempt, [CALL] * calls, size=100, resend_count=0)
        return verdict

    def hang(self) -> asyncio.Future[Answer]:
        """Let requests wait for this answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.client.decide = lambda _ids: asyncio.shield(answer)
        return answer


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    target = Target()
    yield target
    await target.destination.close()
    assert target.client.is_closed


async def test_permits_run_out_and_come_back(target: Target) -> None:
    assert await target.send() is Verdict.DELIVERED
    answer = target.hang()
    sending = [asyncio.create_task(target.send()) for _ in range(4)]
    await eventually(lambda: target.destination.status.in_flight == min(4 // 2, INITIAL_LIMIT))
    assert len(target.client.batches) == 1 + 2
    answer.set_result(status(200))
    assert set(await asyncio.gather(*sending)) == {Verdict.DELIVERED}
    assert target.destination.status.in_flight == 0


async def test_until_anything_was_accepted_few_requests_go(target: Target) -> None:
    answer = target.hang()
    sending = [asyncio.create_task(target.send()) for _ in range(4)]
    await eventually(lambda: target.destination.status.in_flight == PERMITS_WITHOUT_EVIDENCE)
    answer.set_result(status(200))
    await asyncio.gather(*sending)


async def test_those_who_wait_are_served_in_their_order(target: Target) -> None:
    held = [await target.borrow() for _ in range(PERMITS_WITHOUT_EVIDENCE)]
    served: list[int] = []

    async def wait(number: int) -> None:
        await target.destination.borrow("surveys")
        served.append(number)
        target.destination.decline()

    waiting = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert served == []
    await target.destination.send(held[0], [CALL], size=100, resend_count=0)
    await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3, 4], "each declined, and the next one had its turn"


async def test_the_integration_with_the_fewest_requests_is_served_first(target: Target) -> None:
    held = [await target.borrow() for _ in range(PERMITS_WITHOUT_EVIDENCE)]
    served: list[str] = []

    async def wait(integration: str) -> None:
        await target.destination.borrow(integration)
        served.append(integration)
        target.destination.decline()

    waiting = [asyncio.create_task(wait(name)) for name in ("surveys", "surveys", "other")]
    await asyncio.sleep(0)
    await target.destination.send(held[0], [CALL], size=100, resend_count=0)
    await asyncio.gather(*waiting)
    assert served == ["other", "surveys", "surveys"]


async def test_whoever_has_retries_to_send_hears_when_they_may_begin(target: Target) -> None:
    await target.send()
    told: list[bool] = []
    end = target.destination.notify(
        on_refund=lambda _: None, on_room=lambda: told.append(target.destination.wanted().may_resend)
    )
    await target.destination.borrow("surveys")
    attempt = target.destination.start("surveys", 1, is_resend=True)
    assert not target.destination.wanted().may_resend, "half of two permits"
    await target.destination.send(attempt, [CALL], size=100, resend_count=1)
    assert told == [True]
    end()
    await target.destination.borrow("surveys")
    await target.destination.send(
        target.destination.start("surveys", 1, is_resend=True), [CALL], size=100, resend_count=1
    )
    assert told == [True]


async def test_a_request_that_hangs_ends_before_its_timeout(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permits, "MIN_OVERDUE_SECONDS", 0.0)
    monkeypatch.setattr(permits, "OVERDUE_FACTOR", 0)
    await target.send()
    never = target.hang()
    hanging = asyncio.create_task(target.send(2))
    await eventually(lambda: target.destination.status.in_flight == 1)
    target.client.decide = lambda _ids: status(200)
    for _ in range(permits.MIN_OVERTAKEN):
        assert not hanging.done()
        await target.send()
    async with asyncio.timeout(5):
        assert await hanging is Verdict.RETRY_CHARGED
    assert (target.destination.status.in_flight, target.destination.state) == (0, State.OK)
    never.cancel()


async def test_one_that_is_cancelled_while_it_waits_leaves_its_turn_to_the_next(target: Target) -> None:
    held = [await target.borrow() for _ in range(PERMITS_WITHOUT_EVIDENCE)]
    first, second = (asyncio.create_task(target.borrow()) for _ in range(2))
    await asyncio.sleep(0)
    sending = target.destination.send(held[0], [CALL], size=100, resend_count=0)
    await sending
    first.cancel()  # woken already, and cancelled before it ran
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(1):
        assert (await second).calls == 1


async def test_a_request_that_is_cancelled_gives_its_permit_back(target: Target) -> None:
    target.hang()
    sending = [asyncio.create_task(target.send()) for _ in range(PERMITS_WITHOUT_EVIDENCE)]
    await eventually(lambda: target.destination.status.in_flight == PERMITS_WITHOUT_EVIDENCE)
    for task in sending:
        task.cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    assert target.destination.status.in_flight == 0
    target.client.decide = lambda _ids: status(200)
    assert await target.send() is Verdict.DELIVERED


async def test_an_error_of_the_client_gives_the_permit_back_and_is_raised(target: Target) -> None:
    def fail(_ids: Sequence[str]) -> Answer:
        raise RuntimeError("planted")

    target.client.decide = fail
    with pytest.raises(RuntimeError):
        await target.send()
    assert target.destination.status.in_flight == 0


async def test_a_held_destination_is_probed_with_its_key_read_again(target: Target) -> None:
    target.client.decide = lambda _ids: status(401)
    with capture_logs() as lines:
        await target.send()
        assert target.destination.status.state is State.HELD
        assert (target.destination.status.reason, target.client.renewals) == ("401", 1)
        next_probe_at = target.destination.status.next_probe_at
        assert next_probe_at is not None
        assert 0 < next_probe_at - target.destination.status.since < 2
        assert target.client.keys_read == 0
        async with asyncio.timeout(2):
            assert await target.send() is Verdict.RETRY_FREE
        assert target.client.keys_read == 1
        target.client.decide = lambda _ids: status(200)
        async with asyncio.timeout(2):
            assert await target.send() is Verdict.DELIVERED
    assert target.destination.state is State.OK
    assert [line["event"] for line in lines] == ["destination.held", "destination.resumed"]
    assert (target.destination.status.next_step, target.destination.status.next_probe_at) == ("", None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answer_of_fault(NetworkFault.TLS_VERIFICATION), ["api.segment.io", "certificate", "trust store"]),
        (answer_of_fault(NetworkFault.DNS_UNKNOWN_HOST), ["api.segment.io", "name servers"]),
        (answer_of_fault(NetworkFault.WEB_PAGE), ["api.segment.io", "web page", "endpoint"]),
        (status(307), ["api.segment.io", "endpoint", "redirect"]),
        (status(404), ["api.segment.io", "endpoint"]),
        (status(407), ["proxy"]),
    ],
)
async def test_a_held_destination_says_what_to_do_about_its_reason(
    target: Target, answer: Answer, words: list[str]
) -> None:
    """Who is told to check the write key, while the certificate is wrong, looks at the wrong place."""
    target.client.decide = lambda _ids: answer
    with capture_logs() as lines:
        await target.send()
    (line,) = lines
    assert (line["event"], line["error_type"]) == ("destination.held", answer.error)
    assert [word for word in words if word not in line["next_step"]] == []
    assert "write_key" not in line["next_step"]
    assert target.destination.status.next_step == line["next_step"]


async def test_the_next_step_follows_the_reason_while_it_is_held(target: Target) -> None:
    target.client.decide = lambda _ids: answer_of_fault(NetworkFault.TLS_VERIFICATION)
    await target.send()
    target.client.decide = lambda _ids: status(401)
    async with asyncio.timeout(2):
        await target.send()
    assert (target.destination.status.reason, target.destination.status.next_step) == (
        "401",
        held_next_step("401", target.destination.settings),
    )


async def test_one_that_asks_to_wait_for_long_is_asked_for_less(target: Target) -> None:
    """Nothing is to be done at first. Whoever reads it for the third time should know what is."""
    target.client.decide = lambda _ids: status(429, 1.0)
    with capture_logs() as lines:
        await target.send()
    [line] = [line for line in lines if line["event"] == "destination.backing_off"]
    assert line["next_step"].startswith("No action is needed if this ends within minutes. If it lasts, set rate_limit")
    assert target.destination.status.next_step == line["next_step"]


async def test_a_key_that_cannot_be_read_is_logged_and_the_old_one_serves(target: Target) -> None:
    target.client.decide = lambda _ids: status(401)
    await target.send()
    target.client.key_is_readable = False
    target.client.decide = lambda _ids: status(200)
    with capture_logs() as lines:
        async with asyncio.timeout(2):
            assert await target.send() is Verdict.DELIVERED
    assert "destination.key_unreadable" in [line["event"] for line in lines]


async def test_while_it_is_held_the_next_request_must_be_a_probe(target: Target) -> None:
    target.client.decide = lambda _ids: status(401)
    assert not target.destination.wanted().is_probe
    await target.send(calls=3)
    assert target.destination.wanted().is_probe


async def test_time_alone_wakes_one_that_waits_for_a_probe(target: Target) -> None:
    """No request is out that could end and wake it."""
    target.client.decide = lambda _ids: status(401)
    await target.send()
    target.client.decide = lambda _ids: status(200)
    waiting = asyncio.create_task(target.borrow())
    async with asyncio.timeout(2):
        attempt = await waiting
    assert attempt.is_probe


async def test_closing_cancels_what_would_wake_somebody(target: Target) -> None:
    target.client.decide = lambda _ids: status(401)
    await target.send()
    waiting = asyncio.create_task(target.borrow())
    await asyncio.sleep(0)
    await target.destination.close()
    assert target.destination._alarm is not None
    assert target.destination._alarm.cancelled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_failures_that_were_the_destinations_are_taken_back(target: Target) -> None:
    refunded: list[Attempt] = []
    end = target.destination.notify(on_refund=refunded.extend, on_room=lambda: None)
    assert await target.send() is Verdict.DELIVERED
    target.client.decide = lambda _ids: answer_of_fault(NetworkFault.RESET)
    verdicts = []
    while target.destination.state is State.OK:
        verdicts.append(await target.send())
    charged = verdicts.count(Verdict.RETRY_CHARGED)
    assert charged >= 1
    assert not refunded, "the first probe decides"
    async with asyncio.timeout(5):
        await target.send()
    assert len(refunded) == charged
    assert all(attempt.is_refunded for attempt in refunded)
    end()
    assert target.destination._listeners == []


async def test_a_batch_that_is_too_large_lowers_the_size_of_the_next(target: Target) -> None:
    target.client.decide = lambda _ids: status(413)
    before = target.destination.wanted().max_bytes
    attempt = await target.borrow(2)
    verdict, _ = await target.destination.send(attempt, [CALL] * 2, size=200_000, resend_count=0)
    assert verdict is Verdict.SPLIT
    assert target.destination.wanted().max_bytes == 100_000 < before
