"""The listener before a real broker that is killed: what was answered with 200 is on the topic."""

import asyncio
import contextlib
import json

import pytest

from streamer.devkit.broker import Broker
from streamer.inbound.listener import Listener
from streamer.kafka import Publisher
from streamer.settings import KafkaSettings
from streamer.settings.inbound import InboundSettings
from tests.conftest import ConsumeAll, MakeTopic
from tests.doubles.kafka import MemoryCluster, MemoryPublisher
from tests.inbound.conftest import SECRET, Webhooks
from tests.inbound.test_listener import batch, call

pytestmark = pytest.mark.kafka

SENDERS = 8
WAIT_SECONDS = 60


class Senders:
    """Send batches all the time, as Segment does, and note what was accepted."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.statuses: list[int] = []
        self.accepted: set[str] = set()
        self._webhooks = webhooks
        self._next = 0

    async def send(self) -> None:
        while True:
            numbers = range(self._next, self._next + 10)
            self._next += 10
            status, _ = await self._webhooks.send(batch(*map(call, numbers)))
            self.statuses.append(status)
            if status == 200:
                self.accepted.update(f"m-{number}" for number in numbers)
            await asyncio.sleep(0.01)

    async def until(self, status: int, count: int) -> None:
        """Wait for so many more answers with a status."""
        wanted = self.statuses.count(status) + count
        async with asyncio.timeout(WAIT_SECONDS):
            while self.statuses.count(status) < wanted:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)


async def test_a_kill_of_the_broker_costs_no_accepted_call(
    own_broker: Broker, make_topic: MakeTopic, consume_all: ConsumeAll
) -> None:
    """Meanwhile the answer is 503, and afterwards 200 again without a restart. Copies are possible."""
    topic = await make_topic("inbound", partitions=3)
    document = {"listen": {"port": 0}, "webhooks": {"production": {"secrets": [SECRET]}}, "topic": topic}
    publisher = Publisher(KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers))
    publishing = asyncio.create_task(publisher.run())
    listener = Listener(InboundSettings.model_validate(document), publisher)
    await listener.start()
    cluster = MemoryCluster()
    webhooks = Webhooks(listener, cluster, MemoryPublisher(cluster))
    senders = Senders(webhooks)
    sending = [asyncio.create_task(senders.send()) for _ in range(SENDERS)]
    try:
        await senders.until(200, 20)
        own_broker.kill()
        await senders.until(503, SENDERS)
        await own_broker.start()
        await senders.until(200, 20)
    finally:
        for task in sending:
            task.cancel()
        await asyncio.wait(sending)
        await webhooks.close()
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing
    assert set(senders.statuses) == {200, 503}
    stored = {json.loads(record.value or b"")["messageId"] for record in await consume_all(topic)}
    assert senders.accepted <= stored
