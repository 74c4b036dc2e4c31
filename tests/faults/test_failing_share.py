"""One event in twenty fails without end: the others flow, and nothing grows."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

import pytest

from streamer.core.delivery.attempt import Attempt, Wanted
from streamer.core.delivery.batching import Batcher
from streamer.core.delivery.outbox import Outbox
from streamer.core.delivery.parked import Parked
from streamer.core.delivery.retry import RetryPolicy
from streamer.core.model import DeadLetterReason, Record
from streamer.core.records import statement as statements
from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox
from tests.faults.memory import MAX_BYTES, memory_of
from tests.faults.oracle import History, verify_history
from tests.faults.recorded import Recorder, marked
from tests.service.harness import Deployment, survey_event

SECONDS: Final = float(os.environ.get("STREAMER_TEST_SECONDS", "8"))
"""How long the events fail; a twentieth of what comes then may be at most `tests.faults.recorded.MAX_MARKED`."""

EVENTS_AT_ONCE: Final = 20
PACE_SECONDS: Final = 0.04
"""500 events a second."""

QUICK: Final = [0.5, 1, 2]
"""The waits after which a call of bad company is alone."""

SLACK_SECONDS: Final = 10.0
"""On top of those waits: requests, polls, a busy machine, and each second in which the destination seems to fail."""

FLAT_BYTES: Final = 20_000_000
"""What memory may rise by in the second half, in which some hundreds of failing events come on top."""


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """One that keeps every call it receives, with its time."""
    sandbox = Sandbox(record_path=tmp_path / "received.jsonl")
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


SHARE = 50
"""The eight hours are those of one fiftieth of 500 events a second, with a fiftieth of what two partitions may park."""

MAX_PARKED = 2 * 2_000 // SHARE
MAX_IN_COMPANY = 20
"""Those that have not failed alone yet: twice a twentieth of what arrives while the quick attempts take 20 seconds."""
HOURS = 8
TICK_SECONDS = 2.0
CALLS_IN_TICK = 20
POLICY = RetryPolicy((1.0, 4.0, 15.0), (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 21600.0))


class Hours:
    """A partition whose every twentieth event fails, with the parts of the core that know of it, in virtual time."""

    def __init__(self) -> None:
        self.ledger = PartitionLedger("surveys", 0, 0, Account())
        self.parked = Parked(max_per_partition=MAX_PARKED, max_bytes=1 << 26)
        batcher: Batcher[OpenRecord] = Batcher(max_bytes=480_000, max_calls=1_000, linger_seconds=0, envelope_bytes=0)
        self.outbox = Outbox(batcher, self.parked)
        self.slowest = 0.0
        self._jitter = random.Random(7).random
        self._read_at: dict[int, float] = {}

    def tick(self, now: float) -> None:
        """Read some events, one of them ill, and send what is due."""
        first = self.ledger.next_offset
        records = [cast("Record", VirtualRecord(first + number)) for number in range(CALLS_IN_TICK)]
        self.ledger.open(records, 0)
        self.outbox.add([OpenRecord(record, self.ledger, f"evt_{record.offset}", b"{}") for record in records], now)
        self._read_at |= {record.offset: now for record in records}
        self.outbox.release_due(now)
        while (shipment := self.outbox.take(now, Wanted(max_bytes=480_000))) is not None:
            self._send(shipment.records, now)

    def _send(self, calls: Sequence[OpenRecord], now: float) -> None:
        if not any(is_ill(call) for call in calls):
            self.ledger.deliver([call.record.offset for call in calls])
            self.slowest = max(self.slowest, *(now - self._read_at.pop(call.record.offset) for call in calls))
            return
        attempt = Attempt(now, is_probe=False, calls=len(calls), term=0)
        for call in calls:
            call.charge(attempt, now)
        plan = POLICY.after_failure(len(calls), max(call.attempts for call in calls), self._jitter())
        if plan is None:
            self._give_up(calls)
            return
        for start in range(0, len(calls), plan.group_size):
            group = calls[start : start + plan.group_size]
            self._give_up(self.outbox.park(group, now + plan.wait_seconds, attempt))

    def _give_up(self, calls: Sequence[OpenRecord]) -> None:
        for call in calls:
            assert is_ill(call), "given up for its company"
            self.ledger.dead_letter(call.record.offset, DeadLetterReason.RETRIES_EXHAUSTED)
            del self._read_at[call.record.offset]


class VirtualRecord(NamedTuple):
    """As much of a record as the core looks at."""

    offset: int
    topic: str = "surveys"
    partition: int = 0
    timestamp: int = 1_700_000_000_000
    value: bytes = b"{}"


def is_ill(call: OpenRecord) -> bool:
    """Whether the destination answers 500 to it."""
    return call.record.offset % 20 == 0


def test_eight_hours_of_a_twentieth_that_fails_leave_no_trace_but_dead_letters() -> None:
    """Failing events come in faster than the schedule lets go of them: the cap does, and the position follows."""
    hours = Hours()
    spans, lengths = [], []
    for tick in range(int(HOURS * 3_600 / TICK_SECONDS)):
        hours.tick(tick * TICK_SECONDS)
        if tick % 100 == 0:
            committed, metadata = hours.ledger.to_commit()
            spans.append(hours.ledger.next_offset - committed)
            lengths.append(len(metadata))
    account = hours.ledger.account
    assert hours.slowest <= sum(POLICY.quick) * 1.1 + len(POLICY.quick) * TICK_SECONDS
    assert len(hours.parked) <= MAX_PARKED
    assert max(lengths) <= statements.MAX_CHARACTERS
    assert max(spans[len(spans) // 2 :]) <= 1.1 * max(spans[: len(spans) // 2])
    assert 0 <= account.consumed // 20 - account.dead_lettered.total() <= MAX_PARKED + MAX_IN_COMPANY
    assert account.unaccounted(hours.ledger.open_records) == 0


@pytest.mark.kafka
@pytest.mark.timeout(120 + 2 * SECONDS)
async def test_a_twentieth_that_fails_without_end_stops_nobody(
    deployment: Deployment, bootstrap_servers: str, tmp_path: Path
) -> None:
    """A good event waits as long as it takes to be told from the company that it came in, and no longer."""
    recorder = Recorder(deployment, bootstrap_servers, tmp_path / "received.jsonl")
    deployment.destination["retry"] = {"quick": QUICK, "schedule": [2] * 60}
    topic = await recorder.integrate(partitions=2)
    deployment.sandbox.faults.set(Fault(match=marked("ill"), action=Action(status=500)))
    process = await deployment.start_process()
    async with memory_of(process.pid) as memory:
        began_at = time.monotonic()
        await produce(deployment, topic, began_at + SECONDS)
        growth = memory.growth(began_at + SECONDS / 2)
        deployment.sandbox.faults.clear()
        await deployment.settled()

    history = await recorder.history()
    delays = delays_of_good_events(history)
    print(  # noqa: T201
        f"{len(delays)} good events were {delays[len(delays) // 2]:.1f} s late (median), {delays[-1]:.1f} s at most; "
        f"{len(process.log_events('destination.backing_off'))} times backing off; "
        f"{memory.largest / 1e6:.0f} MB at most, {growth / 1e6:.1f} MB more in the second half"
    )
    assert delays[-1] < sum(QUICK) + SLACK_SECONDS
    assert memory.largest < MAX_BYTES
    assert growth < FLAT_BYTES
    assert max(len(commit.metadata or "") for commit in history.commits) <= statements.MAX_CHARACTERS
    assert process.log_events("destination.held") == []
    assert verify_history(history) == []
    await deployment.verify(settled_once=False)
    assert await deployment.dead_letters() == []


async def produce(deployment: Deployment, topic: str, until: float) -> None:
    """Produce 500 events a second to two partitions; each twentieth is ill."""
    for number in itertools.count():
        events = [survey_event(f"good_{number}_{index}") for index in range(EVENTS_AT_ONCE - 1)]
        await deployment.produce(topic, [*events, survey_event(f"ill_{number}")], partition=number % 2)
        now = time.monotonic()
        if now >= until:
            return
        await asyncio.sleep(PACE_SECONDS - now % PACE_SECONDS)


def delays_of_good_events(history: History) -> list[float]:
    """Seconds from the creation of each good event to its delivery, the shortest first."""
    taken = {one.message_id: one.at for one in reversed(history.receptions) if one.is_taken}
    fates = ((history.evidence.fate_of(record), record.timestamp / 1000) for record in history.evidence.records)
    return sorted(taken[fate] - created for fate, created in fates if isinstance(fate, str) and fate.startswith("good"))


@pytest.mark.kafka
async def test_a_backlog_of_which_a_twentieth_fails_is_delivered_but_for_that(deployment: Deployment) -> None:
    """Every first batch of it fails. Nobody is given up for want of room before it has failed alone."""
    events, partitions = 3_000, 2
    ill = events // 20
    deployment.destination["retry"] = {"quick": [0.1, 0.3, 1], "schedule": [600] * 10}
    deployment.destination["batch"] = {"max_calls": 500, "linger": 0.01}
    [topic] = await deployment.integrate(partitions=partitions)
    deployment.document["integrations"]["surveys"]["limits"] = {"max_parked_per_partition": ill}
    for partition in range(partitions):
        here = range(partition, events, partitions)
        kinds = ("ill" if index % 20 == 0 else "good" for index in range(len(here)))
        values = [survey_event(f"{kind}_{number}") for kind, number in zip(kinds, here, strict=True)]
        await deployment.produce(topic, values, partition=partition)
    deployment.sandbox.faults.set(Fault(match=marked("ill"), action=Action(status=500)))
    async with deployment.running():
        async with asyncio.timeout(60):
            await deployment.sandbox.until(lambda record: record.accepted >= events - ill)
        assert await deployment.dead_letters() == []
        deployment.sandbox.faults.clear()
