"""The whole way: refused by Segment, set aside, cured, redriven, delivered to the one integration it is for."""

import asyncio
import sys
from collections.abc import Iterable

import pytest

from streamer.core.model import FilterReason
from streamer.core.records.account import Account
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.service import Service
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

REFUSED = frozenset({"evt_3", "evt_17"})


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    """A topic that two integrations read, each for a destination of its own; both set aside into one topic."""
    [topic] = await deployment.integrate("surveys")
    deployment.document["destinations"]["copies"] = {**deployment.destination, "message_id_suffix": "-copy"}
    deployment.document["integrations"]["copies"] = {
        **deployment.integration("surveys"),
        "destination": "copies",
        "group_id": f"streamer.copies.{topic}",
    }
    return topic


async def redrive(deployment: Deployment, *arguments: str) -> tuple[int, str]:
    """Run the command; returns its exit code and what it tells people."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", "dlq", "redrive", "--config", str(deployment.directory / "streamer.yaml")),
        *("--execute", *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, errors.decode()


def refuse(deployment: Deployment, message_ids: Iterable[str]) -> None:
    """Have every request that holds one of these calls answered with 400."""
    deployment.sandbox.faults.set(Fault(match=Match(message_ids=frozenset(message_ids)), action=Action(status=400)))


def accounts(service: Service, name: str) -> list[Account]:
    return list(service.integrations[name].runner.accounts.values())


async def until_settled(service: Service, name: str, records: int) -> None:
    """Wait until so many records of an integration have their outcome."""
    await eventually(lambda: sum(account.settled for account in accounts(service, name)) == records)


async def test_the_redriven_are_delivered_once_to_their_own_integration(deployment: Deployment, topic: str) -> None:
    """And a repetition delivers nothing, whether it finds the note or is told to redrive again."""
    refuse(deployment, REFUSED)
    await deployment.produce(topic, survey_events(20))

    async with deployment.running() as service:
        await deployment.settled()
        assert deployment.sandbox.record.accepted == 38
        deployment.sandbox.faults.clear()

        assert await redrive(deployment) == (0, "streamer: 2 redriven, 0 left\n")
        await until_settled(service, "surveys", 22)
        await until_settled(service, "copies", 22)
        assert await redrive(deployment) == (0, "streamer: 0 redriven, 0 left\n")
        assert await redrive(deployment, "--again") == (0, "streamer: 2 redriven, 0 left\n")
        await until_settled(service, "surveys", 24)
        await until_settled(service, "copies", 24)

        ours, theirs = accounts(service, "surveys"), accounts(service, "copies")
    assert [sum(account.delivered for account in of) for of in (ours, theirs)] == [20, 20]
    assert sum(account.duplicate for account in ours) == 2
    assert sum(account.filtered[FilterReason.REDRIVEN_FOR_OTHER] for account in theirs) == 4
    times = dict(deployment.sandbox.record.counts())
    assert set(times) == {f"evt_{number}{suffix}" for number in range(20) for suffix in ("", "-copy")}
    assert set(times.values()) == {1}


async def test_what_always_comes_back_is_skipped_in_the_end(deployment: Deployment, topic: str) -> None:
    """Each redrive of an event that is still refused makes one more dead letter, which counts them."""
    refuse(deployment, ["evt_3"])
    await deployment.produce(topic, survey_events(20))

    async with deployment.running() as service:
        await deployment.settled()
        for redrives in (1, 2):
            assert await redrive(deployment, "--max-redrives", "2") == (0, "streamer: 1 redriven, 0 left\n")
            await until_settled(service, "surveys", 20 + redrives)
        exit_code, errors = await redrive(deployment, "--max-redrives", "2")

    assert exit_code == 1
    assert "1 skipped (over_limit)" in errors
    assert "0 redriven, 0 left" in errors
