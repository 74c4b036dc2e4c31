"""A range is sent again while the service runs: interrupted, repeated, and only what is wanted."""

import asyncio
import json
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.conftest import connected_admin
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

STEP_MS = 20
"""Time between the records before the range, those in it, and those behind it."""


class Ended(NamedTuple):
    """What a command said."""

    code: int
    rows: list[dict[str, Any]]
    errors: str


class Range(NamedTuple):
    """Events with times: some before the range, some in it, some behind it."""

    since: str
    until: str
    within: list[str]
    outside: list[str]

    def words(self) -> list[str]:
        return ["--from", self.since, "--to", self.until]


async def begin(deployment: Deployment, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streamer", "replay", "--config", str(deployment.directory / "streamer.yaml"), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(60):
        out, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], errors.decode())


async def replay(deployment: Deployment, *words: str) -> Ended:
    return await end(await begin(deployment, *words))


async def produce_range(deployment: Deployment, topic: str, count: int) -> Range:
    """Write events before, in and behind a range, and wait until it is over."""
    began = time.time_ns() // 1_000_000 + STEP_MS
    for number, (name, events) in enumerate((("before", 10), ("within", count), ("behind", 10))):
        await deployment.produce(topic, survey_events(events, name), timestamp_ms=began + number * STEP_MS)
    await asyncio.sleep(3 * STEP_MS / 1000)  # a range does not reach into the future
    return Range(
        *(rfc_3339(began + number * STEP_MS) for number in (1, 2)),
        within=[f"within_{number}" for number in range(count)],
        outside=[f"{name}_{number}" for name in ("before", "behind") for number in range(10)],
    )


def rfc_3339(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def counts(deployment: Deployment) -> dict[str, int]:
    """How often each messageId was received."""
    return dict(deployment.sandbox.record.counts())


async def groups(bootstrap_servers: str) -> set[str]:
    admin: AIOKafkaAdminClient
    async with connected_admin(bootstrap_servers) as admin:
        return {name for name, _ in await admin.list_consumer_groups()}


async def test_a_range_is_sent_once_more_however_often_that_is_interrupted(
    deployment: Deployment, bootstrap_servers: str
) -> None:
    [topic] = await deployment.integrate()
    async with deployment.running():
        wanted = await produce_range(deployment, topic, 400)
        await deployment.settled()
        assert set(counts(deployment).values()) == {1}
        words = [*wanted.words(), "--force", "--rate", "100/s"]

        planned = await replay(deployment, *words)
        assert planned.code == 0
        assert sum(row["to_send"] for row in planned.rows) == 400
        assert "--execute" in planned.errors
        assert set(counts(deployment).values()) == {1}, "nothing was sent"

        for number, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
            received = sum(counts(deployment).values())
            process = await begin(deployment, *words, "--execute")
            await eventually(lambda at=received: sum(counts(deployment).values()) > at + 50)
            process.send_signal(number)
            assert (await end(process)).code == code
        done = await replay(deployment, *words, "--execute")

        assert done.code == 0, done.errors
        assert "the account adds up" in done.errors
        assert {message_id: counts(deployment)[message_id] for message_id in wanted.within} == dict.fromkeys(
            wanted.within, 2
        )
        assert {counts(deployment)[message_id] for message_id in wanted.outside} == {1}
        assert not [name for name in await groups(bootstrap_servers) if name.startswith("streamer.replay.surveys")]
        assert not list((deployment.directory / "state" / "replay").iterdir())


async def test_what_was_delivered_is_not_sent_again(deployment: Deployment) -> None:
    """The running instance tells what it has delivered."""
    [topic] = await deployment.integrate(dead_letters={"max_ratio": 1})
    refused = frozenset({"within_3", "within_17"})
    async with deployment.running():
        deployment.sandbox.faults.set(Fault(match=Match(message_ids=refused), action=Action(status=400)))
        wanted = await produce_range(deployment, topic, 30)
        await deployment.settled()
        deployment.sandbox.faults.clear()
        deployment.sandbox.record.clear()

        done = await replay(deployment, *wanted.words(), "--execute")

        assert done.code == 0, done.errors
        assert counts(deployment) == dict.fromkeys(refused, 1)
        assert sum(row["delivered"] for row in done.rows) == 2
        assert sum(row["duplicate"] for row in done.rows) == 28
