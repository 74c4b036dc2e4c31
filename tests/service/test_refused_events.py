"""Events that the destination will not take: they are found, set aside alone, and cost their neighbours little."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from streamer.core.delivery.transitions import State
from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.service.harness import Deployment, delivery_of, eventually, survey_event, survey_events

pytestmark = pytest.mark.kafka


def poison(message_id: str, status: int = 400) -> Fault:
    """Answers a refusal to every request that holds this call."""
    return Fault(match=Match(message_ids=frozenset({message_id})), action=Action(status=status))


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    """A topic whose events travel in batches of 100."""
    deployment.destination["batch"] = {"max_calls": 100, "linger": 0.5}
    deployment.destination["max_in_flight"] = 1
    [topic] = await deployment.integrate(partitions=1)
    return topic


@pytest.mark.parametrize("place", [0, 41, 99])
@pytest.mark.parametrize("status", [400, 422])
async def test_one_refused_event_of_a_hundred_is_found_in_few_requests(
    deployment: Deployment, topic: str, place: int, status: int
) -> None:
    """The destination has taken calls before, so a refusal is about the calls."""
    await deployment.produce(topic, survey_events(100, "before"), partition=0)
    deployment.sandbox.faults.set(poison(f"evt_{place}", status))

    async with deployment.running():
        await deployment.settled()
        requests = sum(deployment.sandbox.record.requests_by_answer.values())
        await deployment.produce(topic, survey_events(100), partition=0)
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.accepted == 199
    assert sum(deployment.sandbox.record.requests_by_answer.values()) - requests - 1 <= 15
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.reason"] == (b"rejected_400" if status == 400 else b"rejected_4xx")
    assert headers["streamer.message_id"] == f"evt_{place}".encode()
    assert headers["streamer.http.status"] == str(status).encode()
    assert headers["__connect.errors.stage"] == b"DELIVER"


@pytest.mark.parametrize("place", [0, 41, 99])
async def test_a_refused_event_is_found_in_the_very_first_batch(deployment: Deployment, topic: str, place: int) -> None:
    """Nothing was ever accepted, so the refusal may be about our set-up: single calls are tried until one is taken."""
    deployment.sandbox.faults.set(poison(f"evt_{place}"))
    await deployment.produce(topic, survey_events(100), partition=0)

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.accepted == 99
    assert sum(deployment.sandbox.record.requests_by_answer.values()) - 1 <= 15
    assert len(await deployment.dead_letters()) == 1


async def test_several_refused_events_are_all_found(deployment: Deployment, topic: str) -> None:
    deployment.sandbox.faults.set(*(poison(f"evt_{place}") for place in (3, 4, 50, 98)))
    await deployment.produce(topic, survey_events(100), partition=0)

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.accepted == 96
    assert len(await deployment.dead_letters()) == 4


async def test_a_destination_that_refuses_everything_is_held(deployment: Deployment, topic: str) -> None:
    """A disabled source answers 400 to all: that is no verdict on any event."""
    deployment.hurry(held_probe=0.1)
    deployment.sandbox.faults.set(Fault(action=Action(status=400)))
    await deployment.produce(topic, survey_events(300), partition=0)

    async with deployment.running() as service:
        await eventually(lambda: service.destinations["segment"].state is State.HELD)
        deployment.sandbox.faults.clear()
        await deployment.settled()

    await deployment.verify()
    assert await deployment.dead_letters() == []


async def test_an_event_that_always_fails_does_not_take_its_neighbours_along(
    deployment: Deployment, topic: str
) -> None:
    """A 500 blames nobody by itself. Company shrinks at each retry, so all but the one are delivered meanwhile."""
    deployment.destination["max_in_flight"] = 4
    deployment.destination["retry"] = {"quick": [0.1, 0.2, 0.3], "schedule": [0.5, 1.0]}
    deployment.sandbox.faults.set(poison("evt_41", 500))
    await deployment.produce(topic, survey_events(100, "before"), partition=0)

    async with deployment.running() as service:
        await deployment.settled()
        await deployment.produce(topic, survey_events(100), partition=0)
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.accepted == 199)
        assert await deployment.dead_letters() == [], "its neighbours have not waited for its end"
        account = service.integrations["surveys"].runner.accounts[topic, 0]
        await _deliver_others_until(lambda: account.dead_lettered.total() > 0, deployment, topic)
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.reason"] == b"retries_exhausted"
    assert headers["streamer.message_id"] == b"evt_41"
    assert headers["streamer.attempts"] == b"6"
    assert headers["streamer.first_failure_time"] < headers["streamer.dead_letter_time"]


async def test_parked_events_over_the_cap_are_given_up_early(deployment: Deployment) -> None:
    """Failing events must never keep good ones from being read, nor fill the memory."""
    deployment.destination["retry"] = {"quick": [0.1], "schedule": ["1h"]}
    deployment.destination["batch"] = {"max_calls": 1, "linger": 0}
    deployment.destination["max_in_flight"] = 1
    [topic] = await deployment.integrate(partitions=1, limits={"max_parked_per_partition": 3})
    bad = frozenset(f"bad_{number}" for number in range(8))
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=bad), action=Action(status=500)))
    values = [value for pair in zip(survey_events(8, "bad"), survey_events(8, "good"), strict=True) for value in pair]
    await deployment.produce(topic, [*survey_events(1, "first"), *values], partition=0)

    async with deployment.running() as service:
        async with asyncio.timeout(20):
            await deployment.sandbox.until(lambda record: record.accepted == 9)
        worker = delivery_of(service)
        account = service.integrations["surveys"].runner.accounts[topic, 0]
        await eventually(lambda: account.dead_lettered.total() == 5 and len(worker.parked) == 3)

    await deployment.verify(is_over=False)
    deployment.sandbox.faults.clear()
    async with deployment.running():
        await deployment.settled()
    # What had ended above the committed position was read again.
    await deployment.verify(settled_once=False)
    assert len(await deployment.dead_letters()) == 5


async def _deliver_others_until(happened: Callable[[], bool], deployment: Deployment, topic: str) -> None:
    """Keep other events flowing, one after the other: the destination is seen to work."""
    async with asyncio.timeout(20):
        for number in itertools.count():
            if happened():
                return
            await deployment.produce(topic, [survey_event(f"other_{number}")], partition=0)
            await deployment.sandbox.until(lambda record, number=number: record.count(f"other_{number}") > 0)  # type: ignore[misc]
