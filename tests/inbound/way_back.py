"""The way back as a whole service: signed webhooks go in, and profiles, triggers and dead letters come out."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from prometheus_client.parser import text_string_to_metric_families

from streamer.directory import transfer
from streamer.directory.store import Directory
from streamer.service import Service
from streamer.settings import Settings
from tests.conftest import ConsumeAll, MakeTopic
from tests.service.harness import HURRIED

SECRET: Final = "streamer-sample-secret"
TIMINGS: Final = replace(
    HURRIED, directory_lock=0.2, directory_retry=0.1, relay_poll=0.05, outbox_every=0.1, directory_count_every=0.1
)
WAIT_SECONDS: Final = 30.0
"""Longest wait for anything; a test that works waits for milliseconds."""

Answer = tuple[int, Any]
"""Status and decoded body."""


def sign(signed: bytes) -> str:
    """Segment's signature, made without the code under test."""
    return hmac.new(SECRET.encode(), signed, hashlib.sha1).hexdigest()


class WayBack:
    """One configuration, and what its service says."""

    def __init__(self, document: dict[str, Any], consume_all: ConsumeAll) -> None:
        self.document = document
        self.service: Service
        self._consume_all = consume_all

    @classmethod
    async def prepare(
        cls, servers: str, home: Path, url: str, make_topic: MakeTopic, consume_all: ConsumeAll
    ) -> "WayBack":
        """A configuration with topics of its own.

        Args:
            servers: the brokers.
            home: an empty directory.
            url: address of the directory's database.
            make_topic: makes a topic.
            consume_all: reads one.
        """
        inbound = {
            "listen": {"port": 0},
            "webhooks": {"production": {"secrets": [SECRET]}},
            "topic": await make_topic("inbound", partitions=2),
            "dead_letters": {"topic": await make_topic("inbound.dlq")},
            "profiles_topic": await make_topic("profiles", config={"cleanup.policy": "compact"}),
            "triggers_topic": await make_topic("triggers"),
        }
        inbound["group_id"] = f"{inbound['topic']}.group"
        document = {
            "kafka": {"bootstrap_servers": servers},
            "state_dir": home / "state",
            "server": {"port": 0},
            "inbound": inbound,
            "directory": {"url": url},
        }
        return cls(document, consume_all)

    @property
    def settings(self) -> Settings:
        """The configuration, checked."""
        return Settings.model_validate(self.document)

    @contextlib.asynccontextmanager
    async def running(self, **sections: Any) -> AsyncIterator[Service]:
        """The service, with other sections than those of the configuration."""
        self.service = Service(Settings.model_validate(self.document | sections), TIMINGS)
        stop = asyncio.Event()
        running = asyncio.create_task(self.service.run(stop))
        try:
            await self.until(lambda: running.done() or self.service.port)
            yield self.service
        finally:
            stop.set()
            async with asyncio.timeout(WAIT_SECONDS):
                await running

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not happened():  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)

    async def get(self, path: str) -> Answer:
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"http://127.0.0.1:{self.service.port}{path}", headers={"Accept": "application/json"}
            ) as answer,
        ):
            return answer.status, await (answer.json() if path != "/metrics" else answer.text())

    async def until_ready(self, status: int = 200) -> Any:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found, body = await self.get("/readyz?verbose")
                if found == status:
                    return body
                await asyncio.sleep(0.05)

    async def send(self, *calls: dict[str, Any]) -> int:
        body = json.dumps(list(calls)).encode()
        status, _ = await self.post(body, {"X-Signature": sign(body)})
        return status

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body as it is."""
        assert self.service.inbound is not None
        assert self.service.inbound.listener is not None
        url = f"http://127.0.0.1:{self.service.inbound.listener.port}/webhooks/segment/production"
        given = {"Content-Type": "application/json", **headers}
        async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=given) as answer:
            return answer.status, await answer.json()

    async def published(self, topic: str, count: int) -> list[ConsumerRecord]:
        """What a topic has once it has so many records."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                found = await self._consume_all(self.document["inbound"][topic])
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.1)


class Course:
    """What each step of a running service does: its answer, its records, its counts, and the directory after it."""

    def __init__(self, way_back: WayBack, directory: Directory, tail: "Tail") -> None:
        self._way_back = way_back
        self._directory = directory
        self._tail = tail
        self._counted: dict[str, float] = {}
        self._settled = 0
        """How many calls have come to their ends since the start of the service."""
        inbound = way_back.document["inbound"]
        self.profiles_topic: Final[str] = inbound["profiles_topic"]
        self.triggers_topic: Final[str] = inbound["triggers_topic"]
        self.dead_letters_topic: Final[str] = inbound["dead_letters"]["topic"]

    async def begin(self, users: Iterable[Any]) -> None:
        """Replace the directory by these lines; what happens from now on is the next step."""
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
            file.write(b"".join(orjson.dumps(line) + b"\n" for line in users))
            file.flush()
            await transfer.import_file(
                self._directory,
                Path(file.name),
                self._way_back.settings.inbound_rules(),
                replace=True,
                publish=False,
                on_progress=lambda _done, _all: None,
            )
        await self._tail.take()
        self._counted = await self._counts()

    async def step(self, body: bytes, headers: Mapping[str, str], *, calls: int | None = None) -> "Step":
        """Send a body, and wait until nothing is left to be done.

        Args:
            body: as it is sent.
            headers: beside its type.
            calls: how many of its calls come to the topic; None: all that are accepted.
        """
        status, answer = await self._way_back.post(body, headers)
        return await self.follow(answer.get("accepted", 0) if calls is None else calls, status, answer)

    async def follow(self, calls: int, status: int = 0, answer: Any = None) -> "Step":
        """Wait until so many more calls have come to their ends, and all of their records are published."""
        self._settled += calls
        async with asyncio.timeout(WAIT_SECONDS):
            while await self._count_settled() < self._settled:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
            # A call is settled after its transaction, so its records are in the outbox or published.
            while (await self._directory.outbox.waiting()).records:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
        counted, self._counted = self._counted, await self._counts()
        counts = {name: value - counted.get(name, 0.0) for name, value in self._counted.items()}
        return Step(status, answer, await self._export(), await self._tail.take(), counts, self)

    async def _count_settled(self) -> int:
        """How many calls have come to their ends."""
        _, document = await self._way_back.get("/status")
        account = document["inbound"]["account"]
        assert account["unaccounted"] == 0
        settled: int = account["consumed"] - account["in_flight"]
        return settled

    async def _counts(self) -> dict[str, float]:
        """Outcome, reason or remark -> how often."""
        _, text = await self._way_back.get("/metrics")
        counts: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                if sample.name == "streamer_inbound_calls_total":
                    name = f"{labels['outcome']} {labels['reason']}".strip()
                elif sample.name == "streamer_inbound_remarks_total":
                    name = f"remark {labels['remark']}"
                else:
                    continue
                counts[name] = counts.get(name, 0.0) + sample.value
        return counts

    async def _export(self) -> list[Any]:
        lines = transfer.export(self._directory, times=False, on_progress=lambda _done, _all: None)
        return [orjson.loads(line) async for line in lines]


class Step:
    """What one request did."""

    def __init__(
        self,
        status: int,
        answer: Any,
        users: list[Any],
        records: list[ConsumerRecord],
        counts: dict[str, float],
        course: Course,
    ) -> None:
        self.status = status
        self.answer = answer
        self.users = users
        """All lines of the export."""
        self.counts = {name: count for name, count in counts.items() if count}
        """``applied``, ``ignored <reason>``, ``remark <remark>`` and so on; those that did not change are left out."""
        self.triggers = [record for record in records if record.topic == course.triggers_topic]
        self.profiles = [record for record in records if record.topic == course.profiles_topic]
        self.dead_letters = [record for record in records if record.topic == course.dead_letters_topic]

    def events(self) -> list[Any]:
        """Values of the triggers."""
        return [orjson.loads(record.value) for record in self.triggers]


class Tail:
    """Reads what is new in some topics."""

    def __init__(self, servers: str, topics: Collection[str]) -> None:
        # Without the wait for records that are to come, which questions about offsets would wait for, too.
        self._consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=10)
        self._topics = topics

    async def start(self) -> None:
        await self._consumer.start()
        self._consumer.assign([TopicPartition(topic, 0) for topic in self._topics])

    async def take(self) -> list[ConsumerRecord]:
        """All records that were not taken before, by topic, in order."""
        records: list[ConsumerRecord] = []
        async with asyncio.timeout(WAIT_SECONDS):
            for partition, end in (await self._consumer.end_offsets(self._consumer.assignment())).items():
                while await self._consumer.position(partition) < end:
                    records += (await self._consumer.getmany(partition, timeout_ms=100)).get(partition, [])
        return sorted(records, key=lambda record: (record.topic, record.offset))

    async def stop(self) -> None:
        await self._consumer.stop()


@contextlib.asynccontextmanager
async def following(way_back: WayBack, **inbound: Any) -> AsyncIterator[Course]:
    """The service with some settings of the way back, ready, and what its steps do."""
    settings = way_back.settings
    assert settings.directory is not None
    sections = {"inbound": way_back.document["inbound"] | inbound}
    topics = [sections["inbound"][name] for name in ("profiles_topic", "triggers_topic")]
    tail = Tail(settings.kafka.bootstrap_servers, [*topics, sections["inbound"]["dead_letters"]["topic"]])
    directory = Directory(settings.directory)
    await tail.start()
    try:
        async with way_back.running(**sections):
            await way_back.until_ready()
            yield Course(way_back, directory, tail)
    finally:
        await directory.close()
        await tail.stop()
