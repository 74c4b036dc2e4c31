"""What limits an integration is found where it is, by looking at the parts as they run."""

import asyncio

import pytest
from structlog.testing import capture_logs

from streamer.core.delivery.limiting import Limit
from streamer.pipeline import reader
from streamer.service import Service
from tests.kafka.batches import ZSTD, batch_of, produce_raw
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka


def is_limited_by(service: Service, limit: Limit) -> bool:
    """Whether that has been found for a second."""
    return service.integrations["surveys"].runner.limited.seconds[limit] >= 1.0


async def test_an_integration_that_has_delivered_everything_waits_for_kafka(deployment: Deployment) -> None:
    await deployment.integrate()

    async with deployment.running() as service:
        await eventually(lambda: is_limited_by(service, Limit.FETCH))


async def test_a_rate_limits_and_is_kept(deployment: Deployment) -> None:
    deployment.destination["rate_limit"] = 50
    del deployment.destination["batch"]
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(200))

    async with deployment.running() as service:
        await eventually(lambda: is_limited_by(service, Limit.RATE))
        await deployment.settled()
        seconds = service.integrations["surveys"].runner.limited.seconds
        assert seconds[Limit.RATE] >= 2.0, "200 calls at 50 a second, less a burst"
        largest = service.destinations["segment"].status.batch_calls.quantile(1.0)
        assert largest is not None
        assert largest <= 50, "no batch holds more than a second's worth"

    await deployment.verify()


async def test_a_backlog_that_is_worked_off_slowly_is_no_stall(
    deployment: Deployment, bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One fetch of compressed records lasts for longer than the watchdog waits; nothing more is fetched meanwhile."""
    monkeypatch.setattr(reader, "MAX_POLL_RECORDS", 10)  # so that one fetch is enough for many polls
    deployment.hurry(stalled_after=3.0, watch_every=0.2, idle_after=1.5)  # instead of two minutes, and of 5 s
    deployment.destination["rate_limit"] = 25
    del deployment.destination["batch"]
    [topic] = await deployment.integrate(partitions=1, limits={"max_open_records": 20, "max_parked_per_partition": 20})
    await produce_raw(bootstrap_servers, topic, 0, batch_of(survey_events(200), compression=ZSTD))

    with capture_logs() as lines:
        async with deployment.running() as service:
            async with asyncio.timeout(60):
                await deployment.sandbox.until(lambda record: record.accepted == 200)
            assert service.integrations["surveys"].runner.restarts == 0
    assert not any(line["event"] in {"task.stalled", "partition.left_out"} for line in lines)


async def test_a_destination_that_is_held_limits(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(5))
    deployment.require_key("another_key")

    async with deployment.running() as service:
        await eventually(lambda: is_limited_by(service, Limit.HELD))

    await deployment.verify(is_over=False)
