"""Faults of all kinds for minutes on end, and the verdict of the oracles at the end: ``make soak``.

Two instances of the service deliver mixed events from two real brokers to the sandbox, and apply calls of webhooks to a
directory in a real PostgreSQL (`mixed_faults.py`). Faults are drawn with a seed, which is printed: the same seed draws
the same faults, though not at the same moments. The logs of the instances are read as well, for what no fault of this
kind may bring about.
"""
# ruff: noqa: T201 - a script that prints

import argparse
import asyncio
import contextlib
import functools
import json
import logging
import random
import secrets
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from streamer.devkit.sandbox.server import Sandbox
from tests.faults.cluster import Cluster, Operation, Resource
from tests.faults.cluster_faults import ClusterFaults
from tests.faults.inbound.soaking import SoakedWayBack
from tests.faults.log_rules import unexplained
from tests.faults.mixed_faults import PARTITIONS, SESSION_SECONDS, USUAL, MixedFaults
from tests.faults.oracle import History, sent_long_after_commit, verify_history
from tests.faults.recorded import Recorder
from tests.faults.unreadable import UNREADABLE, read_around
from tests.service import oracle
from tests.service.harness import Deployment

MAX_TIMES: Final = 1_000
"""How often one call may be sent: faults without end cost repeats without end."""

MAX_HINDSIGHT_SECONDS: Final = 5 * SESSION_SECONDS
"""How long after its commit a call may be sent again: by an instance that was frozen for two sessions with the call in
hand, and then for another one did not hear that it was evicted."""


def report(soak: MixedFaults, history: History) -> None:
    """Say what was measured."""
    print("\nseconds until all that was produced was committed, after a round with this fault:")
    for name, seconds in sorted(soak.recoveries.items()):
        median, largest = statistics.median(seconds), max(seconds)
        print(f"  {name:24} {len(seconds):3} times, median {median:5.1f}, at most {largest:5.1f}")
    settled = soak.samples[len(soak.samples) // 4 :]
    for what, unit, values in (
        ("own memory", "MB", [sample.anonymous_bytes / 1e6 for sample in settled]),
        ("open files", "", [sample.descriptors for sample in settled]),
        ("threads", "", [sample.threads for sample in settled]),
    ):
        if values:
            ends = f"{values[0]:.0f} after a quarter of the time, {values[-1]:.0f} at the end"
            print(f"{what} of the steady instance: {ends}, at most {max(values):.0f} {unit}")
    taken = [reception for reception in history.receptions if reception.is_taken]
    times = Counter(reception.message_id for reception in taken)
    unanswered = sum(not reception.is_answered for reception in taken)
    print(
        f"{len(history.evidence.records)} records, {len(history.commits)} commits, {len(taken)} calls taken, of which "
        f"{len(taken) - len(times)} again ({unanswered} had not been answered), one of them {max(times.values())} times"
    )


def read_logs(directory: Path) -> list[dict[str, Any]]:
    """All lines of the instances. A line that a kill cut off is left out."""
    return [json.loads(line) for log in sorted(directory.glob("out-*")) for line in log.read_bytes().split(b"\n")[:-1]]


def report_logged(lines: Sequence[dict[str, Any]]) -> None:
    """Say how often each kind of trouble was told."""
    print("lines of the instances, without those that were folded:")
    for (level, name), count in sorted(Counter((line["level"], line["event_name"]) for line in lines).items()):
        if level in {"warning", "error"}:
            print(f"  {level:8} {name:24} {count:6} times")


def unreadable_in(history: History, written: int) -> list[str]:
    """What is wrong with the records that cannot be read: the oracles hold for those that are found."""
    found = sum(record.value == UNREADABLE for record in history.evidence.records)
    return [] if found == written else [f"{found} records cannot be read, and {written} were written"]


async def integrate(cluster: Cluster, deployment: Deployment, recorder: Recorder) -> tuple[str, str]:
    """Make an integration with the rights that it needs; returns its two topics, each on a broker of its own."""
    topic = await recorder.integrate(partitions=PARTITIONS)
    beside = f"{topic}.beside"
    await recorder.integrate_also(beside)
    group_id = deployment.integration("surveys")["group_id"]
    await cluster.add_second(group_id)
    await cluster.make_on_second(beside)
    await cluster.grant(Resource.GROUP, group_id, Operation.READ)
    for name in (topic, beside):
        await cluster.grant(Resource.TOPIC, name, Operation.READ, Operation.DESCRIBE)
        await cluster.grant(Resource.TOPIC, f"{name}.dlq", Operation.WRITE, Operation.DESCRIBE)
    return topic, beside


async def soak_in(directory: Path, *, seconds: float, seed: int) -> list[str]:
    """Run one soak, its files in a directory; returns the violations."""
    received = directory / "received.jsonl"
    sandbox = Sandbox(record_path=received, faults=USUAL)
    await sandbox.start()
    async with Cluster(directory) as cluster, contextlib.AsyncExitStack() as stack:
        deployment = Deployment(
            directory=directory,
            bootstrap_servers=cluster.bootstrap_servers,
            sandbox=sandbox,
            consume_all=functools.partial(read_around, cluster.bootstrap_servers),
        )
        deployment.document["kafka"] |= cluster.section | {"session_timeout_ms": int(SESSION_SECONDS * 1_000)}
        deployment.destination["retry"] = {"quick": [0.2, 0.5], "schedule": [1] * 60}
        deployment.destination["batch"] = {"max_calls": 50, "linger": 0.02}
        recorder = Recorder(deployment, cluster.bootstrap_servers, received)
        chance = random.Random(seed)
        cluster_faults = ClusterFaults(deployment, cluster, chance)
        way_back = await stack.enter_async_context(SoakedWayBack(deployment, cluster, seed))
        soak = MixedFaults(deployment, cluster_faults, way_back, chance, functools.partial(print, flush=True))
        try:
            await soak.run(*await integrate(cluster, deployment, recorder), seconds)
            history = await recorder.history()
        finally:
            await deployment.close()
            await sandbox.stop()
    report(soak, history)
    print(way_back.report())
    lines = read_logs(directory)
    report_logged(lines)
    ends = oracle.faults(history.evidence, max_times=MAX_TIMES, settled_once=False)
    return [
        *dict.fromkeys([*soak.violations, *cluster_faults.violations]),
        *unexplained(lines, soak.rounds),
        *unreadable_in(history, cluster_faults.unreadable),
        *verify_history(history),
        *sent_long_after_commit(history, MAX_HINDSIGHT_SECONDS),
        *ends,
        *way_back.violations(),
    ]


def main() -> int:
    """Run it, and say whether every promise was kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes", flush=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that brokers go away is what we are here for
    directory = Path(tempfile.mkdtemp(prefix="streamer-soak-"))
    violations = asyncio.run(soak_in(directory, seconds=arguments.minutes * 60, seed=arguments.seed))
    if violations:
        print(*violations, f"VIOLATED, with seed {arguments.seed}; the logs are in {directory}", sep="\n")
        return 1
    shutil.rmtree(directory)
    print("every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
