"""Four incidents from beginning to end, as docs/incidents.md tells them.

In each, the first line of the page and the log say within 15 seconds what is wrong, whether data is at risk and what to
do. Doing that ends the incident, and nothing was lost.
"""

import contextlib
import json
import signal
from collections.abc import AsyncIterator

import pytest

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault
from tests.browser.kit import Chromium
from tests.faults.traffic import repeated
from tests.incidents.operator import Operator, on_call
from tests.service.harness import WRITE_KEY, Deployment, survey_events

pytestmark = pytest.mark.kafka

BATCH = 10
"""Records that are produced at a time."""

PACE_SECONDS = 0.1
NEW_KEY = "streamer_test_write_key_000000002"
BROKEN = b'{"survey": '


@contextlib.asynccontextmanager
async def flow(deployment: Deployment, topic: str, *, broken: int = 0) -> AsyncIterator[None]:
    """Produce while the block lasts; of `BATCH` records, so many are malformed."""

    async def produce(number: int) -> None:
        values = [*survey_events(BATCH - broken, f"evt_{broken}_{number}"), *[BROKEN] * broken]
        await deployment.produce(topic, values)

    async with repeated(produce, PACE_SECONDS):
        yield


@contextlib.asynccontextmanager
async def running(deployment: Deployment, chromium: Chromium | None) -> AsyncIterator[Operator]:
    """The service as a process of its own, with all its production waits, and a person who looks at it."""
    process = await deployment.start_process()
    async with on_call(process, process.config, chromium) as operator:
        await operator.reads("Nothing is at risk", seconds=30)
        yield operator
    process.send(signal.SIGTERM)
    assert await process.wait() == 0


def says_all(line: dict[str, object]) -> bool:
    """Whether a line of the log says that no data is at risk, what to do, and where to read more."""
    return line["data_at_risk"] == "no" and bool(line["next_step"]) and "runbook" in line


async def test_a_wrong_write_key(deployment: Deployment, chromium: Chromium | None) -> None:
    """The key was rotated at Segment only. The right one in the key file is enough."""
    key_file = deployment.directory / "key"
    key_file.write_text(WRITE_KEY)
    del deployment.destination["write_key"]
    deployment.destination["write_key_file"] = str(key_file)
    deployment.require_key(WRITE_KEY)
    [topic] = await deployment.integrate()
    async with running(deployment, chromium) as operator:
        async with flow(deployment, topic):
            deployment.require_key(NEW_KEY)
            await operator.reads("surveys", "write key", "No data at risk", "Do:")
            assert says_all(await operator.finds_in_log("destination.held"))
            await operator.takes_picture("incident-wrong-key")
            key_file.write_text(NEW_KEY)
            await operator.reads("Nothing is at risk", seconds=45)
        await deployment.settled()
    await deployment.verify(settled_once=False)


async def test_segment_answers_429_for_minutes(deployment: Deployment, chromium: Chromium | None) -> None:
    """Nothing has to be done: what Segment does not take waits on Kafka."""
    [topic] = await deployment.integrate()
    async with running(deployment, chromium) as operator:
        async with flow(deployment, topic):
            deployment.sandbox.faults.set(Fault(action=Action(status=429, retry_after=3)))
            await operator.reads("429", "No data at risk", "records wait on Kafka", "Do:")
            line = await operator.finds_in_log("destination.backing_off")
            assert line["data_at_risk"] == "no"
            assert line["next_step"]
            await operator.takes_picture("incident-rate-limit")
            deployment.sandbox.faults.clear()
            await operator.reads("Nothing is at risk", seconds=45)
        await deployment.settled()
    await deployment.verify(settled_once=False)


async def test_a_fifth_of_the_events_is_malformed(deployment: Deployment, chromium: Chromium | None) -> None:
    """The others are delivered. ``streamer dlq ls`` says how many were set aside, and why."""
    [topic] = await deployment.integrate()
    async with running(deployment, chromium) as operator:
        async with flow(deployment, topic, broken=2):
            await operator.reads("surveys", "dead letters", "decode_error", "Do:")
            assert says_all(await operator.finds_in_log("event.dead_lettered"))
            await operator.takes_picture("incident-malformed")
        await deployment.settled()
        listed = await operator.types("dlq", "ls", "-o", "json")
    assert listed.code == 0, listed.err
    [row] = map(json.loads, listed.out.splitlines())
    assert (row["reason"], row["dead_letters"]) == ("decode_error", len(await deployment.dead_letters()))
    await deployment.verify(settled_once=False)


async def test_all_events_are_malformed(deployment: Deployment, chromium: Chromium | None) -> None:
    """The mass guard keeps the topic from being emptied. Its records are delivered once the cause is removed."""
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(BATCH, "before"))
    async with running(deployment, chromium) as operator, flow(deployment, topic, broken=BATCH):
        await operator.reads("surveys", "mass guard", "No data at risk", "Do:")
        assert says_all(await operator.finds_in_log("integration.guarded"))
        await operator.takes_picture("incident-guarded")
    deployment.integration("surveys")["dead_letters"] = {"max_ratio": 1}
    async with running(deployment, chromium):
        async with flow(deployment, topic):
            pass
        await deployment.settled()
    await deployment.verify(settled_once=False)


async def test_the_broker_is_gone(own_broker: Broker, deployment: Deployment, chromium: Chromium | None) -> None:
    """Everything waits, and goes on by itself when the broker is back."""
    [topic] = await deployment.integrate()
    async with running(deployment, chromium) as operator:
        async with flow(deployment, topic):
            await operator.reads("Nothing is at risk")
        own_broker.kill()
        await operator.reads("Kafka", "no broker has answered", "No data at risk", "Do:")
        line = await operator.finds_in_log("kafka.unavailable")
        assert line["data_at_risk"] == "no"
        assert line["next_step"]
        await operator.takes_picture("incident-broker")
        checked = await operator.types("check", "--connect")
        assert checked.code == 69, checked
        await own_broker.start()
        await operator.reads("Nothing is at risk", seconds=60)
        async with flow(deployment, topic):
            pass
        await deployment.settled()
    await deployment.verify(settled_once=False)
