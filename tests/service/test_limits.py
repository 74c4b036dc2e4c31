"""What limits an integration is found where it is, by looking at the parts as they run."""

import pytest

from streamer.core.delivery.limiting import Limit
from streamer.service import Service
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka


def is_limited_by(service: Service, limit: Limit) -> bool:
    """Whether that has been found for a second."""
    return service.integrations["surveys"].limited.seconds[limit] >= 1.0


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
        seconds = service.integrations["surveys"].limited.seconds
        assert seconds[Limit.RATE] >= 2.0, "200 calls at 50 a second, less a burst"
        largest = service.destinations["segment"].status.batch_calls.quantile(1.0)
        assert largest is not None
        assert largest <= 50, "no batch holds more than a second's worth"

    await deployment.verify()


async def test_a_destination_that_is_held_limits(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(5))
    deployment.require_key("another_key")

    async with deployment.running() as service:
        await eventually(lambda: is_limited_by(service, Limit.HELD))

    await deployment.verify(is_over=False)
