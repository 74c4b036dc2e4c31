"""Measures rows one after the other, on one broker."""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.process import BenchError
from bench.results import Row, Run
from bench.rows import Group
from bench.stand import BROKER_CONFIG, Outcome, Stand
from streamer.core.errors import UnavailableError
from streamer.devkit.broker import Broker


async def measure(groups: Sequence[Group], runs: int, tell: Callable[[str], None]) -> tuple[list[Row], list[str]]:
    """Measure all rows; those that cannot be measured cost only themselves.

    Returns:
        The rows, and what went wrong with those that are missing.

    Raises:
        UnavailableError: the broker cannot be had.
    """
    logging.getLogger("aiokafka").setLevel(logging.ERROR)  # a topic that is new has no leader yet, and it says so
    _end_processes_on_signals()
    rows: list[Row] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as name:
        directory = Path(name)
        async with Broker(directory / "kafka", config=BROKER_CONFIG) as broker:
            stand = Stand(broker, directory, runs, tell)
            for group in groups:
                try:
                    rows += await _measure_group(stand, group)
                except (BenchError, UnavailableError, TimeoutError) as error:
                    names = " and ".join(task.name for task in group)
                    faults.append(f"{names} could not be measured: {str(error) or 'it took too long'}")
                    tell(faults[-1])
    return rows, faults


async def _measure_group(stand: Stand, group: Group) -> list[Row]:
    """Measure rows in turn, until each has its runs."""
    runs: dict[str, list[Run]] = {task.name: [] for task in group}
    last: dict[str, Outcome] = {}
    while any(len(done) < stand.runs for done in runs.values()):
        for task in group:
            stand.tell(f"{task.name}: {task.title}")
            last[task.name] = await task.measure(stand)
            runs[task.name].extend(last[task.name].runs)
    return [
        Row(name=task.name, kind=task.kind, title=task.title, runs=runs[task.name], course=last[task.name].course)
        for task in group
    ]


def _end_processes_on_signals() -> None:
    """Make other ends be like Ctrl-C, at which every process is ended in good order."""
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
