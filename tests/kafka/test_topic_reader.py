"""Reading topics between two offsets, without a trace."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from streamer.__main__ import main
from streamer.core.errors import UnavailableError
from streamer.kafka.topic_reader import Bounds, TopicReader
from streamer.settings import KafkaSettings
from tests.conftest import ExternalCluster, MakeTopic, Produce

pytestmark = pytest.mark.kafka


@pytest.fixture
async def reader(broker: ExternalCluster) -> AsyncIterator[TopicReader]:
    async with TopicReader(KafkaSettings(bootstrap_servers=broker.bootstrap_servers)) as reader:
        yield reader


async def values_within(reader: TopicReader, bounds: Bounds) -> list[bytes | None]:
    return [record.value async for records in reader.read(bounds) for record in records]


async def test_every_partition_is_read_to_the_end_it_had(
    reader: TopicReader, make_topic: MakeTopic, produce: Produce
) -> None:
    """What is written while reading is for the next time: otherwise a busy topic has no end."""
    topic = await make_topic("read", partitions=3)
    await produce(topic, [b"a", b"b"], partition=0)
    await produce(topic, [b"c"], partition=2)

    bounds = await reader.bounds([topic, "streamer-test.absent"])
    await produce(topic, [b"late"], partition=0)

    assert bounds == {(topic, 0): (0, 2), (topic, 1): (0, 0), (topic, 2): (0, 1)}
    assert await values_within(reader, bounds) == [b"a", b"b", b"c"]


async def test_reading_begins_and_ends_where_it_is_told(
    reader: TopicReader, make_topic: MakeTopic, produce: Produce
) -> None:
    topic = await make_topic("read")
    await produce(topic, [b"0", b"1", b"2", b"3"])
    assert await values_within(reader, {(topic, 0): (1, 3)}) == [b"1", b"2"]


async def test_a_time_is_found_in_every_partition(
    broker: ExternalCluster, reader: TopicReader, make_topic: MakeTopic
) -> None:
    """A time after the newest record, and one that no request has room for, give an empty range and no error."""
    topic = await make_topic("read", partitions=2)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers) as producer:
        for second in range(1, 6):
            await producer.send_and_wait(topic, b"%d" % second, partition=0, timestamp_ms=second * 1000)

    async def between(since: float | None, until: float | None) -> list[tuple[int, int]]:
        return list((await reader.bounds_between([topic, "streamer-test.absent"], since, until)).values())

    empty = (0, 0)
    assert await between(None, None) == [(0, 5), empty]
    assert await between(2, None) == [(1, 5), empty]
    assert await between(2, 4) == [(1, 3), empty]
    assert await between(2.0001, 4.0001) == [(2, 4), empty]
    assert await between(None, 3) == [(0, 2), empty]
    assert await between(-math.inf, math.inf) == [(0, 5), empty]
    assert await between(6, None) == [(5, 5), empty]
    assert await between(6, 7) == [(5, 5), empty]
    assert await between(4, 2) == [(3, 3), empty]


async def test_what_a_transaction_took_back_ends_the_reading_too(
    broker: ExternalCluster, reader: TopicReader, make_topic: MakeTopic
) -> None:
    """The end of the partition is a marker that is no record: reading stops behind it and does not wait for one."""
    topic = await make_topic("read")
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, transactional_id=topic) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back")
        await producer.abort_transaction()
    bounds = await reader.bounds([topic])
    assert bounds[topic, 0] == (0, 2)
    assert await values_within(reader, bounds) == []


async def test_nothing_coming_ends_in_an_error(broker: ExternalCluster, make_topic: MakeTopic) -> None:
    """The client itself would wait without end."""
    topic = await make_topic("read")
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    async with TopicReader(kafka, max_stall_seconds=0.5) as reader:
        with pytest.raises(UnavailableError, match=f"{topic}: no record arrived for 0.5 s"):
            await values_within(reader, {(topic, 0): (0, 1)})


async def test_a_record_larger_than_a_fetch_hides_no_other(broker: ExternalCluster, make_topic: MakeTopic) -> None:
    """The broker sends it all the same, when it is the first in its answer."""
    topic = await make_topic("read", partitions=2, config={"max.message.bytes": str(4 << 20)})
    values = [b"small", b"x" * (2 << 20), b"small"]
    servers = broker.bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=servers, max_request_size=4 << 20) as producer:
        for partition in (0, 1):
            for value in values:
                await producer.send_and_wait(topic, value, partition=partition)
    async with TopicReader(KafkaSettings(bootstrap_servers=servers, max_partition_fetch_bytes=1 << 20)) as reader:
        assert await values_within(reader, await reader.bounds([topic])) == values * 2


async def test_a_changed_configuration_is_compared_on_what_is_in_the_topics(
    broker: ExternalCluster, make_topic: MakeTopic, produce: Produce, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """``streamer diff --last``: the newest records of each partition that an integration reads, and no others."""
    topic, other = await make_topic("diffed", partitions=2), await make_topic("not-read")
    samples = Path(__file__).parents[1] / "samples/getuserfeedback"
    viewed = json.dumps(json.loads((samples / "01-flow-viewed.json").read_text())).encode()
    await produce(topic, [b"{}", viewed], partition=0)
    await produce(topic, [viewed], partition=1)
    await produce(other, [viewed])
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    text = f"""
    kafka: {{bootstrap_servers: "{broker.bootstrap_servers}"}}
    destinations: {{segment: {{write_key: "${{UNSET}}"}}}}
    integrations:
      guf: {{dialect: getuserfeedback, topics: [{topic}, missing], destination: segment, events: {{disabled: []}}}}
    """
    old.write_text(text)
    new.write_text(text.replace("disabled: []", "disabled: [Flow Viewed]"))

    assert await asyncio.to_thread(main, ["diff", str(old), str(new), "--last", "1h"]) == 1
    out, err = capfd.readouterr()
    [line] = map(json.loads, out.splitlines())
    assert (line["change"], line["what"], line["records"]) == ("dropped", "now filtered (event_disabled)", 2)
    assert sorted(example["place"] for example in line["examples"]) == [f"{topic}:0:1", f"{topic}:1:0"]
    assert "the topic missing does not exist" in err
    assert "3 records compared, 2 of them different" in err

    assert await asyncio.to_thread(main, ["diff", str(old), str(new), "--last", "1h", "--max-records", "2"]) == 1
    assert "3 records are of that time; the newest 2 are compared (--max-records)" in capfd.readouterr().err
