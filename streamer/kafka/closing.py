"""Closes Kafka clients within a time limit, without losing a cancellation."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streamer import cancelling

CLOSE_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait: the client may be in a join, in a callback, or waiting for what it sent."""


async def close(stop: Callable[[], Awaitable[object]], *, timeout_seconds: float = CLOSE_TIMEOUT_SECONDS) -> None:
    """Call ``stop`` of a consumer, a producer or an admin client. If it raises an error, the client counts as closed.

    While the client waits for tasks that it cancelled, it swallows a cancellation of its caller. A task that continues
    after that can keep the whole service from ending, so the cancellation is raised here.
    """
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    before = task.cancelling()
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(timeout_seconds):
            await stop()
    if task.cancelling() > before:
        raise asyncio.CancelledError


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop the client, the whole of it.

    While brokers are away, a fetch that it cancels ends the client's own ``stop`` with a cancellation that nobody asked
    for. Let through, it would end the integration without a word, and leave the client's connections open.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        if cancelling.is_asked_for():
            raise
        await consumer._client.close()  # noqa: SLF001 - what was left out
