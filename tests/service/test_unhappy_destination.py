"""Segment in trouble, or we with it: nothing is lost, nothing is charged to events, and delivery goes on by itself."""

import asyncio

import pytest

from streamer.core.delivery.transitions import State
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.record import SandboxRecord
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 300


def requests(record: SandboxRecord) -> int:
    return sum(record.requests_by_answer.values())


async def test_a_wrong_key_holds_the_destination_until_it_is_right(deployment: Deployment) -> None:
    """401 says that our set-up is wrong: no event is blamed, and no restart is needed once it is cured."""
    deployment.hurry(held_probe=0.2)
    deployment.sandbox.faults.set(Fault(action=Action(status=401)))
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with deployment.running() as service:
        destination = service.destinations["segment"]
        await eventually(lambda: destination.state is State.HELD)
        sent_before = requests(deployment.sandbox.record)
        await eventually(lambda: requests(deployment.sandbox.record) >= sent_before + 3)
        probed = [call.message_id for call, _ in deployment.sandbox.record.latest(3)]
        assert not any((await deployment.committed()).values())
        deployment.sandbox.faults.clear()
        await deployment.settled()
        assert destination.state is State.OK

    await deployment.verify()
    assert await deployment.dead_letters() == []
    assert len(set(probed)) == 3, "each probe carries a different event"


async def test_the_write_key_file_is_read_again_before_a_probe(deployment: Deployment) -> None:
    """Exchanging a mounted secret is enough."""
    deployment.hurry(held_probe=0.2)
    key_file = deployment.directory / "key"
    key_file.write_text("revoked_write_key")
    del deployment.destination["write_key"]
    deployment.destination["write_key_file"] = str(key_file)
    deployment.require_key("current_write_key")
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with deployment.running() as service:
        await eventually(lambda: service.destinations["segment"].state is State.HELD)
        key_file.write_text("current_write_key\n")
        await deployment.settled()

    await deployment.verify()


async def test_a_wait_that_is_asked_for_is_kept(deployment: Deployment) -> None:
    """After a 429 with Retry-After nothing at all is sent before its time, and the 429 is no attempt of any event."""
    deployment.sandbox.faults.set(Fault(times=1, action=Action(status=429, retry_after=2)))
    deployment.destination["batch"]["max_calls"] = 20
    deployment.destination["max_in_flight"] = 1
    deployment.destination["retry"] = {"quick": [0.001], "schedule": [0.001]}
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(100))

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    calls = [call for call, _ in deployment.sandbox.record.latest()]
    asked_at = [call.received_at for call in calls if call.answer == "429"]
    sent_at = [call.received_at for call in calls if call.answer == "200"]
    assert len(asked_at) == 20
    assert min(sent_at) - asked_at[0] >= 2.0


async def test_an_outage_charges_nothing_and_ends_by_itself(deployment: Deployment) -> None:
    """Retries of 1 ms are used up at once: any charge that the failed probe does not take back makes a dead letter."""
    deployment.destination["retry"] = {"quick": [0.001], "schedule": [0.001]}
    deployment.destination["batch"]["max_calls"] = 10
    [topic] = await deployment.integrate()

    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(EVENTS))
        await deployment.settled()
        deployment.sandbox.faults.set(Fault(action=Action(status=503)))
        await deployment.produce(topic, survey_events(EVENTS, "during"))
        answers = deployment.sandbox.record.requests_by_answer
        await eventually(lambda: service.destinations["segment"].state is State.BACKING_OFF)
        before_the_probe = answers["503"]
        await eventually(lambda: answers["503"] > before_the_probe)
        deployment.sandbox.faults.clear()
        await deployment.settled(10)

    await deployment.verify()
    assert await deployment.dead_letters() == []


@pytest.mark.parametrize(
    ("action", "max_times"),
    [
        (Action(reset=True), 1),
        (Action(reset_after=True), 4),
        (Action(hang=True), 4),
        (Action(cut_body=True), 4),
        (Action(latency_seconds=0.1), 1),
        (Action(status=500), 1),
    ],
    ids=["reset", "reset after taking", "hang", "cut body", "latency", "500"],
)
async def test_a_connection_that_fails_now_and_then_loses_nothing(
    deployment: Deployment, action: Action, max_times: int
) -> None:
    """Where the destination took the calls and we could not know, they are sent again under the same messageIds."""
    deployment.destination["timeout"] = 0.5
    deployment.destination["retry"] = {"quick": [0.05, 0.1, 0.2], "schedule": [0.2, 0.4, 0.8]}
    deployment.destination["batch"]["max_calls"] = 20
    deployment.sandbox.faults.set(Fault(action=action, match=Match(every=4), times=5))
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with deployment.running():
        await deployment.settled()

    await deployment.verify(max_times=max_times)
    assert deployment.sandbox.record.accepted == EVENTS


async def test_a_batch_that_is_too_large_goes_again_in_halves(deployment: Deployment) -> None:
    """A proxy with a smaller limit than Segment's answers 413; the size learnt is kept."""
    deployment.sandbox.faults.set(Fault(times=1, action=Action(status=413)))
    deployment.destination["batch"] |= {"max_bytes": 100_000, "linger": 0.2}
    deployment.destination["max_in_flight"] = 1
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(1_000))

    async with deployment.running() as service:
        await deployment.settled()
        assert service.destinations["segment"].wanted().max_bytes < 60_000

    await deployment.verify()
    assert deployment.sandbox.record.requests_by_answer["413"] == 1


async def test_two_integrations_share_the_permits_of_a_destination(deployment: Deployment) -> None:
    """Neither takes the destination for itself, however much it has to send."""
    deployment.destination["max_in_flight"] = 1
    deployment.destination["batch"]["max_calls"] = 10
    deployment.sandbox.faults.set(Fault(action=Action(latency_seconds=0.02)))
    [many] = await deployment.integrate("many")
    [few] = await deployment.integrate("few")
    await deployment.produce(many, survey_events(2_000, "many"))
    await deployment.produce(few, survey_events(20, "few"))

    async with deployment.running():
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.count("few_0") > 0)
        assert deployment.sandbox.record.accepted < 1_000
        deployment.sandbox.faults.clear()
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.max_requests_in_flight == 1


async def test_a_held_destination_does_not_hold_another(deployment: Deployment) -> None:
    deployment.hurry(held_probe=0.2)
    deployment.document["destinations"]["closed"] = {**deployment.destination, "write_key": "another_write_key"}
    deployment.require_key(deployment.destination["write_key"])
    [stuck] = await deployment.integrate("stuck", destination="closed")
    [topic] = await deployment.integrate("surveys")

    async with deployment.running() as service:
        await deployment.produce(stuck, survey_events(EVENTS, "stuck"))
        await eventually(lambda: service.destinations["closed"].state is State.HELD)
        await deployment.produce(topic, survey_events(EVENTS))
        async with asyncio.timeout(10):
            await deployment.sandbox.until(lambda record: record.accepted == EVENTS)
        deployment.require_key("another_write_key")
        await deployment.settled()

    await deployment.verify()
