"""What an operator reads in an hour in which everything goes wrong, and how little that is."""

import asyncio
import contextlib
import itertools
import json
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from streamer import logs, service
from streamer.core.delivery.answers import Answer
from streamer.kafka import TopicPartition as Place
from streamer.service import Service
from streamer.settings import Settings
from streamer.settings.sections import LogSettings
from tests.doubles.destination import ACCEPTED, MemoryClient, status
from tests.doubles.kafka import MemoryBrokers, MemoryCluster
from tests.logs.virtual import Clock
from tests.service.harness import survey_event

TOPIC: Final = "surveys"
GROUP: Final = "streamer.surveys"
PARTITIONS: Final = 4
EPOCH: Final = 1_780_000_000.0
MINUTE: Final = 60.0
SOON_SECONDS: Final = 15.0
MALFORMED: Final = (b"not JSON", b'{"event": 7}', b'{"event": "Response Submitted"}')

Line = dict[str, Any]
Decide = Callable[[Sequence[str]], Answer]


class Hour:
    """A service with Kafka and a destination in memory. Two records come a second."""

    def __init__(self, directory: Path) -> None:
        self.cluster = MemoryCluster()
        self.cluster.create(TOPIC, PARTITIONS)
        self.cluster.create(f"{TOPIC}.dlq", PARTITIONS)
        self.brokers = MemoryBrokers(self.cluster)
        self.decide: Decide = lambda _: ACCEPTED
        self.malformed_share = 0.0
        self._numbers = itertools.count()
        integration = {"dialect": "getuserfeedback", "topics": [TOPIC], "destination": "segment", "group_id": GROUP}
        settings = Settings.model_validate(
            {
                "state_dir": directory,
                "kafka": {"bootstrap_servers": "memory:1"},
                "destinations": {"segment": {"write_key": "key", "settings_endpoint": ""}},
                "integrations": {"surveys": integration},
            }
        )
        self.service = Service(settings)
        self.service.destinations["segment"]._client = MemoryClient(self._answer)
        self.runner = self.service.integrations["surveys"].runner
        self.runner._new_brokers = lambda: self.brokers

    async def run(self, phases: Sequence["Phase"]) -> None:
        """Let each fault last for its time, one after the other; then drain."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.runner.run(stop))
            parts = (self.service._summarise(), self.service._sample(), self._produce(), self._delete_old())
            others = [tasks.create_task(part) for part in parts]
            for phase in phases:
                async with phase.fault(self):
                    await asyncio.sleep(phase.minutes * MINUTE)
            stop.set()
            await running
            for task in others:
                task.cancel()
        self.service._summarise_all(is_last=True)
        await self.service._close()

    async def _answer(self, message_ids: Sequence[str]) -> Answer:
        await asyncio.sleep(0.05)
        return self.decide(message_ids)

    async def _produce(self) -> None:
        while True:
            for partition in range(PARTITIONS):
                is_malformed = random.random() < self.malformed_share
                value = random.choice(MALFORMED) if is_malformed else survey_event(f"evt_{next(self._numbers)}")
                self.cluster.append(TOPIC, [value], partition=partition, timestamp=int(time.time() * 1000))
            await asyncio.sleep(2.0)

    async def _delete_old(self) -> None:
        """Delete what is settled, as retention does: the double looks through all records of a partition."""
        while True:
            await asyncio.sleep(20.0)
            for place, stored in self.cluster.group(GROUP).stored.items():
                if stored.offset is not None:
                    self.cluster.delete_records(place, before=max(stored.offset - 1, 0))


Fault = Callable[[Hour], contextlib.AbstractAsyncContextManager[None]]
"""Something is wrong while it lasts."""


@contextlib.asynccontextmanager
async def nothing(_hour: Hour) -> AsyncIterator[None]:
    yield


def often(answer: Answer) -> Decide:
    """This answer to most requests."""
    return lambda _: answer if random.random() < 0.6 else ACCEPTED


def answers(decide: Decide) -> Fault:
    """The destination answers in this way."""

    @contextlib.asynccontextmanager
    async def fault(hour: Hour) -> AsyncIterator[None]:
        hour.decide = decide
        yield
        hour.decide = lambda _: ACCEPTED

    return fault


@contextlib.asynccontextmanager
async def malformed(hour: Hour) -> AsyncIterator[None]:
    hour.malformed_share = 0.2
    yield
    hour.malformed_share = 0.0


@contextlib.asynccontextmanager
async def away(hour: Hour) -> AsyncIterator[None]:
    hour.cluster.is_away = True
    yield
    hour.cluster.is_away = False


@contextlib.asynccontextmanager
async def no_leader(hour: Hour) -> AsyncIterator[None]:
    places = {Place(TOPIC, 1), Place(TOPIC, 2)}
    hour.cluster.leaderless |= places
    yield
    hour.cluster.leaderless -= places


@contextlib.asynccontextmanager
async def rebalances(hour: Hour) -> AsyncIterator[None]:
    """Another member comes and goes, each time for some seconds."""

    async def revoke(_: object) -> None:
        pass

    async def come_and_go() -> None:
        while True:
            other = hour.brokers.source(group_id=GROUP, topics=[TOPIC], on_assigned=lambda _: None, on_revoked=revoke)
            await other.join()
            await asyncio.sleep(11.0)
            await other.leave()
            await asyncio.sleep(11.0)

    task = asyncio.create_task(come_and_go())
    yield
    task.cancel()
    for member in list(hour.cluster.group(GROUP).members[1:]):
        await member.leave()


class Phase(NamedTuple):
    """A fault, how long it lasts, and what is logged meanwhile."""

    name: str
    minutes: float
    fault: Fault
    told: set[str]
    """Events with their reason. Counts of lines that were folded may come later."""
    max_lines: int
    """Of all these events."""


DECODE_ERROR: Final = "event.dead_lettered decode_error"
SCHEMA_INVALID: Final = "event.dead_lettered schema_invalid"

HOUR: Final = [
    Phase("all is well", 3, nothing, {"partition.assigned"}, 4),
    Phase("a wrong key", 10, answers(lambda _: status(401)), {"batch.retrying 401", "destination.held 401"}, 4),
    Phase("the right key", 2, nothing, {"destination.resumed"}, 1),
    Phase(
        "too many requests",
        7,
        answers(often(status(429, 2.0))),
        {"batch.retrying 429", "destination.backing_off 429", "destination.resumed"},
        24,
    ),
    Phase("it answers", 3, nothing, {"destination.resumed"}, 4),
    Phase("20 % are malformed", 10, malformed, {DECODE_ERROR, SCHEMA_INVALID}, 12),
    Phase("none is malformed", 4, nothing, {DECODE_ERROR, SCHEMA_INVALID}, 3),
    Phase("no broker answers", 5, away, {"kafka.unavailable"}, 4),
    Phase("brokers are back", 1, nothing, {"kafka.recovered"}, 1),
    Phase("two partitions have no leader", 4, no_leader, {"partition.left_out no_leader"}, 2),
    Phase("they have one", 1, nothing, {"partition.resumed"}, 2),
    Phase("rebalances", 4, rebalances, {"partition.revoked", "partition.assigned"}, 12),
    Phase("it answers 503", 4, answers(often(status(503))), {"batch.retrying 503"}, 9),
    Phase("the end", 2, nothing, {"drain.started", "drain.finished", "partition.revoked"}, 8),
]
"""An hour."""


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    """Its lines."""
    path = tmp_path_factory.mktemp("hour") / "log"
    random.seed(7)

    async def main() -> None:
        await Hour(path.parent / "state").run(HOUR)

    choice = LogSettings(level="info", format="json")
    with (
        pytest.MonkeyPatch.context() as patched,
        path.open("wb") as file,
        logs.configured(choice, file_descriptor=file.fileno()),
    ):
        patched.setattr(service, "SAMPLE_SECONDS", 1.0)
        Clock(patched, epoch=EPOCH).run(main())
    return [json.loads(line) for line in path.read_text().splitlines()]


def time_of(line: Line) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def spoken(line: Line) -> str:
    """An event with its reason."""
    return f"{line['event_name']} {line.get('error.type') or line.get('reason') or ''}".rstrip()


def lines_of(phase: Phase, lines: list[Line]) -> list[Line]:
    """Those that were written while it lasted, or, after the last one, later."""
    before = HOUR[: HOUR.index(phase)]
    begins = EPOCH + MINUTE * sum(earlier.minutes for earlier in before)
    ends = math.inf if phase is HOUR[-1] else begins + phase.minutes * MINUTE
    return [line for line in lines if begins <= time_of(line) < ends]


def test_an_operator_reads_what_is_wrong_and_little_else(hour: list[Line]) -> None:
    minutes = [line for line in hour if line["event_name"] == "service.summarised"]
    remarks = [line for line in hour if line["event_name"] == "record.warned"]
    others = [line for line in hour if line not in minutes and line not in remarks]
    for phase in HOUR:
        lines = lines_of(phase, others)
        assert phase.told <= set(map(spoken, lines)), phase.name
        assert {spoken(line) for line in lines if "suppressed" not in line} <= phase.told, phase.name
        assert len(lines) <= phase.max_lines, phase.name

    assert sum(line["level"] in {"warning", "error"} for line in others) <= 48
    assert len(minutes) <= 60
    assert len(remarks) <= 30, "the producer should know; it is no news each minute"

    began = EPOCH
    for phase in HOUR:
        first = lines_of(phase, others)[0]
        if phase.fault is not nothing:
            assert time_of(first) - began <= SOON_SECONDS, phase.name
            assert all(line["data_at_risk"] == "no" and line["next_step"] for line in others if "fault" in line)
        began += phase.minutes * MINUTE


def test_the_line_of_the_minute_tells_how_it_stands(hour: list[Line]) -> None:
    minutes = [line for line in hour if line["event_name"] == "service.summarised"]
    by_phase = {phase.name: [_figures(line) for line in lines_of(phase, minutes)] for phase in HOUR}
    well, held = by_phase["all is well"], by_phase["a wrong key"]
    assert well[1] == {
        "destination_state": "ok",
        "limited_by": "fetch",
        "lag": 0,
        "lag_seconds": 0.0,
        "drain_eta_seconds": 0.0,
        "consumed_per_second": 2.0,
        "settled_per_second": 2.0,
        "delivered": 120,
        "in_flight": 0,
    }
    assert [figures["lag"] for figures in held] == sorted(figures["lag"] for figures in held)
    assert {(figures["destination_state"], figures["limited_by"]) for figures in held[1:]} == {("held", "held")}
    assert held[-1]["lag_seconds"] > 8 * MINUTE
    assert by_phase["20 % are malformed"][3]["dead_letter_reasons"].startswith("schema_invalid ")
    assert [figures["limited_by"] for figures in by_phase["no broker answers"]][1:] == ["kafka"], "told once"


def _figures(line: Line) -> Line:
    others = {"timestamp", "seconds", "integration", "destination", "event_name", "level", "body", "logger"}
    return {
        name: value
        for name, value in line.items()
        if name not in others and not name.startswith(("severity", "service"))
    }
