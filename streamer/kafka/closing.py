"""Closes Kafka clients within a time limit, without losing a cancellation."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

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


async def drop_producer(client: AIOKafkaProducer, *, timeout_seconds: float) -> None:
    """Close a producer without another attempt to write; its own ``stop`` waits for its batches, for ever.

    What it did not confirm may be written or not. Waits at most twice ``timeout_seconds``.
    """
    accumulator = client._message_accumulator  # noqa: SLF001 - no public way, here and below
    accumulator.reenqueue = lambda _batch: None
    # A batch that waits to be sent again is missing here, and the client fails when it removes it.
    accumulator._pending_batches.update(*accumulator._batches.values())  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    waiting = [batch._drain_waiter for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
    if client._txn_manager is not None:  # noqa: SLF001
        waiting.append(client._txn_manager._transaction_waiter)  # noqa: SLF001
    for future in waiting:
        if future is not None:
            future.add_done_callback(take_exception)
    sending = client._sender._sender_task  # noqa: SLF001
    if sending is not None:
        # It may write to a connection that is closed below; the client would fail what nobody waits for.
        sending.remove_done_callback(client._sender._fail_all)  # noqa: SLF001
        sending.add_done_callback(take_exception)
    accumulator._batches.clear()  # noqa: SLF001 - the client's sender still runs, and fails on batches that have failed
    await close(client.client.close, timeout_seconds=timeout_seconds)
    await close(client.stop, timeout_seconds=timeout_seconds)


def take_exception(future: "asyncio.Future[Any]") -> None:
    """Tell asyncio that somebody has looked, so that it does not log the exception as lost."""
    if not future.cancelled():
        future.exception()


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
