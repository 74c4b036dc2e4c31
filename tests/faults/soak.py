"""Faults of all kinds for minutes on end, and the verdict of both oracles at the end: ``make soak``.

Two instances of the service deliver mixed events from a real broker to the sandbox (`mixed_faults.py`). Faults are
drawn with a seed, which is printed: the same seed draws the same faults, though not at the same moments.
"""
# ruff: noqa: T201 - a script that prints

import argparse
import asyncio
import functools
import logging
import random
import secrets
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from streamer.broker import Broker
from streamer.sandbox.server import Sandbox
from tests.conftest import read_topic
from tests.faults.mixed_faults import PARTITIONS, SESSION_SECONDS, USUAL, MixedFaults
from tests.faults.oracle import History, verify_history
from tests.faults.recorded import Recorder
from tests.service import oracle
from tests.service.harness import Deployment

MAX_TIMES: Final = 1_000
"""How often one call may be sent: faults without end cost repeats without end."""


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


async def soak_in(directory: Path, *, seconds: float, seed: int) -> list[str]:
    """Run one soak, its files in a directory; returns the violations."""
    received = directory / "received.jsonl"
    sandbox = Sandbox(record_path=received, faults=USUAL)
    await sandbox.start()
    async with Broker(directory / "kafka") as broker:
        deployment = Deployment(
            directory=directory,
            bootstrap_servers=broker.bootstrap_servers,
            sandbox=sandbox,
            consume_all=functools.partial(read_topic, broker.bootstrap_servers),
        )
        deployment.document["kafka"]["session_timeout_ms"] = int(SESSION_SECONDS * 1_000)
        deployment.destination["retry"] = {"quick": [0.2, 0.5], "schedule": [1] * 60}
        deployment.destination["batch"] = {"max_calls": 50, "linger": 0.02}
        recorder = Recorder(deployment, broker.bootstrap_servers, received)
        soak = MixedFaults(deployment, broker, random.Random(seed), functools.partial(print, flush=True))
        try:
            await soak.run(await recorder.integrate(partitions=PARTITIONS), seconds)
            history = await recorder.history()
        finally:
            await deployment.close()
            await sandbox.stop()
    report(soak, history)
    ends = oracle.faults(history.evidence, max_times=MAX_TIMES, settled_once=False)
    return [*dict.fromkeys(soak.violations), *verify_history(history), *ends]


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
