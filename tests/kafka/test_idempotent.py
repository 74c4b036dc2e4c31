"""The producer of webhook calls ends without a trace: what was waiting in the client is nobody's bug."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import TopicPartition

from streamer.kafka.idempotent import IdempotentProducer
from streamer.settings import KafkaSettings
from streamer.timings import Timings


async def test_the_client_finds_nothing_to_send_once_it_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender runs until its connections are closed, and fails with a bug of its own on what has failed already."""
    producer = IdempotentProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), Timings(publish=0.1))
    accumulator = producer._client._message_accumulator
    record = await accumulator.add_message(TopicPartition("calls", 0), None, b"{}", timeout=1)
    record.add_done_callback(lambda future: future.exception())
    await producer.end()

    monkeypatch.setattr(accumulator._cluster, "leader_for_partition", lambda _: 1)
    accumulator._txn_manager.set_pid_and_epoch(1, 0)
    assert accumulator.drain_by_nodes(()) == ({}, False)


@pytest.mark.parametrize("is_tried_again", [False, True])
async def test_records_that_were_not_written_leave_no_exception_behind(
    monkeypatch: pytest.MonkeyPatch, *, is_tried_again: bool
) -> None:
    """The client has futures of its own beside those that its caller awaits. asyncio would log each as a bug.

    A batch that waits to be sent again is not where the client looks for it when it fails.
    """
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    producer = IdempotentProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), Timings(publish=0.1))
    accumulator = producer._client._message_accumulator
    record = await accumulator.add_message(TopicPartition("calls", 0), None, b"{}", timeout=1)
    record.add_done_callback(lambda future: future.exception())
    if is_tried_again:
        monkeypatch.setattr(accumulator._cluster, "leader_for_partition", lambda _: 1)
        accumulator._txn_manager.set_pid_and_epoch(1, 0)
        batches, _ = accumulator.drain_by_nodes(())
        accumulator.reenqueue(*batches[1].values())
        del batches

    await producer.end()
    del producer, accumulator, record
    await asyncio.sleep(0)
    gc.collect()

    assert complaints == []


async def test_a_sender_that_fails_while_its_connections_are_closed_is_nobodys_bug() -> None:
    """It writes to a connection that is closed. The client would then fail what nobody waits for any more."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    await end_with_a_failing_sender()
    await asyncio.sleep(0)
    gc.collect()

    assert complaints == []


async def end_with_a_failing_sender() -> None:
    producer = IdempotentProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), Timings(publish=0.1))
    client, is_closing = producer._client, asyncio.Event()

    async def fail() -> None:
        await is_closing.wait()
        raise RuntimeError("the handler is closed")

    async def close() -> None:
        is_closing.set()
        await asyncio.wait({sending})

    sending = client._sender._sender_task = asyncio.create_task(fail())
    sending.add_done_callback(client._sender._fail_all)
    client.client.close = close
    await producer.end()
