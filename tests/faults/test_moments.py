"""Faults in the worst moments: after an event has come to its end, and before anybody else can know."""

import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from streamer.core.delivery.doubt import MAX_CONSECUTIVE_FAILURES
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.kafka import CommitResult, Source, TopicPartition
from tests.service.harness import Deployment, delivery_of, eventually, survey_events
from tests.service.oracle import source_of

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    [topic] = await deployment.integrate(partitions=1)
    return topic


async def test_the_end_between_a_dead_letter_and_its_commit(
    deployment: Deployment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is set aside once more, as itself: its place tells the copies apart from other dead letters."""
    with monkeypatch.context() as unheard:
        commit, commits = Source.commit, count()

        async def lose(source: Source, positions: Mapping[TopicPartition, Any]) -> CommitResult:
            """The first commit says where the group begins: before that, nothing is read."""
            return CommitResult.TIMED_OUT if next(commits) else await commit(source, positions)

        unheard.setattr(Source, "commit", lose)
        async with deployment.running() as service:
            await deployment.produce(topic, [b"not JSON", *survey_events(3), b"nor this"], partition=0)
            account = service.integrations["surveys"].runner.accounts[topic, 0]
            await eventually(lambda: account.settled == 5)
    assert await deployment.committed() == {TopicPartition(topic, 0): 0}

    async with deployment.running():
        await deployment.settled()

    await deployment.verify(max_times=2, settled_once=False)
    copies = Counter(source_of(letter) for letter in await deployment.dead_letters())
    assert copies == {(topic, 0, 0): 2, (topic, 0, 4): 2}


async def test_restarts_in_the_middle_of_all_attempts_are_no_fresh_start(deployment: Deployment, topic: str) -> None:
    """Each instance goes on counting where the last one ended, and the event is set aside once, after its last."""
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=frozenset({"bad_0"})), action=Action(status=500)))
    record = deployment.sandbox.record
    deployment.destination["batch"] = {"max_calls": 1, "linger": 0}
    deployment.destination["retry"] = {"quick": ["1h"] * 3, "schedule": ["1h"] * 2}
    for instance in range(3):
        async with deployment.running(state=f"state-{instance}") as service:  # each on a machine of its own
            await deployment.produce(topic, survey_events(1, f"good_{instance}"), partition=0)
            await eventually(lambda number=instance: record.count(f"good_{number}_0") > 0)  # type: ignore[misc]
            if not instance:
                await deployment.produce(topic, survey_events(1, "bad"), partition=0)
            await eventually(lambda running=service: len(delivery_of(running).parked) == 1)  # type: ignore[misc]
    failures = record.requests_by_answer["500"]
    deployment.destination["retry"] = {"quick": [0.1] * 3, "schedule": [0.1] * 2}
    async with deployment.running(state="last"):
        await deployment.produce(topic, survey_events(1, "last"), partition=0)
        await deployment.settled()

    await deployment.verify(max_times=2, settled_once=False)
    [letter] = await deployment.dead_letters()
    assert dict(letter.headers)["streamer.attempts"] == b"6"
    # Nobody is charged before the destination has accepted anything; then four are left of six.
    assert record.requests_by_answer["500"] - failures < MAX_CONSECUTIVE_FAILURES + 6, "some of them were made before"


async def test_a_clock_that_jumps_changes_no_outcome(
    deployment: Deployment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are measured by the clock that does not jump; copies are known an hour later and an hour earlier."""
    clock, deployment.destination["retry"] = time.time, {"quick": [0.2], "schedule": [0.5] * 10}
    deployment.sandbox.faults.set(Fault(action=Action(status=500), match=Match(every=3)))
    async with deployment.running() as service:
        for number, hours in enumerate((0, 1, -1)):
            monkeypatch.setattr(time, "time", lambda ahead=hours * 3_600: clock() + ahead)
            await deployment.produce(topic, [*survey_events(10), *survey_events(10, f"new_{number}")], partition=0)
            await deployment.settled(10)
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify()
    assert deployment.sandbox.record.duplicates == 0
