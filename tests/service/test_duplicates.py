"""The same messageId more than once: one call goes out, and never is the last good copy lost."""

import asyncio

import pytest

from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.service import Service
from tests.service.harness import Deployment, delivery_of, eventually, survey_event, survey_events

pytestmark = pytest.mark.kafka

COPIES = 5


def duplicates(service: Service) -> int:
    return sum(account.duplicate for account in service.integrations["surveys"].runner.accounts.values())


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    [topic] = await deployment.integrate()
    return topic


async def test_copies_in_one_batch(deployment: Deployment, topic: str) -> None:
    deployment.destination["batch"]["linger"] = 0.3
    await deployment.produce(topic, [survey_event("evt")] * COPIES, partition=0)

    async with deployment.running() as service:
        await deployment.settled()
        assert duplicates(service) == COPIES - 1

    await deployment.verify()
    assert deployment.sandbox.record.received == 1


async def test_copies_in_other_partitions_while_the_first_is_in_flight(deployment: Deployment, topic: str) -> None:
    """They wait for the end of the first, whichever partition they came from."""
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.3)))
    async with deployment.running() as service:
        await deployment.produce(topic, [survey_event("evt")], partition=0)
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.received > 0)
        await deployment.produce(topic, [survey_event("evt")] * COPIES)
        await deployment.settled()
        assert duplicates(service) == COPIES

    await deployment.verify()
    assert deployment.sandbox.record.received == 1


async def test_copies_after_the_first_was_delivered(deployment: Deployment, topic: str) -> None:
    async with deployment.running() as service:
        for _ in range(COPIES):
            await deployment.produce(topic, [survey_event("evt")])
            await deployment.settled()
        assert duplicates(service) == COPIES - 1

    await deployment.verify()
    assert deployment.sandbox.record.received == 1


async def test_copies_after_a_restart(deployment: Deployment, topic: str) -> None:
    await deployment.produce(topic, survey_events(50))
    async with deployment.running():
        await deployment.settled()
    await deployment.produce(topic, survey_events(50))
    async with deployment.running() as service:
        await deployment.settled()
        assert duplicates(service) == 50

    await deployment.verify()
    assert deployment.sandbox.record.received == 50


async def test_a_corrected_copy_does_not_die_with_the_refused_one(deployment: Deployment, topic: str) -> None:
    """The second copy waits for the first; the first is refused for what it holds, the second is not."""
    wrong = survey_event("twice").replace(b"Response Submitted", b"Flow Viewed")
    refused = Fault(match=Match(event="Flow Viewed"), action=Action(status=400, latency_seconds=0.3))
    async with deployment.running():
        await deployment.produce(topic, survey_events(1, "before"))
        await deployment.settled()
        deployment.sandbox.faults.set(refused)
        await deployment.produce(topic, [*survey_events(20), wrong, survey_event("twice")], partition=0)
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    assert letter.value == wrong
    assert deployment.sandbox.record.count("twice") == 1


async def test_copies_of_a_record_that_cannot_be_read_are_set_aside_each(deployment: Deployment, topic: str) -> None:
    await deployment.produce(topic, [b"{"] * COPIES)

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert len(await deployment.dead_letters()) == COPIES


async def test_copies_of_one_that_is_retried_wait_with_it(deployment: Deployment, topic: str) -> None:
    """Parked or not, it is on its way: a copy beside it would be the duplicate that we are there to prevent."""
    deployment.destination["retry"] = {"quick": [0.3], "schedule": [0.3]}
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(1, "before"))
        await deployment.settled()
        deployment.sandbox.faults.set(Fault(times=1, action=Action(status=500)))
        await deployment.produce(topic, [survey_event("evt")], partition=0)
        await eventually(lambda: len(delivery_of(service).parked) == 1)
        await deployment.produce(topic, [survey_event("evt")] * COPIES)
        await deployment.settled()
        assert duplicates(service) == COPIES

    await deployment.verify()
    assert deployment.sandbox.record.count("evt") == 1


async def test_an_operator_who_resets_the_offsets_gets_everything_again(deployment: Deployment, topic: str) -> None:
    """A receipt of the very same record does not stop it, because the stored position is not of our making."""
    await deployment.produce(topic, survey_events(50))
    async with deployment.running():
        await deployment.settled()
    await deployment.reset_positions(topic)
    async with deployment.running():
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.received == 100)
        await deployment.settled()

    await deployment.verify(max_times=2, settled_once=False)


async def test_a_restart_does_not_end_what_an_operator_asked_for(deployment: Deployment, topic: str) -> None:
    """The stored position is ours by then, but the receipts above it are those of the first time."""
    deployment.destination["batch"]["max_calls"] = 10
    await deployment.produce(topic, survey_events(200))
    async with deployment.running():
        await deployment.settled()
    await deployment.reset_positions(topic)
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.2)))
    deployment.destination["max_in_flight"] = 1
    async with deployment.running():
        await deployment.commits_beyond(30)
    assert deployment.sandbox.record.received < 400, "it ended in the middle"

    deployment.sandbox.faults.clear()
    async with deployment.running():
        await deployment.settled()

    await deployment.verify(max_times=2, settled_once=False)
    assert deployment.sandbox.record.received == 400


async def test_a_suffix_sets_destinations_apart(deployment: Deployment, topic: str) -> None:
    """Segment's memory of ids spans sources: without one, the second copy would vanish with a 200."""
    deployment.document["destinations"]["second"] = {**deployment.destination, "message_id_suffix": "-b"}
    copied = {**deployment.integration("surveys"), "destination": "second"}
    copied["group_id"] += ".copy"
    deployment.document["integrations"]["copy"] = copied
    await deployment.produce(topic, survey_events(20))

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.accepted == 40
    assert deployment.sandbox.record.count("evt_0-b") == 1
