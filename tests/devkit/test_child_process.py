"""Programs and threads of the demo that must not outlive their caller."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from streamer.devkit import child_process

SLEEPS = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


async def test_work_in_a_thread_gives_its_result_or_its_error() -> None:
    assert await child_process.in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await child_process.in_thread(lambda: 1 // 0)


async def test_nobody_waits_for_a_thread_whose_caller_was_cancelled() -> None:
    """A download of minutes must not keep an interrupted demo from ending."""
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        ended.wait()

    caller = asyncio.create_task(child_process.in_thread(work))
    assert await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    ended.set()


async def test_a_program_that_is_run_to_its_end_is_killed_with_its_caller(tmp_path: Path) -> None:
    output = tmp_path / "output"
    caller = asyncio.create_task(child_process.run_to_end(Owner(), SLEEPS, output=output))
    async with asyncio.timeout(30):
        while not output.exists() or b"up" not in output.read_bytes():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_program_that_does_not_end_when_asked_is_killed(tmp_path: Path) -> None:
    ignores = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    output, owner = tmp_path / "output", Owner()
    process = child_process.spawn(owner, [sys.executable, "-c", ignores], output=output)
    async with asyncio.timeout(30):
        while b"up" not in output.read_bytes():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
    await child_process.end(process, timeout_seconds=0.05)
    assert process.returncode == -9


class Owner:
    """Something that a program belongs to."""
