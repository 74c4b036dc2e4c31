"""The batch that nobody can read: brokers take it and keep it, and the oracles' reader passes it by."""

import pytest

from streamer.devkit.broker import Broker
from tests.conftest import MakeTopic, Produce
from tests.faults.unreadable import UNREADABLE, read_around, unreadable_batch
from tests.kafka.batches import produce_raw
from tests.service.harness import survey_events

pytestmark = pytest.mark.kafka


async def test_it_lies_in_its_place_also_after_a_crash(
    own_broker: Broker, make_topic: MakeTopic, produce: Produce
) -> None:
    """A broker that comes back cuts a log off where a batch's own checksum is wrong: this one's is right."""
    topic = await make_topic("unreadable", partitions=2)
    events = survey_events(3)
    await produce(topic, events, partition=1)
    assert await produce_raw(own_broker.bootstrap_servers, topic, 1, unreadable_batch(events)) == 3
    await produce(topic, events[:1], partition=1)
    await produce(topic, events[:1], partition=0)
    own_broker.kill()
    await own_broker.start()

    records = await read_around(own_broker.bootstrap_servers, topic)

    assert [(record.partition, record.offset, record.value) for record in records] == [
        (0, 0, events[0]),
        *((1, offset, value) for offset, value in enumerate([*events, *[UNREADABLE] * 3, events[0]])),
    ]
