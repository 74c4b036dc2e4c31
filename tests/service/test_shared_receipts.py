"""Receipts shared through a topic on the real broker: a copy is known whichever instance delivered the event."""

import time
from collections.abc import Iterable

import pytest

from streamer.core.records.receipt_record import decode
from streamer.receipts import digest_of
from streamer.service import Service
from tests.conftest import ConsumeAll
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 40


def assigned(service: Service) -> set[int]:
    pipeline = service.integrations["surveys"].runner.pipeline
    return set() if pipeline is None else {place.partition for place in pipeline.assignment.assigned_since}


def knows(service: Service, prefix: str) -> bool:
    digests = [digest_of(f"{prefix}_{number}") for number in range(EVENTS)]
    return len(service.integrations["surveys"].receipts.find(digests, time.time())) == EVENTS


def complete(service: Service, topic: str, partitions: Iterable[int]) -> bool:
    channel = service.integrations["surveys"].channel
    assert channel is not None
    return all(channel.complete_since(topic, partition, time.time()) is not None for partition in partitions)


async def test_copies_are_known_over_instances_partitions_and_the_loss_of_a_disk(
    deployment: Deployment, consume_all: ConsumeAll
) -> None:
    """Each event is sent once: its copy is on the partition of another instance, or comes after all disks are lost."""
    receipts = f"streamer-test.receipts.{deployment.directory.name}"
    deployment.document["receipts"] = {"topic": receipts}
    deployment.document["kafka"]["create_topics"] = True
    [topic] = await deployment.integrate()
    deployment.hurry(receipts_ask=0.2)
    async with deployment.running(state="one") as one, deployment.running(state="two") as two:
        await eventually(lambda: assigned(one) | assigned(two) == {0, 1} and len(assigned(one)) == len(assigned(two)))
        await deployment.produce(topic, survey_events(EVENTS, "a"), partition=0)
        await eventually(lambda: knows(one, "a") and knows(two, "a"))
        await deployment.produce(topic, survey_events(EVENTS, "a"), partition=1)
        await deployment.produce(topic, survey_events(EVENTS, "b"), partition=1)
        await deployment.settled()
        assert deployment.sandbox.record.accepted == 2 * EVENTS
        await eventually(lambda: complete(one, topic, assigned(one)) and complete(two, topic, assigned(two)))

    async with deployment.running(state="another disk") as three:
        await eventually(lambda: assigned(three) == {0, 1} and complete(three, topic, (0, 1)))
        assert knows(three, "a")
        assert knows(three, "b")
        await deployment.produce(topic, survey_events(EVENTS, "b"), partition=0)
        await deployment.produce(topic, survey_events(1, "end"), partition=0)
        await deployment.settled()
        assert deployment.sandbox.record.accepted == 2 * EVENTS + 1

    async with deployment.running(state="another disk") as again:
        await eventually(lambda: again.shared_receipts and again.shared_receipts.follower.behind == 0)
        channel = again.integrations["surveys"].channel
        assert channel is not None
        assert channel.restored_total <= 1, "it goes on where it was"

    batches = [decode(record.key, record.value) for record in await consume_all(receipts)]
    told = {(batch.topic, batch.status, batch.attempt, batch.destination_name) for batch in batches if batch}
    assert told == {(topic, 200, 1, "segment")}
    assert sum(len(batch.offsets) for batch in batches if batch) == 2 * EVENTS + 1
    await deployment.verify(settled_once=False)


async def test_everything_flows_without_the_topic(deployment: Deployment) -> None:
    """It does not exist, and streamer may not create it: said, counted, and no commit waits for it."""
    deployment.document["receipts"] = {"topic": f"streamer-test.missing.{deployment.directory.name}"}
    deployment.hurry(receipts_flush=0.1)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))
    async with deployment.running() as service:
        await deployment.settled()
        shared = service.integrations["surveys"].shared_status()
        assert shared is not None
        assert "does not exist" in shared.fault
        assert shared.waiting == EVENTS
        assert not complete(service, topic, (0,))
    assert service.integrations["surveys"].shared_status().missing_total == EVENTS  # type: ignore[union-attr]
    await deployment.verify()
