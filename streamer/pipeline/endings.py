"""A cancellation that nobody asked for is a failure like any other, and so is the end of a part that should not end.

Libraries cancel their own tasks, and sometimes let that through to whoever waits. A task group takes a task that ends
like this for one that is finished. Without this module, a reader could end without a line while its pipeline goes on.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

from streamer import cancelling
from streamer.core.errors import StreamerError


class EndedError(StreamerError):
    """A part of a pipeline has ended although nobody asked it to."""


async def unless_cancelled(work: Coroutine[object, object, None]) -> None:
    """Do ``work``; only a cancellation of the present task may cancel it.

    Raises:
        EndedError: it was cancelled by somebody else.
    """
    try:
        await work
    except asyncio.CancelledError:
        if cancelling.is_asked_for():
            raise
        raise EndedError(f"{_name()}: cancelled, and nobody asked for it") from None


async def until_cancelled(part: Coroutine[object, object, None]) -> None:
    """Run a part that runs until it is cancelled.

    Raises:
        EndedError: it has ended by itself, or was cancelled by somebody else.
    """
    await unless_cancelled(part)
    raise EndedError(f"{_name()}: ended by itself")


def _name() -> str:
    task = asyncio.current_task()
    return task.get_name() if task is not None else "a part"


async def unless_stopped(stop: asyncio.Event, work: Coroutine[object, object, None]) -> bool:
    """Do ``work`` unless ``stop`` is set first; whether it was done."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for task in (working, stopping):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await working
