"""Closing what a client has open, when closing itself goes wrong."""

import asyncio
import contextlib

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.kafka.closing import close


async def test_a_cancellation_that_the_client_swallows_reaches_its_caller() -> None:
    """Otherwise the task continues, and a caller that waits for its end waits without end."""
    is_waiting = asyncio.Event()

    async def stop() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # so the client waits for tasks that it has cancelled
            is_waiting.set()
            await asyncio.Event().wait()

    closing_task = asyncio.create_task(close(stop))
    async with asyncio.timeout(1):
        await is_waiting.wait()
        closing_task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing_task


async def test_clean_up_after_a_cancellation_is_not_cancelled_again() -> None:
    stopped = asyncio.Event()
    is_waiting = asyncio.Event()

    async def stop() -> None:
        stopped.set()

    async def work() -> None:
        try:
            is_waiting.set()
            await asyncio.Event().wait()
        finally:
            await close(stop)
            await close(stop)

    working = asyncio.create_task(work())
    async with asyncio.timeout(1):
        await is_waiting.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert stopped.is_set()


async def test_a_client_that_does_not_come_to_an_end_is_left_behind() -> None:
    async with asyncio.timeout(1):
        await close(asyncio.Event().wait, timeout_seconds=0.01)


async def test_an_error_while_closing_is_ignored() -> None:
    async def stop() -> None:
        raise KafkaConnectionError

    await close(stop)
