"""A wrong dialect on a topic must not empty it into its dead letters."""

import pytest

from streamer.core.model import DeadLetterReason
from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka

BEFORE_THE_GUARD = 20
"""So many refusals are needed before the guard may trip."""


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    """A topic of getuserfeedback events, which the configuration takes for Sprig's."""
    [topic] = await deployment.integrate(dialect="sprig")
    return topic


async def test_a_wrong_dialect_holds_the_integration(deployment: Deployment, topic: str) -> None:
    """The records stay on Kafka, the others go on, and it ends when the configuration is corrected."""
    [right] = await deployment.integrate("right")
    await deployment.produce(topic, survey_events(500))

    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).is_guarded)
        await deployment.produce(right, survey_events(100, "right"))
        await eventually(lambda: deployment.sandbox.record.accepted == 100)
    await deployment.verify(is_over=False)
    assert len(await deployment.dead_letters()) < BEFORE_THE_GUARD

    deployment.integration("surveys")["dialect"] = "getuserfeedback"
    async with deployment.running() as service:
        await deployment.settled()
        assert not pipeline_of(service).is_guarded
    # What was dead-lettered before the guard tripped had its end; the rest is delivered.
    assert deployment.sandbox.record.accepted >= 600 - BEFORE_THE_GUARD
    assert deployment.sandbox.record.swallowed == 0


async def test_records_that_come_one_by_one_trip_it_too(deployment: Deployment, topic: str) -> None:
    async with deployment.running() as service:
        for number in range(BEFORE_THE_GUARD + 5):
            await deployment.produce(topic, survey_events(1, f"single_{number}"), partition=0)
        await eventually(lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).is_guarded)

    await deployment.verify(is_over=False)
    assert len(await deployment.dead_letters()) < BEFORE_THE_GUARD


async def test_a_restart_does_not_end_the_hold(deployment: Deployment, topic: str) -> None:
    """Else each restart by an orchestrator would dead-letter some more."""
    await deployment.produce(topic, survey_events(100))
    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).is_guarded)
    letters = len(await deployment.dead_letters())

    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).is_connected)
        assert pipeline_of(service).is_guarded
        await eventually(lambda: pipeline_of(service).assignment.ledgers)
    assert len(await deployment.dead_letters()) == letters

    deployment.integration("surveys")["dead_letters"] = {"max_ratio": 1}
    async with deployment.running() as service:
        await deployment.settled()
    await deployment.verify(settled_once=False)
    letters_by_reason = {dict(letter.headers)["streamer.reason"] for letter in await deployment.dead_letters()}
    assert letters_by_reason == {DeadLetterReason.SCHEMA_INVALID.encode()}
    assert len(await deployment.dead_letters()) == 100


async def test_a_share_of_bad_records_below_the_limit_is_just_set_aside(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    good, bad = survey_events(300), [b"not JSON"] * 100
    await deployment.produce(topic, [value for four in zip(*[iter(good)] * 3, bad, strict=True) for value in four])

    async with deployment.running() as service:
        await deployment.settled()
        assert not pipeline_of(service).is_guarded

    await deployment.verify()
    assert len(await deployment.dead_letters()) == 100


async def test_calls_refused_out_of_a_backlog_are_held_against_those_delivered(deployment: Deployment) -> None:
    """All is read long before it is delivered, so refusals come late: one after the other, and yet no pattern."""
    [topic] = await deployment.integrate(partitions=1, dead_letters={"max_ratio": 0.2})
    deployment.destination["batch"] = {"max_calls": 20, "linger": 0.02}
    refused = frozenset(f"evt_{number}" for number in range(0, 800, 13))
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=refused), action=Action(status=400)))

    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(1, "before"), partition=0)
        await deployment.settled()
        await deployment.produce(topic, survey_events(800), partition=0)
        await deployment.settled()
        assert not pipeline_of(service).is_guarded

    await deployment.verify()
    assert len(await deployment.dead_letters()) == len(refused)


async def test_a_destination_that_refuses_most_calls_holds_the_integration(deployment: Deployment) -> None:
    """That it takes some shows that it works; that it refuses most, that what we make of the records is wrong."""
    [topic] = await deployment.integrate(partitions=1)
    deployment.destination["batch"] = {"max_calls": 5, "linger": 0.02}
    refused = frozenset(f"evt_{number}" for number in range(200) if number % 4)
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=refused), action=Action(status=400)))

    async with deployment.running() as service:
        await deployment.produce(topic, survey_events(1, "before"), partition=0)
        await deployment.settled()
        await deployment.produce(topic, survey_events(200), partition=0)
        await eventually(lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).is_guarded)

    await deployment.verify(is_over=False)
    assert len(await deployment.dead_letters()) < len(refused) / 2
