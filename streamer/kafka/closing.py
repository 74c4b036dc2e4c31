"""Closing what the Kafka client has open: in bounded time, and without losing a cancellation."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka.errors import KafkaError

CLOSE_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait: the client may sit in a join, in a callback, or over what it has not sent."""


async def close(stop: Callable[[], Awaitable[object]]) -> None:
    """Call ``stop`` of a consumer, a producer or an admin client; whatever it raises, it is closed for us.

    While it waits for the tasks it has cancelled, the client swallows a cancellation that is meant for its caller. A
    task that goes on after that can keep the whole service from ending, so the cancellation is raised here.
    """
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    before = task.cancelling()
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
            await stop()
    if task.cancelling() > before:
        raise asyncio.CancelledError
