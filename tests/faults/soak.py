"""Faults of all kinds for minutes on end, and the verdict of both oracles at the end: ``make soak``.

Two instances of the service deliver mixed events from a real broker to the sandbox (`mixed_faults.py`). Faults are
drawn with a seed, which is printed: the same seed draws the same faults, though not at the same moments. The logs of
the instances are read as well, for what no fault of this kind may bring about.
"""
# ruff: noqa: T201 - a script that prints

import argparse
import asyncio
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
from pathlib import Path
from typing import Final

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.server import Sandbox
from streamer.logs import FOLD_SECONDS, Event
from tests.conftest import read_topic
from tests.faults.mixed_faults import PARTITIONS, SESSION_SECONDS, USUAL, MixedFaults
from tests.faults.oracle import History, sent_long_after_commit, verify_history
from tests.faults.recorded import Recorder
from tests.service import oracle
from tests.service.harness import Deployment

MAX_TIMES: Final = 1_000
"""How often one call may be sent: faults without end cost repeats without end."""

MAX_HINDSIGHT_SECONDS: Final = 5 * SESSION_SECONDS
"""How long after its commit a call may be sent again: by an instance that was frozen for two sessions with the call in
hand, and then for another one did not hear that it was evicted."""

NEVER: Final = {
    event.event_name
    for event in (
        Event.INTEGRATION_GUARDED,
        Event.LINES_DROPPED,
        Event.OBSERVER_FAILED,
        Event.OFFSETS_RESET,
        Event.PARTITION_LEFT_OUT,
        Event.PIPELINE_RESTARTED,
        Event.RECEIPTS_SET_ASIDE,
        Event.RECEIPTS_UNUSABLE,
        Event.RECORDS_LOST,
        Event.STATE_UNWRITABLE,
        Event.TASK_FAILED,
        Event.TASK_STALLED,
    )
}
"""Events that may not be in a log: all goes on whatever happens to instances, broker and destination, in the parts that
there are and from where they were. Nothing is deleted or made anew here, and no disk is full."""


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


def count_logged(directory: Path) -> Counter[tuple[str, str]]:
    """How often the instances logged each event, by level and name. A line that a kill cut off is left out."""
    lines = [line for log in sorted(directory.glob("out-*")) for line in log.read_bytes().split(b"\n")[:-1]]
    return Counter((line["level"], line["event_name"]) for line in map(json.loads, lines))


def told_in_logs(logged: Counter[tuple[str, str]]) -> list[str]:
    """What the logs give away; prints how often each kind of trouble was told."""
    print(f"lines of the instances, those of one kind and {FOLD_SECONDS:.0f} seconds being one:")
    for (level, name), count in sorted(logged.items()):
        if level in {"warning", "error"}:
            print(f"  {level:8} {name:24} {count:6} times")
    return [f"{name} was logged {count} times" for (_, name), count in logged.items() if name in NEVER]


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
    return [
        *dict.fromkeys(soak.violations),
        *told_in_logs(count_logged(directory)),
        *verify_history(history),
        *sent_long_after_commit(history, MAX_HINDSIGHT_SECONDS),
        *ends,
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
