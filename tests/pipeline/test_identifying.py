"""Anonymous events get the users that the directory knows; whatever the directory does, they are delivered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from streamer.core.errors import UnavailableError
from streamer.core.mapping import Mapper
from streamer.core.model import Record
from streamer.core.records.custody import Custody
from streamer.destinations.http import Exchange
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.delivery import Delivery
from streamer.pipeline.identifying import MAX_ASKED, Identification, Identified, Identifier
from tests.doubles.destination import MemoryClient
from tests.pipeline.delivering import Delivering
from tests.pipeline.engine import GROUP, TOPIC, Engine, HandWorker, eventually
from tests.service.harness import survey_event


def anonymous(message_id: str, device: str) -> bytes:
    event = orjson.loads(survey_event(message_id))
    del event["userId"]
    return orjson.dumps(event | {"anonymousId": device})


class Devices:
    """A directory that knows the users of devices. Faults are switched on by attributes."""

    def __init__(self, **users: str) -> None:
        self.users = users
        self.questions: list[set[str]] = []
        self.fault: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_closed = False

    async def users_of(self, devices: Collection[str]) -> Mapping[str, str]:
        self.questions.append(set(devices))
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return {device: self.users[device] for device in devices if device in self.users}

    async def close(self) -> None:
        self.is_closed = True


class Receiver(MemoryClient):
    """Keeps who each event is said to be of."""

    def __init__(self) -> None:
        super().__init__()
        self.users: dict[str, str | None] = {}

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        calls: list[dict[str, Any]] = [orjson.loads(body) for body in bodies]
        self.users |= {call["messageId"]: call.get("userId") for call in calls}
        return await super().send(bodies, resend_count=resend_count)


class Identifying(Delivering):
    """An engine whose events are identified."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.receiver: Receiver = Receiver()
        self.target = self.new_target()
        self.devices = Devices()
        self.wait(identify=30, identify_rest=0)

    def wait(self, **seconds: float) -> None:
        self.timings = replace(self.timings, **seconds)
        self.identification = Identification(self.devices, self.timings)
        self.identifier = Identifier(self.identification)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Events that are known, unknown and skipped."""
        known, unknown, skipped = (self.identifier.counts[result] for result in Identified)
        return known, unknown, skipped

    def identify(self, custody: Custody, dead_letters: DeadLetters) -> Delivery:
        settings = self.settings().mapping("surveys")
        mapper = Mapper(settings, self.identifier.user_of)
        delivery = self.deliver(custody, dead_letters)
        delivery.prepare = self.identifier.prepare_for(mapper)
        delivery._intake._map = mapper.map
        return delivery

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Deliver, with somebody who asks the directory."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(self.identification.run())
            async with self.running(self.identify):
                yield
            asking.cancel()
        assert self.devices.is_closed

    async def arrive(self, *events: tuple[str, str], partition: int = 0) -> None:
        """Produce events, given by messageId and device, and wait until all of this partition are delivered."""
        self.cluster.append(TOPIC, [anonymous(*event) for event in events], partition=partition)
        await eventually(lambda: all(message_id in self.receiver.taken for message_id, _ in events))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Identifying]:
    engine = Identifying(tmp_path)
    yield engine
    engine.receipts.close()


async def test_events_get_the_users_of_their_devices(engine: Identifying) -> None:
    engine.devices.users = {"d-1": "ann", "d-2": "ben"}
    values = [anonymous("a", "d-1"), anonymous("b", "d-2"), anonymous("c", "d-3"), survey_event("d"), b"no event"]
    engine.cluster.append(TOPIC, values, partition=0)
    engine.cluster.append(TOPIC, [anonymous("e", "d-1"), anonymous("f", "d-4")], partition=1)
    async with engine.asking():
        await engine.settled(5, 2)
        assert engine.devices.questions == [{"d-1", "d-2", "d-3", "d-4"}], "one question for all partitions"
        await engine.arrive(("g", "d-2"), ("h", "d-4"))
        assert len(engine.devices.questions) == 1
    users = {"a": "ann", "b": "ben", "c": None, "d": "user_1", "e": "ann", "f": None, "g": "ben", "h": None}
    assert engine.receiver.users == users
    assert engine.counts == (4, 3, 0)


async def test_no_event_waits_longer_than_a_moment_and_a_late_answer_is_used(engine: Identifying) -> None:
    engine.devices.users = {"d-1": "ann"}
    engine.wait(identify=0.05, identify_rest=30)
    engine.devices.may_answer.clear()
    with capture_logs() as logs:
        async with engine.asking():
            await engine.arrive(("a", "d-1"), ("b", "d-2"))
            await engine.arrive(("c", "d-1"))
            assert engine.devices.questions == [{"d-1", "d-2"}]
            assert engine.counts == (0, 0, 3)
            engine.devices.may_answer.set()
            await eventually(lambda: len(engine.identification.known) == 2)
            await engine.arrive(("d", "d-1"), ("e", "d-3"))
            assert len(engine.devices.questions) == 1, "it rests"
    assert engine.receiver.users == {"a": None, "b": None, "c": None, "d": "ann", "e": None}
    assert [(line["event"], line["reason"]) for line in logs if line["event"].startswith("identification")] == [
        ("identification.suspended", "slow")
    ]


async def test_while_a_question_is_on_its_way_nobody_waits_for_it_again(engine: Identifying) -> None:
    engine.wait(identify=0.05)
    engine.devices.may_answer.clear()
    async with engine.asking():
        for number in range(5):
            await engine.arrive((f"e{number}", f"d-{number}"))
        assert len(engine.devices.questions) == 1
        assert len(engine.identification._wanted) == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(UnavailableError("the directory cannot be used"), "UnavailableError"), (KeyError("a secret"), "KeyError")],
)
async def test_a_directory_that_fails_is_left_alone_for_a_while(
    engine: Identifying, fault: Exception, reason: str
) -> None:
    engine.devices.users = {"d-1": "ann"}
    engine.wait(identify=30, identify_rest=3_600)
    engine.devices.fault = fault
    with capture_logs() as logs:
        async with engine.asking():
            for number in range(3):
                await engine.arrive((f"a{number}", "d-1"))
            assert len(engine.devices.questions) == 1
            engine.devices.fault, engine.identification._rests_until = None, 0.0
            await engine.arrive(("b", "d-1"))
    assert engine.receiver.users == {"a0": None, "a1": None, "a2": None, "b": "ann"}
    assert engine.counts == (1, 0, 3)
    said = [line for line in logs if line["event"].startswith("identification")]
    assert [(line["event"], line.get("reason")) for line in said] == [
        ("identification.suspended", reason),
        ("identification.resumed", None),
    ]
    assert "secret" not in repr(said)
    assert not engine.letters()


async def test_a_drain_does_not_wait_for_the_directory(engine: Identifying) -> None:
    engine.wait(identify=3_600)
    engine.devices.may_answer.clear()
    async with engine.asking():
        engine.cluster.append(TOPIC, [anonymous("a", "d-1")])
        await eventually(lambda: engine.devices.questions)
    assert engine.receiver.taken == []
    engine.devices.may_answer.set()
    async with engine.asking():
        await engine.settled(1)
    assert engine.receiver.taken == ["a"]


async def test_devices_that_nobody_asks_about_do_not_pile_up(engine: Identifying) -> None:
    engine.wait(identify=0)
    for number in range(3 * MAX_ASKED // 1_000):
        await engine.identification.learn([f"{number}-{device}" for device in range(1_000)])
    assert len(engine.identification._wanted) <= MAX_ASKED


async def test_records_are_not_taken_if_their_assignment_has_ended_meanwhile(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    prepared: list[int] = []

    async def prepare(polled: Collection[Sequence[Record]]) -> None:
        prepared.extend(len(records) for records in polled)
        if len(prepared) == 1:
            await engine.cluster.group(GROUP).rebalance()

    def make_worker(custody: Custody, dead_letters: DeadLetters) -> HandWorker:
        worker = HandWorker(custody, dead_letters)
        worker.prepare = prepare
        return worker

    engine.cluster.append(TOPIC, [survey_event(str(number)) for number in range(5)])
    async with engine.running(make_worker) as pipeline:
        worker = pipeline.worker
        assert isinstance(worker, HandWorker)
        await eventually(lambda: worker.open)
        assert prepared == [5, 5], "read again, for the new assignment"
        assert [call.record.offset for call in worker.open] == list(range(5))
        worker.deliver()
