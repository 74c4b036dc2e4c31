"""Several processes apply calls of the same people at once: the result is that of one call after the other."""

import functools
import random
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import orjson
import pytest

from streamer.core.inbound import digests
from streamer.core.inbound.call import Call
from streamer.core.inbound.directory import Outgoing
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules
from streamer.core.model import Record
from streamer.settings import load
from tests.core.inbound.memory_directory import MemoryDirectory
from tests.faults.inbound.deployment import WayBack, eventually, status_of
from tests.faults.inbound.oracle import Stored
from tests.faults.inbound.traffic import Entangled
from tests.service.harness import Process

pytestmark = pytest.mark.kafka

SEED = 20261128
WAIT_SECONDS = 60.0
CONSUMERS = 3
PARTITIONS = 6
CALLS = 1_200
CALLS_AT_ONCE = 10
"""Few, so that there are many transactions."""


async def test_racing_processes_have_the_result_of_one_call_after_the_other(way_back: WayBack) -> None:
    """The calls of each person lie in all partitions; some lie in two. What order there was, the database has noted."""
    chance = random.Random(SEED)
    await way_back.prepare(listeners=0, partitions=PARTITIONS)
    processes = [await way_back.start_consumer(number) for number in range(CONSUMERS)]
    for process in processes:
        await eventually(functools.partial(has_partitions, process), WAIT_SECONDS)

    calls = Entangled(chance)
    for _ in range(CALLS // CALLS_AT_ONCE):
        values = calls.take(CALLS_AT_ONCE)
        for partition in chance.sample(range(PARTITIONS), chance.choice([1, 1, 2])):
            await way_back.deployment.produce(way_back.topic, values, partition=partition)
    await way_back.settled(WAIT_SECONDS)

    expected = await replayed(way_back)
    exported, wanted = await way_back.export("--times"), expected.export(times=True)
    differing = [pair for pair in zip_longest(*map(without_revisions, (exported, wanted))) if pair[0] != pair[1]]
    assert differing == []
    outbox = await way_back.database.outbox()
    assert triggers_of(way_back, outbox) == triggers_of(way_back, expected.outgoing)


async def has_partitions(process: Process) -> bool:
    """Whether it applies calls already."""
    if not process.log_events("server.listening"):
        return False
    return any(partition["assigned"] for partition in (await status_of(process)).get("partitions", ()))


async def replayed(way_back: WayBack) -> MemoryDirectory:
    """The directory after the calls were applied one after the other, in memory, in the order in which they were."""
    rules = load(way_back.configuration(), environ={}).inbound_rules()
    records = await way_back.read(way_back.topic)
    calls = {digests.message_digest(call.message_id): call for call in (_read(record, rules) for record in records)}
    order = await way_back.database.messages()
    assert sorted(order) == sorted(calls), "each is applied once"
    directory = MemoryDirectory(rules)
    directory.apply_each(*(calls[digest] for digest in order))
    return directory


def _read(record: Record, rules: Rules) -> Call:
    call = read(record.value, record.headers, record.timestamp, rules)
    assert isinstance(call, Call)
    return call


def triggers_of(way_back: WayBack, outgoing: Sequence[Stored | Outgoing]) -> list[Any]:
    """The values of these records that go to the triggers topic, in their order."""
    return [orjson.loads(one.value or b"") for one in outgoing if one.topic == way_back.triggers]


def without_revisions(lines: Sequence[Any]) -> list[Any]:
    """They count the transactions in which a user changed, and not the calls."""
    for line in lines:
        line["times"].pop("revision", None)
    return list(lines)
