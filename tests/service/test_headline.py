"""The first line of `/status` is right within 15 seconds after a fault began, on the real broker."""

import re
import time

import pytest

from streamer.devkit.sandbox.faults import Action, Fault
from streamer.service import Service
from streamer.status.verdict import Level, Verdict, verdict_of
from tests.service.harness import WRITE_KEY, Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

SECONDS = 15.0
BROKEN = b'{"event": "Response Submitted",'


def verdict(service: Service) -> Verdict:
    return verdict_of(service._view.status(), now=time.time(), monotonic_now=time.monotonic())


async def said(service: Service, line: str, *levels: Level) -> None:
    """Wait until the first line is this one."""
    try:
        await eventually(lambda: re.match(line, verdict(service).headline), SECONDS)
    except TimeoutError:
        pytest.fail(f"it says: {verdict(service).headline}")
    assert verdict(service).level in levels


async def test_what_is_wrong_is_said_and_that_it_is_over(deployment: Deployment) -> None:
    deployment.hurry(held_probe=0.2)
    [topic] = await deployment.integrate()
    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(40, "well"))
        await deployment.settled()
        well = r"The integration surveys delivers\. Nothing is at risk\."
        await said(service, well, Level.WELL)

        deployment.sandbox.faults.set(Fault(action=Action(status=429, retry_after="1")))
        await deployment.produce(topic, survey_events(1_000, "limited"))
        await said(
            service, r"surveys: backing off for \d+ s, too many requests \(429\)\. No data at risk: ", Level.WATCH
        )
        deployment.sandbox.faults.clear()
        await deployment.settled()

        deployment.require_key("another_write_key_00000000000001")
        await deployment.produce(topic, survey_events(1_000, "refused"))
        await said(
            service,
            r"surveys: held for \d+ s, wrong write key\. No data at risk: [\d,]+ records wait on Kafka, .* before"
            r" retention\. Do: .*write_key",
            Level.ACT,
        )
        deployment.require_key(WRITE_KEY)
        await deployment.settled()

        await deployment.produce(topic, [*survey_events(80, "mixed"), *[BROKEN] * 20])
        await said(
            service,
            r"surveys: \d+ % of the records became dead letters in the last \d+ s \(\d+, most of them"
            r" decode_error: .*\)\. No data at risk: the dead-letter topic keeps them\. Do: .* streamer dlq redrive",
            Level.WATCH,  # many others were delivered in the same step
            Level.ACT,
        )

        await deployment.produce(topic, [BROKEN] * 60)
        await said(
            service,
            r"surveys: stopped by the mass guard for \d+ s, because \d+ of its last \d+ records would be dead letters,"
            r" most of them decode_error: .* --release-guard surveys\.",
            Level.ACT,
        )
