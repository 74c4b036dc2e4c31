"""Records and batches on the real broker that its client cannot read."""

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from streamer.core.model import DeadLetterReason
from streamer.devkit.broker import Broker
from tests.kafka.batches import batch_of, damage, produce_raw, with_codec, with_name, with_wrong_checksum
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

HEADERS = [("name", b"\xff")]
STRANGE = b"caf\xe9"


def unknown_codec(batch: bytes) -> bytes:
    return with_codec(batch, 7)


@pytest.mark.parametrize("change", [with_wrong_checksum, unknown_codec], ids=["checksum", "codec"])
async def test_a_damaged_batch_is_set_aside_and_everything_else_is_delivered(
    deployment: Deployment, own_broker: Broker, change: Callable[[bytes], bytes]
) -> None:
    """It is neither first nor last in its partition, and lies in one fetch with others."""
    [topic] = await deployment.integrate(partitions=3)
    for partition in range(3):
        for prefix in "abc":
            batch = batch_of(survey_events(10, f"{prefix}_{partition}"))
            await produce_raw(own_broker.bootstrap_servers, topic, partition, batch)
    await own_broker.stop()
    damaged = damage(own_broker.directory / "data" / f"{topic}-1", change, offset=15)
    assert damaged == range(10, 20)
    await own_broker.start()

    with capture_logs() as lines:
        async with deployment.running() as service:
            async with asyncio.timeout(30):
                await deployment.sandbox.until(lambda record: record.accepted == 80)
            await eventually(
                lambda: all(service.integrations["surveys"].runner.accounts[topic, p].settled == 30 for p in range(3))
            )
            account = service.integrations["surveys"].runner.accounts[topic, 1]
            assert account.dead_lettered == {DeadLetterReason.DECODE_ERROR: 10}
            assert account.consumed == 30
            assert service.integrations["surveys"].runner.restarts == 0
    positions = {place.partition: position for place, position in (await deployment.committed()).items()}
    assert positions == {0: 30, 1: 30, 2: 30}
    [line] = [line for line in lines if line["event"] == "records.unreadable"]
    assert (line["topic"], line["partition"], line["offset"], line["records"]) == (topic, 1, 10, 10)
    letters = [dict(letter.headers) for letter in await deployment.dead_letters()]
    assert sorted(int(headers["__connect.errors.offset"]) for headers in letters) == list(damaged)
    assert all(not letter.value for letter in await deployment.dead_letters())
    assert not any(line["event"] == "poll.failed" for line in lines)


async def test_header_names_that_are_not_utf_8_are_read_as_bytes(
    deployment: Deployment, bootstrap_servers: str
) -> None:
    """Producers write them and the broker takes them; a dead letter carries the name in a notation of its own."""
    [topic] = await deployment.integrate(partitions=2)
    await deployment.produce(topic, survey_events(5, "before"), partition=0)
    strange = batch_of([*survey_events(5, "strange"), b"not JSON"], headers=HEADERS)
    await produce_raw(bootstrap_servers, topic, 0, with_name(strange, b"name", STRANGE))
    await deployment.produce(topic, survey_events(5, "after"), partition=0)
    await deployment.produce(topic, survey_events(5, "other"), partition=1)

    with capture_logs() as lines:
        async with deployment.running() as service:
            async with asyncio.timeout(30):
                await deployment.sandbox.until(lambda record: record.accepted == 20)
            await eventually(lambda: service.integrations["surveys"].runner.accounts[topic, 0].settled == 16)
    [letter] = await deployment.dead_letters()
    assert letter.value == b"not JSON"
    assert ("caf\\xe9", b"\xff") in letter.headers
    assert [line["partition"] for line in lines if line["event"] == "records.reread"] == [0]
