"""Memory of a running service, fed with what needs most of it: it stays below one limit, whatever comes.

``STREAMER_TEST_BACKLOG`` makes the backlog of the outage so long, with the default limits.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaProducer

from tests.faults.memory import MAX_BYTES, memory_of
from tests.service.harness import Deployment, Process, survey_event, survey_events

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a process's own memory in /proc"),
]

LARGE_BYTES = 2_000_000
UNPACKED_BYTES = 1_000_000

BACKLOG = int(os.environ.get("STREAMER_TEST_BACKLOG", "0"))
SHORT_BACKLOG = 20_000
MAX_OPEN_BYTES = 8 << 20
"""What may be open of the short backlog: less than half of it."""

FLAT_BYTES = 4_000_000
"""What memory may rise by in an outage once everything is read that may be."""

PARTITIONS = 6


def long_text(message_id: str) -> bytes:
    """An event that becomes a call once its text is cut."""
    return survey_event(message_id, traits={"note": "x" * LARGE_BYTES})


def many_numbers(message_id: str) -> bytes:
    """An event with nothing to cut."""
    return survey_event(message_id, traits={f"n{number}": number for number in range(LARGE_BYTES // 16)})


async def test_records_of_two_megabytes(deployment: Deployment) -> None:
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        texts = [long_text(f"text_{partition}_{number}") for number in range(5)]
        await deployment.produce(topic, [*texts, many_numbers(f"numbers_{partition}")], partition=partition)
    process = await deployment.start_process()
    async with memory_of(process.pid) as memory:
        await deployment.settled()
    print(f"{memory.largest / 1e6:.0f} MB at most")  # noqa: T201
    assert memory.largest < MAX_BYTES
    await deployment.verify(settled_once=False)
    assert len(await deployment.dead_letters()) == PARTITIONS


async def test_batches_that_expand_a_hundredfold(deployment: Deployment) -> None:
    """The limits of a fetch count what is compressed: one answer may hold more than is good to unpack at once."""
    [topic] = await deployment.integrate(partitions=PARTITIONS)
    for partition in range(PARTITIONS):
        text = "x" * UNPACKED_BYTES
        values = (survey_event(f"evt_{partition}_{number}", traits={"note": text}) for number in range(40))
        await produce_compressed(deployment, topic, partition, values)
    process = await deployment.start_process()
    async with memory_of(process.pid) as memory:
        await deployment.settled()
    print(f"{memory.largest / 1e6:.0f} MB at most")  # noqa: T201
    assert memory.largest < MAX_BYTES
    await deployment.verify(settled_once=False)


async def produce_compressed(deployment: Deployment, topic: str, partition: int, values: Iterable[bytes]) -> None:
    """Write records in batches of 20 MB, and one that is not, for the deployment to know how far the partition goes."""
    async with AIOKafkaProducer(
        bootstrap_servers=deployment.document["kafka"]["bootstrap_servers"],
        compression_type="zstd",
        max_batch_size=20 << 20,
        max_request_size=40 << 20,
        linger_ms=1_000,
    ) as producer:
        for value in values:
            await producer.send(topic, value, partition=partition)
    await deployment.produce(topic, [survey_event(f"last_{partition}")], partition=partition)


@pytest.mark.timeout(120 + BACKLOG / 2_000)
async def test_a_backlog_while_nothing_listens_at_the_destination(deployment: Deployment) -> None:
    """Reading stops at the caps; the group stays as it is, no event is charged, and it goes on with one request."""
    deployment.destination["retry"] = {"quick": [0.001], "schedule": [0.001]}  # a charge would be a dead letter soon
    limits = {} if BACKLOG else {"max_open_bytes": MAX_OPEN_BYTES, "max_parked_per_partition": 1_000}
    [topic] = await deployment.integrate(partitions=PARTITIONS, limits=limits)
    for partition in range(PARTITIONS):
        events = survey_events((BACKLOG or SHORT_BACKLOG) // PARTITIONS, f"evt_{partition}")
        await deployment.produce(topic, events, partition=partition)
    sandbox, port = deployment.sandbox, urlsplit(deployment.sandbox.url).port
    assert port is not None
    await sandbox.stop()
    process = await deployment.start_process()
    async with memory_of(process.pid) as memory:
        failed = await standing_still(process)
        full_at = time.monotonic()
        await standing_still(process, more_than=failed + 1)  # long enough for the reader to look again
        growth = memory.growth(full_at)
        await sandbox.start(port=port)
        await sandbox.until(lambda record: record.accepted > 0)
        assert sandbox.record.max_requests_in_flight == 1
        await deployment.settled(30 + BACKLOG / 2_000)
    print(f"{memory.largest / 1e6:.0f} MB at most, {growth / 1e6:.0f} MB more while it was out")  # noqa: T201
    assert memory.largest < MAX_BYTES
    assert growth < FLAT_BYTES
    surveys = (await process.status())["integrations"]["surveys"]
    assert surveys["rebalances"] == {"assigned": 1, "revoked": 0, "lost": 0}
    assert surveys["account"]["dead_lettered"] == {}
    await deployment.verify(settled_once=False)


async def standing_still(process: Process, *, more_than: int = 5) -> int:
    """Wait until nothing more is read and more than so many requests have failed; returns how many have."""
    consumed = 0
    async with asyncio.timeout(60):
        while True:
            before, status = consumed, await process.status()
            consumed = status["integrations"]["surveys"]["account"].get("consumed", 0)
            failed: int = sum(status["destinations"]["segment"]["requests"].values())
            if consumed == before > 0 and failed > more_than:
                return failed
            await asyncio.sleep(0.3)  # nothing announces it
