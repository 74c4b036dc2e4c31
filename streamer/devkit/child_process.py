"""Programs that run as long as the process that started them: the local Kafka, and the service of the demo.

On Linux the kernel kills such a program when the thread that started it ends for any reason, so start it from a thread
that lives long enough. On other systems an exit handler does it, which does not run after SIGKILL.
"""

import asyncio
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

# Asks the kernel to kill this process when its parent ends (prctl PR_SET_PDEATHSIG), then becomes the program by exec,
# which keeps that. If the parent ended before, we have another parent by now, and do not start.
DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def spawn(
    owner: object, command: Sequence[str], *, output: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that ends with this process.

    Args:
        owner: when this object is gone, the program is killed.
        command: the path of the program, and its arguments.
        output: file to which everything that it prints is appended.
        environment: its environment variables; None: ours.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
    with output.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own programs and our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C must not reach it: whoever started it ends it, in the right order
        )
    weakref.finalize(owner, process.kill)
    return process


async def run_to_end(owner: object, command: Sequence[str], *, output: Path) -> int:
    """Run a program, and return its exit code. If the caller is cancelled, the program is killed at once."""
    process = spawn(owner, command, output=output)
    try:
        return await asyncio.to_thread(process.wait)
    except asyncio.CancelledError:
        process.kill()
        process.wait()
        raise


async def end(process: subprocess.Popen[bytes], *, timeout_seconds: float) -> None:
    """Ask a program to end (SIGTERM); kill it if that takes longer, or if the caller is cancelled meanwhile."""
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, timeout_seconds)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def in_thread(work: Callable[[], T]) -> T:
    """Do blocking work in a thread that nobody waits for once the caller is cancelled.

    `asyncio.to_thread` does not fit work that can take minutes: Python waits for its threads before it exits.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(work_done: Future[T]) -> None:
        if done.done():
            return  # the caller was cancelled
        error = work_done.exception()
        if error is None:
            done.set_result(work_done.result())
        else:
            done.set_exception(error)

    def run() -> None:
        work_done: Future[T] = Future()
        try:
            work_done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            work_done.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed: the caller has gone
            loop.call_soon_threadsafe(settle, work_done)

    threading.Thread(target=run, daemon=True, name="blocking work").start()
    return await done
