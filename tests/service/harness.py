"""The service under test: topics on the real broker, a sandbox for Segment, a configuration file, and runs of it."""

import asyncio
import contextlib
import dataclasses
import signal
import sys
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import aiohttp
import orjson
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.structs import ConsumerRecord, TopicPartition

from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.model import DeadLetterReason, Filtered, Record
from streamer.devkit.sandbox.server import Sandbox
from streamer.pipeline import Pipeline
from streamer.pipeline.delivery import Delivery
from streamer.service import Service
from streamer.settings import Settings, load
from streamer.settings.watching import ConfigFile
from streamer.timings import Timings
from tests.conftest import ConsumeAll, connected_admin, has_leaders
from tests.service import oracle

WRITE_KEY: Final = "streamer_test_write_key_000000001"
WAIT_SECONDS: Final = 30.0
"""Longest wait for anything; a test that works waits for milliseconds."""

HURRIED: Final = Timings(commit_every=0.1, confirm_end=0.3, connect_retry=0.2, restart_min=0.1)
"""Waits of seconds that tests would only wait for."""

ASKED_AGAIN_MS: Final = 3_000
"""So long a broker may take to say what is committed: any one may be asked, also one that is frozen."""

LARGEST_RECORD_BYTES: Final = 4 << 20
MAX_BATCH_BYTES: Final = 1 << 14

Headers = Sequence[tuple[str, bytes | None]]


class RawName(str):
    """The name of a header whose bytes are not UTF-8; as text it is what streamer makes of it."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        """Take the bytes."""
        name = super().__new__(cls, raw.decode(errors="backslashreplace"))
        name.raw = raw
        return name

    def encode(self, *_: str) -> bytes:
        """The bytes, whatever the encoding."""
        return self.raw


class ProducedRecord(NamedTuple):
    """One record to produce; any of its parts may be null or empty."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    """Milliseconds since the epoch; -1: none."""
    headers: Headers


async def eventually(happened: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds that nothing announces; the one place in these tests that looks again and again."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)


def survey_event(message_id: str, **properties: Any) -> bytes:
    """A getuserfeedback event: the dialect whose events bring their messageId along."""
    return orjson.dumps(
        {
            "event": "Response Submitted",
            "userId": "user_1",
            "anonymousId": "anon_1",
            "messageId": message_id,
            "timestamp": "2026-05-13T10:14:00.000Z",
            "properties": {
                "app_id": "app_1",
                "organization_id": "org_1",
                "survey_id": "srv_1",
                "response_id": f"resp_{message_id}",
                **properties,
            },
        }
    )


def survey_events(count: int, prefix: str = "evt") -> list[bytes]:
    """Events with the messageIds ``<prefix>_0`` and so on."""
    return [survey_event(f"{prefix}_{number}") for number in range(count)]


def pipeline_of(service: Service, name: str = "surveys") -> Pipeline:
    """The pipeline that runs an integration now."""
    pipeline = service.integrations[name].runner.pipeline
    assert pipeline is not None, "it has not started yet"
    return pipeline


def _with_units(value: Any, key: str = "") -> Any:
    """A configuration whose durations have the unit that a file must give; tests may give them as seconds."""
    if isinstance(value, dict):
        return {name: _with_units(entry, name) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_with_units(entry, key) for entry in value]
    is_duration = key in {"linger", "timeout", "quick", "schedule", "window"} and isinstance(value, int | float)
    return f"{value}s" if is_duration else value


def delivery_of(service: Service, name: str = "surveys") -> Delivery:
    """The worker of that pipeline."""
    worker = pipeline_of(service, name).worker
    assert isinstance(worker, Delivery)
    return worker


class Process:
    """``streamer run`` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, config: Path, out: Path, err: Path) -> None:
        self.config = config
        """Its configuration file, which it reads again when that changes."""
        self._process = process
        self._out = out
        self._err = err
        self._port: int | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    @property
    def errors(self) -> str:
        """Its standard error so far."""
        return self._err.read_text()

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event name."""
        return [line for line in self.lines() if line["event_name"] == name]

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [orjson.loads(line) for line in self._out.read_bytes().split(b"\n") if line.startswith(b"{")]

    async def status(self) -> dict[str, Any]:
        """What it says of itself."""
        url = f"{await self.url()}/status"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            status: dict[str, Any] = await response.json()
            return status

    async def url(self) -> str:
        """Where it answers."""
        if self._port is None:
            await eventually(lambda: self.log_events("server.listening"))
            self._port = self.log_events("server.listening")[0]["port"]
        return f"http://127.0.0.1:{self._port}"

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        """End it as a crash would."""
        if self.is_running:
            self._process.kill()
        await self.wait()


class Deployment:
    """One configuration with its topics, and all runs of the service on it.

    ``document`` is the configuration file as it will be written at the next start; tests change it as they like.
    """

    def __init__(self, *, directory: Path, bootstrap_servers: str, sandbox: Sandbox, consume_all: ConsumeAll) -> None:
        self.sandbox = sandbox
        self.timings = HURRIED
        """How long runs in this process wait for what."""
        self.services: list[Service] = []
        self.document: dict[str, Any] = {
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "session_timeout_ms": 6_000,
                "heartbeat_interval_ms": 300,
            },
            "state_dir": str(directory / "state"),
            "server": {"port": 0},
            "log": {"format": "json"},
            "control": {"topic": f"streamer-test.control.{uuid.uuid4().hex[:8]}"},
            "destinations": {
                "segment": {"write_key": WRITE_KEY, "endpoint": sandbox.url, "timeout": "3s", "batch": {"linger": 0.02}}
            },
            "integrations": {},
        }
        self.directory = directory
        self._bootstrap_servers = bootstrap_servers
        self._consume_all = consume_all
        self._suffix = uuid.uuid4().hex[:8]
        self._topics: list[str] = []
        self._ends: dict[TopicPartition, int] = {}
        self._producer: AIOKafkaProducer | None = None
        self._processes: list[Process] = []

    @property
    def destination(self) -> dict[str, Any]:
        """The section of the one destination."""
        section: dict[str, Any] = self.document["destinations"]["segment"]
        return section

    def integration(self, name: str) -> dict[str, Any]:
        """The section of an integration."""
        section: dict[str, Any] = self.document["integrations"][name]
        return section

    async def integrate(
        self,
        name: str = "surveys",
        *,
        dialect: str = "getuserfeedback",
        topics: int = 1,
        partitions: int = 2,
        dead_letter_topics: bool = True,
        topic_config: Mapping[str, str] | None = None,
        **section: Any,
    ) -> list[str]:
        """Configure an integration and make its topics; returns their names."""
        names = [f"streamer-test.{name}.{number}.{self._suffix}" for number in range(topics)]
        await self.make_topics(names, partitions=partitions, **(topic_config or {}))
        if dead_letter_topics:
            await self.make_topics([f"{topic}.dlq" for topic in names])
        self.document["integrations"][name] = {
            "dialect": dialect,
            "topics": names,
            "destination": "segment",
            "group_id": f"streamer.{name}.{self._suffix}",
            **section,
        }
        return names

    def hurry(self, **seconds: float) -> None:
        """Have the next run in this process wait less; the names are those of `Timings`."""
        self.timings = dataclasses.replace(self.timings, **seconds)

    def require_key(self, write_key: str) -> None:
        """Have the sandbox answer 401 to any other write key from now on."""
        self.sandbox._required_keys = {write_key}

    def know_key(self, write_key: str) -> None:
        """Have the sandbox drop calls under any other write key from now on, after a 200."""
        self.sandbox._known_keys = {write_key}

    async def make_topics(self, names: Sequence[str], *, partitions: int = 1, **more_config: str) -> None:
        """Make topics that take large records; ``more_config``: their other settings."""
        config = {"max.message.bytes": str(LARGEST_RECORD_BYTES), **more_config}
        async with connected_admin(self._bootstrap_servers) as admin:
            await admin.create_topics(
                [NewTopic(name, partitions, -1, replica_assignments={}, topic_configs=config) for name in names]
            )
            for name in names:
                while not await has_leaders(admin, name):  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(0.02)
        self._topics += names

    async def add_partitions(self, topic: str, partitions: int) -> None:
        """Let a topic grow to so many partitions."""
        async with connected_admin(self._bootstrap_servers) as admin:
            await admin.create_partitions({topic: NewPartitions(partitions)})
            while not await has_leaders(admin, topic):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.02)
        if self._producer is not None:
            await self._producer.client.force_metadata_update()

    async def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Delete the records of a partition below an offset, as retention does."""
        async with connected_admin(self._bootstrap_servers) as admin:
            await admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)})

    async def limit_records(self, topic: str, size: int) -> None:
        """Let a topic take records of up to so many bytes only."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": str(size)})
        async with connected_admin(self._bootstrap_servers) as admin:
            await admin.alter_configs([resource])

    async def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int | None = None,
        key: bytes | None = b"visitor",
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """Write records: to one partition, or in turn to two. Returns when the broker has them."""
        producer = await self._connected_producer()
        sent = [
            await producer.send(
                topic,
                value,
                key=key,
                partition=number % 2 if partition is None else partition,
                headers=list(headers),
                timestamp_ms=timestamp_ms,
            )
            for number, value in enumerate(values)
        ]
        for place in await asyncio.gather(*sent):
            self._ends[place.topic_partition] = place.offset + 1

    async def produce_as_is(
        self, topic: str, partition: int, records: Iterable[ProducedRecord], *, codec: int = 0
    ) -> list[int]:
        """Write records to one partition, also such as the client's ``send`` refuses; returns their offsets.

        Args:
            topic: where to.
            partition: where to.
            records: in this order.
            codec: Kafka's number of the codec that packs them; 0: none.
        """
        producer = await self._connected_producer()
        waiting, offsets = deque(records), list[int]()
        while waiting:
            batch = producer.create_batch()
            # The builder in C takes no names that are not UTF-8; the one in Python asks the name for its bytes.
            batch._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, batch_size=MAX_BATCH_BYTES)
            while waiting and batch.append(**waiting[0]._asdict()) is not None:
                waiting.popleft()
            written = await (await producer.send_batch(batch, topic, partition=partition))
            offsets += range(written.offset, written.offset + batch.record_count())
            self._ends[written.topic_partition] = offsets[-1] + 1
        return offsets

    @contextlib.asynccontextmanager
    async def running(self, *, state: str = "state", follows_file: bool = False) -> AsyncIterator[Service]:
        """Run the service in this process; at the end of the block it drains.

        Args:
            state: name of its state directory: two instances never share one.
            follows_file: whether it reads its configuration again when `write_configuration` has changed it.
        """
        self.document["state_dir"] = str(self.directory / state)
        file = ConfigFile(self.write_configuration(), {})
        service = Service(file.load(), self.timings, config_file=file if follows_file else None)
        self.services.append(service)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:  # a service that fails ends the wait of the test for it
            running = tasks.create_task(service.run(stop), name="service under test")
            try:
                yield service
            finally:
                stop.set()
                async with asyncio.timeout(WAIT_SECONDS):
                    await asyncio.wait([running])

    async def start_process(
        self, *, state: str = "state", program: Sequence[str] = ("-m", "streamer"), **sections: Any
    ) -> Process:
        """Run the service in a process of its own.

        Args:
            state: as in `running`.
            program: what Python runs.
            sections: of the configuration, for this process alone.
        """
        number = len(self._processes)
        self.document["state_dir"] = str(self.directory / state)
        path = self.write_configuration(f"streamer-{number}.yaml", **sections)
        out, err = self.directory / f"out-{number}", self.directory / f"err-{number}"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            started = await asyncio.create_subprocess_exec(
                sys.executable, *program, "run", "--config", str(path), stdout=out_file, stderr=err_file
            )
        process = Process(started, path, out, err)
        self._processes.append(process)
        return process

    def write_configuration(self, name: str = "streamer.yaml", **sections: Any) -> Path:
        """Write the configuration as it is now to a file, with other sections where some are given."""
        path = self.directory / name
        path.write_text(yaml.safe_dump(_with_units(self.document | sections)))
        return path

    def settings(self) -> Settings:
        """The configuration as it is now, loaded as the service does."""
        return load(self.write_configuration(), environ={})

    def note_end(self, partition: TopicPartition, end: int) -> None:
        """Records were written to a partition by other means than `produce`."""
        self._ends[partition] = max(self._ends.get(partition, 0), end)

    async def settled(self, seconds: float = WAIT_SECONDS, *, but: Collection[TopicPartition] = ()) -> None:
        """Wait until everything that has been produced by now is committed, in all partitions ``but`` these."""
        ends = {partition: end for partition, end in self._ends.items() if partition not in but}
        async with (
            asyncio.timeout(seconds),
            connected_admin(self._bootstrap_servers, request_timeout_ms=ASKED_AGAIN_MS) as admin,
        ):
            while True:
                committed: dict[TopicPartition, int] = {}
                for section in self.document["integrations"].values():
                    committed |= await self._committed(admin, section["group_id"])
                if all(committed.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.05)

    async def log_end(self, topic: str, partition: int) -> int:
        """The offset after the last one of a partition, markers of transactions included."""
        place = TopicPartition(topic, partition)
        async with AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers) as consumer:
            ends: dict[TopicPartition, int] = await consumer.end_offsets([place])
            return ends[place]

    async def committed(self, name: str = "surveys") -> dict[TopicPartition, int]:
        """The positions stored for an integration."""
        async with connected_admin(self._bootstrap_servers) as admin:
            return await self._committed(admin, self.integration(name)["group_id"])

    async def reset_positions(self, topic: str, *, to: int = 0, name: str = "surveys") -> None:
        """Do what an operator does to have a topic delivered again: store a position without our metadata."""
        partitions = [place for place in await self.committed(name) if place.topic == topic]
        operator = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=self.integration(name)["group_id"],
            enable_auto_commit=False,
        )
        async with asyncio.timeout(WAIT_SECONDS), operator:
            operator.assign(partitions)
            await operator.commit(dict.fromkeys(partitions, to))

    async def commits_beyond(self, records: int, name: str = "surveys") -> None:
        """Wait until more than so many records of an integration are committed, over all partitions."""
        async with asyncio.timeout(WAIT_SECONDS), connected_admin(self._bootstrap_servers) as admin:
            group_id = self.integration(name)["group_id"]
            while sum((await self._committed(admin, group_id)).values()) <= records:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.02)

    async def dead_letters(self, name: str = "surveys") -> list[ConsumerRecord]:
        """All dead letters of an integration."""
        settings = self.settings().integrations[name]
        topics = sorted({settings.dead_letter_topic(topic) for topic in settings.topics})
        return [letter for topic in topics for letter in await self._consume_all(topic)]

    async def verify(self, *, max_times: int = 1, is_over: bool = True, settled_once: bool = True) -> None:
        """Ask the oracle, for each integration; the arguments are those of `oracle.faults`."""
        found: list[str] = []
        for name in self.document["integrations"]:
            evidence = await self.evidence(name)
            found += oracle.faults(evidence, max_times=max_times, is_over=is_over, settled_once=settled_once)
        assert not found, "\n".join(found)

    async def close(self) -> None:
        """End what still runs, and delete the topics."""
        for process in self._processes:
            await process.kill()
        if self._producer is not None:
            await self._producer.stop()

    async def evidence(self, name: str = "surveys") -> oracle.Evidence:
        """All that is known by now about the runs of an integration."""
        settings = self.settings()
        records = [record for topic in settings.integrations[name].topics for record in await self._consume_all(topic)]
        fate_of = _fates(Mapper(settings.mapping(name)))
        ids = {fate for record in records if isinstance(fate := fate_of(record), str)}
        return oracle.Evidence(
            integration=name,
            records=records,
            fate_of=fate_of,
            # Of a destination that integrations share, each answers for its own ids.
            taken={
                message_id: times
                for message_id, times in self.sandbox.record.counts()
                if message_id in ids or len(settings.integrations) == 1
            },
            swallowed=self.sandbox.record.swallowed,
            dead_letters=await self.dead_letters(name),
            committed={(place.topic, place.partition): at for place, at in (await self.committed(name)).items()},
            accounts=[entry for service in self.services for entry in _accounts(service, name)],
        )

    async def _committed(self, admin: AIOKafkaAdminClient, group_id: str) -> dict[TopicPartition, int]:
        try:
            stored: Mapping[TopicPartition, Any] = await admin.list_consumer_group_offsets(group_id)
        except KafkaError as error:
            if not error.retriable:
                raise
            return {}  # the coordinator is still being made or moved
        return {partition: position.offset for partition, position in stored.items()}

    async def _connected_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap_servers, acks="all", max_request_size=LARGEST_RECORD_BYTES
            )
            await self._producer.start()
        return self._producer


def _fates(mapper: Mapper) -> Callable[[Record], oracle.Fate]:
    """What each record must become, by the mapping, which has samples and tests of its own."""

    def fate_of(record: Record) -> oracle.Fate:
        try:
            call = mapper.map(record.value, record.timestamp, record.headers)
        except RecordError as error:
            return error.reason
        except Exception:  # noqa: BLE001 - a test has planted a bug
            return DeadLetterReason.INTERNAL_ERROR
        return call if isinstance(call, Filtered) else str(call.message_id)

    return fate_of


def _accounts(service: Service, name: str) -> list[tuple[Any, int]]:
    """The accounts of an integration, each with the number of records that are open."""
    integration = service.integrations[name]
    ledgers = integration.runner.pipeline.assignment.ledgers if integration.runner.pipeline is not None else {}
    open_records = {(ledger.topic, ledger.partition): ledger.open_records for ledger in ledgers.values()}
    return [(account, open_records.get(place, 0)) for place, account in integration.runner.accounts.items()]
