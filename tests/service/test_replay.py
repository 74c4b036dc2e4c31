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

from streamer.__main__ import _parser
from streamer.cli import replaying
from streamer.core.records.receipt_record import ReceiptBatch, encode
from streamer.core.records.replay import name_of
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.operations import replay_state
from streamer.operations.replay_state import ReplayState
from streamer.receipts import destination_fingerprint, digest_of
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
        since=rfc_3339(began + STEP_MS),
        until=rfc_3339(began + 2 * STEP_MS),
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


async def interrupt(deployment: Deployment, words: list[str], number: signal.Signals) -> int:
    """Begin a replay, and send it a signal once it has sent some; returns its exit code."""
    received = total(deployment)
    process = await begin(deployment, *words)
    await eventually(lambda: total(deployment) > received + 20)
    process.send_signal(number)
    return (await end(process)).code


def total(deployment: Deployment) -> int:
    return sum(counts(deployment).values())


async def test_a_range_is_sent_once_more_however_often_that_is_interrupted(
    deployment: Deployment, bootstrap_servers: str
) -> None:
    deployment.document["kafka"]["session_timeout_ms"] = 3_000  # so long a killed one stays in its group
    [topic] = await deployment.integrate()
    async with deployment.running():
        wanted = await produce_range(deployment, topic, 100)
        await deployment.settled()
        assert set(counts(deployment).values()) == {1}
        words = [*wanted.words(), "--force", "--rate", "30/s", "--execute"]

        assert await interrupt(deployment, words, signal.SIGINT) == 130
        after_interrupt = counts(deployment)
        assert set(after_interrupt.values()) == {1, 2}
        assert await interrupt(deployment, words, signal.SIGKILL) == -signal.SIGKILL
        done = await replay(deployment, *words)

        assert done.code == 0, done.errors
        assert "the account adds up" in done.errors
        received = [counts(deployment)[message_id] for message_id in wanted.within]
        assert min(received) == 2
        # What was in a request when it was killed, at most the 30 calls of one batch, may have been answered unheard.
        assert sum(received) <= 2 * len(received) + 30
        drained = [message_id for message_id, times in after_interrupt.items() if times > 1]
        assert {counts(deployment)[message_id] for message_id in drained} == {2}, "an interruption costs no copy"
        assert {counts(deployment)[message_id] for message_id in wanted.outside} == {1}
        assert not [name for name in await groups(bootstrap_servers) if name.startswith("streamer.replay.surveys")]
        assert not list((deployment.directory / "state" / "replay").iterdir())


async def test_what_was_delivered_is_not_sent_again(deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    """The running instance tells what it has delivered."""
    [topic] = await deployment.integrate(dead_letters={"max_ratio": 1})
    refused = frozenset({"within_3", "within_17"})
    async with deployment.running():
        deployment.sandbox.faults.set(Fault(match=Match(message_ids=refused), action=Action(status=400)))
        wanted = await produce_range(deployment, topic, 30)
        await deployment.settled()
        deployment.sandbox.faults.clear()
        deployment.sandbox.record.clear()

        assert await here(deployment, *wanted.words()) == 0
        assert not counts(deployment), "nothing was sent"
        planned = rows(capfd)
        code = await here(deployment, *wanted.words(), "--execute")

        done = rows(capfd)
        assert code == 0
        assert counts(deployment) == dict.fromkeys(refused, 1)
        assert sum(row["to_send"] for row in planned) == sum(row["delivered"] for row in done) == 2
        assert sum(row["known"] for row in planned) == sum(row["duplicate"] for row in done) == 28


def rows(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The data that was printed since this was last asked, among the log lines of the service."""
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


async def here(deployment: Deployment, *words: str) -> int:
    """Run the command in this process, which is quicker; returns its exit code."""
    config = deployment.write_configuration()
    args = _parser().parse_args(["replay", "--config", str(config), "-o", "json", *words])
    return await replaying.replay(args)


async def test_nobody_can_tell_what_was_delivered(deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    [topic] = await deployment.integrate()
    wanted = await produce_range(deployment, topic, 3)
    assert await here(deployment, *wanted.words(), "--execute") == 1
    told = capfd.readouterr().err
    assert "it is not known what of this range was delivered" in told
    assert "--force" in told
    assert not counts(deployment)


async def test_the_topic_of_receipts_tells_what_was_delivered(
    deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    """No instance has to run."""
    [topic] = await deployment.integrate()
    receipts = f"{topic}.receipts"
    await deployment.make_topics([receipts])
    deployment.document["receipts"] = {"topic": receipts}
    wanted = await produce_range(deployment, topic, 5)
    settings = deployment.settings().destinations["segment"]
    batch = ReceiptBatch(
        integration="surveys",
        destination_name="segment",
        destination=destination_fingerprint(settings.url, settings.read_key(), ""),
        topic=topic,
        partition=0,
        delivered_at=1_000.0,  # so long there are receipts
        instance="one",
        batch_events=3,
        attempt=1,
        status=200,
        replay_id=0,
        offsets=(0, 1, 2),
        digests=[digest_of(f"within_{number}") for number in range(3)],
    )
    key, value = encode(batch)
    await deployment.produce(receipts, [value], partition=0, key=key)

    code = await here(deployment, *wanted.words(), "--execute")

    told = capfd.readouterr()
    assert code == 0, told.err
    assert counts(deployment) == {"within_3": 1, "within_4": 1}
    assert "the account adds up" in told.err

    # Begun anew and interrupted; then the disk is damaged, and with it what the first run had learned.
    deployment.sandbox.record.clear()
    since, until = (datetime.fromisoformat(text).timestamp() for text in (wanted.since, wanted.until))
    directory = replay_state.directory_of(deployment.settings().state_dir, name_of("surveys", since, until))
    bounds = {(topic, 0): (5, 8), (topic, 1): (5, 7)}  # the events go to two partitions in turn, after ten others
    replay_state.save(directory, ReplayState(bounds=bounds, records=5, to_send=2, forced=False))
    (directory / "surveys" / "receipts").mkdir(parents=True)
    (directory / "surveys" / "receipts" / "data.mdb").write_bytes(b"damaged" * 10_000)

    assert await here(deployment, *wanted.words(), "--execute") == 0
    assert counts(deployment) == {"within_3": 1, "within_4": 1}


async def test_another_destination_gets_all_of_it(deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    """It is new and knows nothing. A dead letter says where it comes from, and no redrive sends it elsewhere."""
    [topic] = await deployment.integrate(dead_letters={"max_ratio": 1})
    deployment.document["destinations"]["staging"] = {**deployment.destination, "message_id_suffix": "-copy"}
    refused = Fault(match=Match(message_ids=frozenset({"within_1-copy"})), action=Action(status=400))
    deployment.sandbox.faults.set(refused)
    wanted = await produce_range(deployment, topic, 4)

    code = await here(deployment, *wanted.words(), "--to-destination", "staging", "--execute")

    told = capfd.readouterr()
    assert code == 0, told.err
    assert sum(json.loads(line)["dead_lettered"] for line in told.out.splitlines()) == 1
    assert counts(deployment).keys() == {f"{name}-copy" for name in wanted.within if name != "within_1"}
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.integration"] == b"surveys@staging"
    assert headers["streamer.destination"] == b"staging"
    assert headers["streamer.replay"].startswith(b"surveys.20")
    assert "no redrive sends them" in told.err


async def test_the_mass_guard_stops_a_replay(
    deployment: Deployment, bootstrap_servers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It goes on once that is wanted, and can be forgotten."""
    [topic] = await deployment.integrate()
    await deployment.produce(topic, [*survey_events(3), *[b"no JSON"] * 60], timestamp_ms=1_000_000)
    words = ["--from", "1970-01-01T00:10:00Z", "--to", "1970-01-01T00:20:00Z", "--force"]

    assert await here(deployment, *words, "--execute") == 1
    assert "the mass guard has stopped this replay" in capfd.readouterr().err
    assert await here(deployment, *words, "--execute") == 1, "it remembers"
    assert not await deployment.dead_letters()
    assert await here(deployment, *words[:-1], "--execute") == 2, "it was begun with --force"
    assert await here(deployment, *words) == 0
    assert "was begun and is not done" in capfd.readouterr().err

    assert await here(deployment, *words, "--forget") == 0
    assert not [name for name in await groups(bootstrap_servers) if name.startswith("streamer.replay.surveys")]
    assert not list((deployment.directory / "state" / "replay").iterdir())
