"""A write key that Segment does not know: it would answer 200 and drop the events, so none is sent to it."""

import asyncio

import pytest

from streamer.core.delivery.transitions import State
from tests.service.harness import WRITE_KEY, Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

EVENTS = 300
WRONG_KEY = "k" * 32


def with_key_file(deployment: Deployment, key: str) -> None:
    """Give the destination a key file, and somebody to ask about it; the sandbox then knows the right key only."""
    (deployment.directory / "key").write_text(key)
    del deployment.destination["write_key"]
    deployment.destination["write_key_file"] = str(deployment.directory / "key")
    deployment.destination["settings_endpoint"] = deployment.sandbox.url
    deployment.know_key(WRITE_KEY)


async def test_a_wrong_key_is_found_before_anything_is_sent(deployment: Deployment) -> None:
    """When the key file is corrected, everything is delivered, without a restart."""
    deployment.hurry(held_probe=0.2)
    with_key_file(deployment, WRONG_KEY)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with deployment.running() as service:
        destination = service.destinations["segment"]
        await eventually(lambda: destination.state is State.HELD, 10)
        assert destination.status.reason == "unknown_write_key"
        integration = service.integrations["surveys"]
        await eventually(
            lambda: integration.runner.pipeline and integration.runner.pipeline.custody.load.records == EVENTS
        )
        assert not any((await deployment.committed()).values())
        assert deployment.sandbox.record.received == 0
        (deployment.directory / "key").write_text(f"{WRITE_KEY}\n")
        await deployment.settled()
        assert destination.state is State.OK

    await deployment.verify()
    assert deployment.sandbox.record.swallowed == 0


async def test_a_key_that_is_withdrawn_while_events_flow_is_found_by_the_hourly_question(
    deployment: Deployment,
) -> None:
    """What was sent between its end and the question is lost at Segment: no answer of Segment tells."""
    deployment.hurry(held_probe=0.2, key_check_every=0.2)
    with_key_file(deployment, WRITE_KEY)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with deployment.running() as service:
        await deployment.settled()
        deployment.know_key("another_write_key_00000000000001")
        await eventually(lambda: service.destinations["segment"].state is State.HELD)
        received = deployment.sandbox.record.received
        await deployment.produce(topic, survey_events(EVENTS, "later"))
        integration = service.integrations["surveys"]
        await eventually(
            lambda: integration.runner.pipeline and integration.runner.pipeline.custody.load.records == EVENTS
        )
        assert deployment.sandbox.record.received == received == EVENTS
        deployment.know_key(WRITE_KEY)
        await deployment.settled()

    await deployment.verify()


async def test_events_flow_where_nobody_can_be_asked_about_the_key(deployment: Deployment) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    deployment.destination["settings_endpoint"] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(EVENTS))

    async with server:
        process = await deployment.start_process()
        await deployment.settled()
        told = process.log_events("destination.key_unverified")
        await process.kill()

    assert [line["detail"] for line in told] == ["connection_reset"]
    assert not process.log_events("destination.held")
    assert deployment.sandbox.record.accepted == EVENTS


async def test_the_key_of_another_region_is_found_before_anything_is_sent(deployment: Deployment) -> None:
    """``region: us`` is the default. The host in the US would answer 200 and drop the events."""
    deployment.sandbox._region = "eu"
    del deployment.destination["endpoint"]
    deployment.destination["settings_endpoint"] = deployment.sandbox.url
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(1))

    async with deployment.running() as service:
        destination = service.destinations["segment"]
        await eventually(lambda: destination.state is State.HELD)
        assert destination.status.reason == "wrong_region"
        assert destination.status.next_step.startswith("Set region: eu")
        integration = service.integrations["surveys"]
        await eventually(lambda: integration.runner.pipeline and integration.runner.pipeline.custody.load.records == 1)
        assert not destination.status.requests
