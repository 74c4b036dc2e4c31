"""A wall clock that jumps: waits are of the other clock, and what counts in epoch seconds bears an hour either way."""

import asyncio
import time

import pytest

from streamer.core.delivery.transitions import State
from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.service.harness import Deployment, delivery_of, eventually, survey_events

pytestmark = pytest.mark.kafka

HOUR = 3_600.0
EVENTS = 100
RETRY_SECONDS = 1.0


class WallClock:
    """The wall clock of this process, as far as Python tells it."""

    def __init__(self) -> None:
        self._time = time.time
        self._offset = 0.0

    def __call__(self) -> float:
        return self._time() + self._offset

    def jump(self, seconds: float) -> None:
        """Be ahead of the true time by so much, or behind it."""
        self._offset = seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(time, "time", clock)
    return clock


async def test_a_clock_that_jumps_delays_nothing_and_repeats_nothing(deployment: Deployment, clock: WallClock) -> None:
    """After each jump: an event that waits goes again in its time, and copies of what was delivered are known."""
    deployment.destination["retry"] = {"quick": [RETRY_SECONDS] * 3, "schedule": [RETRY_SECONDS] * 3}
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(EVENTS))
        await deployment.settled()
        for number, jump in enumerate([HOUR, -HOUR]):
            waiting = f"waiting_{number}_0"
            fault = Fault(match=Match(message_ids=frozenset({waiting})), action=Action(status=500), times=1)
            deployment.sandbox.faults.set(fault)
            await deployment.produce(topic, survey_events(1, f"waiting_{number}"))
            await eventually(lambda: delivery_of(service).parked)
            clock.jump(jump)
            await deployment.produce(topic, [*survey_events(EVENTS), *survey_events(EVENTS, f"new_{number}")])
            await deployment.settled(RETRY_SECONDS + 5)
        runner = service.integrations["surveys"].runner
        assert runner.restarts == 0
        assert sum(account.duplicate for account in runner.accounts.values()) == 2 * EVENTS

    await deployment.verify()


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_an_outage_ends_in_its_time_though_the_clock_jumps(
    deployment: Deployment, clock: WallClock, jump: float
) -> None:
    """A wait that was asked for is kept, neither longer nor shorter."""
    deployment.sandbox.faults.set(Fault(times=1, action=Action(status=429, retry_after=2)))
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        destination = service.destinations["segment"]
        await deployment.produce(topic, survey_events(EVENTS), partition=0)
        await eventually(lambda: destination.state is State.BACKING_OFF)
        began_at = asyncio.get_running_loop().time()
        clock.jump(jump)
        await deployment.settled()
        assert 1.9 < asyncio.get_running_loop().time() - began_at < 5

    await deployment.verify()
