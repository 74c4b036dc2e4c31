"""Records and answers of any shape go through the whole service: nothing restarts, nothing is lost, all adds up.

``STREAMER_TEST_FUZZ_SECONDS`` makes the storm longer, ``STREAMER_TEST_SEED`` draws another one. The same seed draws
the same records and the same answers, though which record meets which answer depends on the moment.
"""

import asyncio
import contextlib
import functools
import logging
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
import pytest
import structlog
import uvloop

from streamer.core.delivery import probing
from streamer.core.delivery.answers import parse_retry_after
from streamer.core.model import DeadLetterReason
from streamer.devkit.sandbox.server import Sandbox
from streamer.logs import Event
from streamer.service import Service
from tests.conftest import ConsumeAll
from tests.service import oracle
from tests.service.harness import Deployment, ProducedRecord, eventually
from tests.service.hostile_receiver import HostileReceiver
from tests.service.strange_records import StrangeRecords

SEED: Final = int(os.environ.get("STREAMER_TEST_SEED", "20261128"))
SECONDS: Final = float(os.environ.get("STREAMER_TEST_FUZZ_SECONDS", "15"))
"""How long records keep coming while the receiver is hostile."""

SETTLE_SECONDS: Final = 60.0 + SECONDS / 2
"""Longest time for all of them to end once the receiver is kind."""

PARTITIONS: Final = 3
RECORDS_AT_ONCE: Final = 20
PACE_SECONDS: Final = 0.03
CODECS: Final = (0, 0, 1, 2, 3, 4)
"""Kafka's numbers: none, gzip, snappy, lz4, zstd."""

LOOK_SECONDS: Final = 0.2
MAX_WAIT_SECONDS: Final = 1.0
"""Longest wait that the receiver can ask for here, and longest backoff: production's outlast the test."""

MAX_TIMES: Final = 2
"""How often one call may get a whole 2xx: a second time only if this machine stood still during the first one."""

DIALECTS: Final[Mapping[str, dict[str, Any]]] = {
    "sprig": {"sprig": {"anonymous": "send", "extended_properties": True}},
    "product_fruits": {"product_fruits": {"traits": True}},
    "getuserfeedback": {},
    "canonical": {},
}
"""The dialect of each integration, with the settings that bring the most of a record into its call."""

NEVER: Final = frozenset(
    {
        Event.DEAD_LETTER_FAILED,
        Event.DRAIN_INCOMPLETE,
        Event.INTEGRATION_GUARDED,
        Event.OBSERVER_FAILED,
        Event.OFFSETS_RESET,
        Event.PARTITION_LEFT_OUT,
        Event.PIPELINE_RESTARTED,
        Event.POLL_FAILED,
        Event.RECEIPTS_SET_ASIDE,
        Event.RECEIPTS_UNUSABLE,
        Event.RECORDS_LOST,
        Event.RECORDS_UNREADABLE,
        Event.TASK_FAILED,
        Event.TASK_STALLED,
    }
)
"""What no record and no answer may bring about."""

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(SECONDS + SETTLE_SECONDS + 120)]


@pytest.fixture(autouse=True)
def shorter_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait is longer than the test can last."""
    parse = functools.partial(parse_retry_after, cap=MAX_WAIT_SECONDS)
    monkeypatch.setattr("streamer.destinations.http.parse_retry_after", parse)
    monkeypatch.setattr(probing, "MAX_BACKOFF_SECONDS", MAX_WAIT_SECONDS)


class Journal:
    """Every record that was produced, as it was meant: no client has to read them for the oracle."""

    def __init__(self, consume_all: ConsumeAll) -> None:
        self._records: dict[str, list[Any]] = {}
        self._consume_all = consume_all

    def note(self, topic: str, partition: int, offsets: Sequence[int], records: Sequence[ProducedRecord]) -> None:
        """These records were written at these offsets."""
        self._records.setdefault(topic, []).extend(
            SimpleNamespace(topic=topic, partition=partition, offset=offset, **record._asdict())
            for offset, record in zip(offsets, records, strict=True)
        )

    async def read(self, topic: str) -> list[Any]:
        """All records of a topic; those that others have written are read from the broker."""
        return self._records[topic] if topic in self._records else await self._consume_all(topic)


@pytest.fixture
def journal(consume_all: ConsumeAll) -> Journal:
    return Journal(consume_all)


@pytest.fixture
def deployment(tmp_path: Path, bootstrap_servers: str, journal: Journal) -> Deployment:
    """One whose sandbox only keeps the record of the hostile receiver."""
    return Deployment(
        directory=tmp_path, bootstrap_servers=bootstrap_servers, sandbox=Sandbox(), consume_all=journal.read
    )


@contextlib.asynccontextmanager
async def hostile_destinations(deployment: Deployment) -> AsyncIterator[HostileReceiver]:
    """Have one receiver for both destinations of the deployment."""
    deployment.hurry(held_probe=MAX_WAIT_SECONDS, summary_every=1.0)
    chance = random.Random(f"destinations {SEED}")
    receiver = HostileReceiver(random.Random(f"answers {SEED}"), deployment.sandbox.record)
    async with receiver.listening() as url, contextlib.AsyncExitStack() as at_end:
        at_end.push_async_callback(deployment.close)
        deployment.destination.update(
            endpoint=url,
            batch={"max_calls": chance.choice((5, 20, 200)), "linger": chance.choice((0, 0.02))},
            max_in_flight=chance.choice((4, 8, 16)),
            gzip=chance.choice((True, False)),
            timeout="5s",
            retry={"quick": [0.2, 0.5], "schedule": [1, 2]},
        )
        # Canonical events have the messageIds of the platforms' own ones.
        deployment.document["destinations"]["canonical"] = deployment.destination | {"message_id_suffix": "-canonical"}
        yield receiver


async def integrate(deployment: Deployment) -> dict[str, str]:
    """An integration of each dialect; returns their topics, which take records of any time."""
    chance = random.Random(f"integrations {SEED}")
    topics = {}
    for dialect, settings in DIALECTS.items():
        [topics[dialect]] = await deployment.integrate(
            dialect,
            dialect=dialect,
            partitions=PARTITIONS,
            topic_config={"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"},
            destination="canonical" if dialect == "canonical" else "segment",
            dead_letters={"max_ratio": 1},
            limits={
                "max_open_records": chance.choice((50, 500, 200_000)),
                "max_open_bytes": chance.choice(("1MiB", "64MiB")),
                "max_parked_per_partition": chance.choice((1, 10, 50)),
            },
            **settings,
        )
    return topics


class Storm:
    """Records of any shape, to all partitions in turn."""

    def __init__(self, deployment: Deployment, topics: Mapping[str, str], journal: Journal) -> None:
        self.produced = 0
        self._journal = journal
        self._chance = random.Random(f"codecs {SEED}")
        self._deployment = deployment
        self._places = [(dialect, topic, place) for place in range(PARTITIONS) for dialect, topic in topics.items()]
        self._records = {
            dialect: StrangeRecords(random.Random(f"{dialect} {SEED}"), dialect=dialect, integration=dialect)
            for dialect in topics
        }

    async def blow(self, seconds: float) -> None:
        """Produce for so long, and at least once to each partition."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while True:
            for dialect, topic, partition in self._places:
                records = self._records[dialect].take(RECORDS_AT_ONCE)
                codec = self._chance.choice(CODECS)
                offsets = await self._deployment.produce_as_is(topic, partition, records, codec=codec)
                self._journal.note(topic, partition, offsets, records)
                self.produced += len(records)
                await asyncio.sleep(PACE_SECONDS)
            if loop.time() > until:
                return


class Observer:
    """Somebody who looks at the service all the time."""

    def __init__(self, service: Service) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        self._service = service

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look while the block lasts."""
        async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
            task = tasks.create_task(self._look(session))
            yield
            task.cancel()

    async def _look(self, session: aiohttp.ClientSession) -> None:
        await eventually(lambda: self._service.port)
        while True:
            for path in ("/livez", "/readyz", "/status", "/metrics"):
                async with session.get(f"http://127.0.0.1:{self._service.port}{path}") as response:
                    self.answers[path, response.status] += 1
                    if path == "/status" and (unaccounted := (await response.json())["unaccounted"]):
                        self.faults.append(f"{unaccounted} records are not accounted for")
            await asyncio.sleep(LOOK_SECONDS)


def faults_in(lines: Sequence[structlog.typing.EventDict]) -> list[Any]:
    names = {event.event_name for event in NEVER}
    return [line for line in lines if line["event"] in names or line.get("reason") == DeadLetterReason.INTERNAL_ERROR]


def faults_of(evidence: Sequence[oracle.Evidence]) -> list[str]:
    """What the oracle says of all integrations together."""
    taken = {message_id for one in evidence for message_id in one.taken}
    known = {str(one.fate_of(record)) for one in evidence for record in one.records}
    return [
        *(fault for one in evidence for fault in oracle.faults(one, max_times=MAX_TIMES)),
        *(f"{message_id} was sent and is in no record" for message_id in taken - known),
        *(
            f"{oracle.source_of(letter)}: {dict(letter.headers)['__connect.errors.exception.message']!r}"
            for one in evidence
            for letter in one.dead_letters
            if dict(letter.headers)["streamer.reason"] == DeadLetterReason.INTERNAL_ERROR.encode()
        ),
    ]


def test_records_and_answers_of_any_shape_restart_nothing_and_lose_nothing(
    deployment: Deployment, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    print(f"seed {SEED}: STREAMER_TEST_SEED={SEED} draws it again")  # noqa: T201
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the event loop of production
        runner.run(weather_a_storm(deployment, journal))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR and record.name == "asyncio"]


async def weather_a_storm(deployment: Deployment, journal: Journal) -> None:
    """Run the service through it, and hold what it did against what came in."""
    async with hostile_destinations(deployment) as receiver:
        storm = Storm(deployment, await integrate(deployment), journal)
        with structlog.testing.capture_logs() as lines:
            async with deployment.running() as service:
                observer = Observer(service)
                async with observer.looking():
                    await storm.blow(SECONDS)
                    receiver.is_kind = True
                    await storm.blow(0)
                    with contextlib.suppress(TimeoutError):  # the log says more, and the oracle tells the positions
                        await deployment.settled(SETTLE_SECONDS)
                assert {one.runner.restarts for one in service.integrations.values()} == {0}
        evidence = [await deployment.evidence(dialect) for dialect in DIALECTS]
        tell(storm, receiver, observer, lines, evidence)
        assert not faults_in(lines)
        assert not observer.faults
        assert {status for path, status in observer.answers if path != "/readyz"} == {200}
        assert {status for _, status in observer.answers} <= {200, 503}
        assert not receiver.violations
        faults = faults_of(evidence)
        assert not faults, "\n".join(faults[:20])


def tell(
    storm: Storm,
    receiver: HostileReceiver,
    observer: Observer,
    lines: Sequence[structlog.typing.EventDict],
    evidence: Sequence[oracle.Evidence],
) -> None:
    """Say what was tried."""
    print(f"{storm.produced} records, answers {dict(receiver.kinds)}, looks {dict(observer.answers)}")  # noqa: T201
    told = Counter(line["event"] for line in lines)
    print(f"log events {dict(told)}")  # noqa: T201
    for one in evidence:
        delivered = sum(account.delivered for account, _ in one.accounts)
        set_aside = sum((account.dead_lettered for account, _ in one.accounts), Counter[Any]())
        filtered = sum((account.filtered for account, _ in one.accounts), Counter[Any]())
        print(f"{one.integration}: {delivered} delivered, {dict(filtered)} filtered, {dict(set_aside)} dead letters")  # noqa: T201
