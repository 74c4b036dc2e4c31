"""Records of a good day: everything arrives, once."""

import pytest

from tests.service.harness import Deployment, survey_events

pytestmark = pytest.mark.kafka


async def test_events_are_delivered_once_and_committed(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(500))

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert deployment.sandbox.record.accepted == 500
