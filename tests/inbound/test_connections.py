"""Connections whose peers are slow, greedy or speak no HTTP: they end, and others are answered meanwhile."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog
from aiohttp.web_protocol import RequestHandler

from streamer.inbound import connections
from tests.inbound.conftest import TIMINGS, Webhooks, listening, raw_request, request_bytes, sign
from tests.inbound.test_listener import CALL, batch, call
from tests.service.harness import eventually

BEGUN = b"POST /webhooks/segment/production HTTP/1.1\r\nHost: x\r\n"
PATIENT = replace(TIMINGS, publish=30.0, request_complete=30.0)
WAIT_SECONDS = 20


@contextlib.asynccontextmanager
async def connected(webhooks: Webhooks) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", webhooks.listener.port)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"POST /", id="a path"),
        pytest.param(BEGUN, id="headers"),
        pytest.param(BEGUN + b"Content-Length: 10\r\n\r\n{", id="a body"),
        pytest.param(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", id="a chunk"),
    ],
)
async def test_a_request_that_does_not_become_complete_gets_408_and_is_closed(webhooks: Webhooks, begun: bytes) -> None:
    """However often another byte of it comes."""
    async with connected(webhooks) as (reader, writer):
        writer.write(begun)
        answer = b""
        while not reader.at_eof():
            with contextlib.suppress(TimeoutError):
                answer += await asyncio.wait_for(reader.read(1_000), 0.05)
            if not answer:
                writer.write(b"X" if b"\r\n\r\n" not in begun else b"")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"message": "the request was not complete in time"}
    webhook = "production" if b"\r\n\r\n" in begun else "_other"
    assert webhooks.results() == {(webhook, "timeout"): 1}


async def test_a_second_request_on_a_connection_has_its_own_time(webhooks: Webhooks) -> None:
    request = BEGUN + b"Content-Length: %d\r\n" % len(CALL) + signature_line() + b"\r\n" + CALL
    async with connected(webhooks) as (reader, writer):
        for _ in range(3):
            writer.write(request)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
            await reader.readuntil(b"}\n")
            await asyncio.sleep(TIMINGS.request_complete * 0.7)  # together longer than one request may take
        writer.write(BEGUN)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408 ")


def signature_line() -> bytes:
    return b"X-Signature: " + sign(CALL)["X-Signature"].encode() + b"\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00secret-bytes\r\n\r\n", id="TLS"),
        pytest.param(b"GET secret-bytes\r\n\r\n", id="no HTTP"),
        pytest.param(BEGUN + b"X: secret-bytes" + b"x" * 10_000 + b"\r\n\r\n", id="a long header"),
        pytest.param(BEGUN + b"".join(b"X-%d: secret-bytes\r\n" % n for n in range(200)) + b"\r\n", id="many headers"),
        pytest.param(b"POST /" + b"secret-bytes" * 1_000 + b" HTTP/1.1\r\n\r\n", id="a long path"),
        pytest.param(BEGUN + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", id="two lengths"),
    ],
)
async def test_what_is_no_http_is_refused_without_quoting_it(webhooks: Webhooks, sent: bytes) -> None:
    with structlog.testing.capture_logs() as lines:
        answer = await raw_request(webhooks, sent)
    assert answer.partition(b" ")[2].startswith(b"400 ")
    assert b"secret-bytes" not in answer
    assert "secret-bytes" not in repr(lines)
    assert [line for line in lines if line["event"] == "task.failed"] == []
    assert (await webhooks.send(CALL))[0] == 200


async def test_a_body_is_asked_for_if_its_sender_waits_for_that(webhooks: Webhooks) -> None:
    async with connected(webhooks) as (reader, writer):
        writer.write(BEGUN + b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(CALL) + signature_line() + b"\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(CALL)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_an_announced_body_over_the_limit_is_refused_before_it_comes(webhooks: Webhooks) -> None:
    async with connected(webhooks) as (reader, writer):
        writer.write(BEGUN + b"Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 413 ")


async def test_requests_sent_ahead_are_answered_in_order(webhooks: Webhooks) -> None:
    request = BEGUN + b"Content-Length: %d\r\n" % len(CALL) + signature_line() + b"\r\n" + CALL
    async with connected(webhooks) as (reader, writer):
        writer.write(request * 100 + BEGUN.replace(b"POST", b"GET") + b"\r\n")
        for _ in range(100):
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
            await reader.readuntil(b"}\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 405 ")
    assert len(webhooks.records()) == 100


async def test_what_is_sent_ahead_waits_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a request waits for Kafka, its sender cannot fill our memory with the next ones."""
    arrived = 0
    receive = RequestHandler.data_received

    def count(connection: RequestHandler, data: bytes) -> None:
        nonlocal arrived
        arrived += len(data)
        receive(connection, data)

    monkeypatch.setattr(RequestHandler, "data_received", count)
    async with listening(timings=PATIENT) as webhooks:
        confirm = asyncio.Event()
        webhooks.cluster.answer = confirm.wait  # type: ignore[method-assign,assignment]
        request = BEGUN + b"Content-Length: %d\r\n" % len(CALL) + signature_line() + b"\r\n" + CALL
        ahead = (BEGUN + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000) * 30
        async with connected(webhooks) as (reader, writer):
            writer.write(request)
            await eventually(lambda: len(webhooks.publisher.published) == 1)
            writer.write(ahead)
            await asyncio.sleep(0.3)  # nothing announces that nothing more is read
            assert arrived < 600_000, "one read of the socket, or two"
            confirm.set()
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_sender_that_goes_away_leaves_nothing_behind(webhooks: Webhooks) -> None:
    with structlog.testing.capture_logs() as lines:
        async with connected(webhooks) as (_, writer):
            writer.write(BEGUN + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000)
            await eventually(lambda: webhooks.listener.open_bytes == 1_000)
        await eventually(lambda: webhooks.listener.open_bytes == 0)
    assert lines == []
    assert webhooks.results() == {}


async def test_while_there_are_too_many_connections_the_one_that_waits_longest_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 20)
    async with listening(timings=PATIENT) as webhooks:
        assert (await webhooks.send(CALL))[0] == 200  # stays open, and waits since then
        async with contextlib.AsyncExitStack() as stack:
            readers = []
            for _ in range(50):
                reader, writer = await stack.enter_async_context(connected(webhooks))
                writer.write(BEGUN)
                readers.append(reader)
            assert (await webhooks.send(CALL))[0] == 200
            await eventually(lambda: sum(reader.at_eof() for reader in readers) >= 30)
            assert not readers[-1].at_eof()
            assert sum(reader.at_eof() for reader in readers) <= 32


async def test_large_bodies_that_do_not_come_give_way_to_others() -> None:
    """The largest of those that are not complete does: few slow senders do not keep others out."""
    async with listening(limits={"max_open_bytes": 1_000_000}, timings=PATIENT) as webhooks:
        async with contextlib.AsyncExitStack() as stack:
            held = []
            for size in (300_000, 400_000, 290_000):
                reader, writer = await stack.enter_async_context(connected(webhooks))
                writer.write(BEGUN + b"Content-Length: 5000000\r\n\r\n" + b"x" * size)
                held.append((reader, writer))
            await eventually(lambda: webhooks.listener.open_bytes == 990_000)
            body = batch(call(1, padding=100_000), call(2))
            assert await webhooks.send(body) == (200, {"accepted": 2})
            assert webhooks.listener.open_bytes == 590_000
            assert (await held[1][0].readuntil(b"\r\n")).startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5" in await held[1][0].readuntil(b"\r\n\r\n")
        await eventually(lambda: webhooks.listener.open_bytes == 0)
        assert webhooks.results()["production", "busy"] == 1


async def test_requests_that_wait_for_kafka_make_the_next_ones_wait_at_segment() -> None:
    async with listening(limits={"max_open_bytes": 10_000}, timings=PATIENT) as webhooks:
        confirm = asyncio.Event()
        webhooks.cluster.answer = confirm.wait  # type: ignore[method-assign,assignment]
        large = call(1, padding=6_000)
        first = asyncio.create_task(webhooks.send(large))
        await eventually(lambda: len(webhooks.publisher.published) == 1)
        status, _ = await webhooks.send(large)
        assert status == 503, "it does not fit beside the first"
        assert webhooks.headers["Retry-After"] == "5"
        second = asyncio.create_task(webhooks.send(call(2, padding=3_800)))
        await eventually(lambda: len(webhooks.publisher.published) == 2)
        confirm.set()
        assert (await first)[0] == (await second)[0] == 200


async def test_a_fault_of_ours_is_answered_with_500_and_told(webhooks: Webhooks) -> None:
    """Segment sends the calls again; nothing of them is in the log."""
    webhooks.cluster.write_errors.append(RuntimeError("quotes u-1"))
    with structlog.testing.capture_logs() as lines:
        status, document = await webhooks.send(CALL)
    assert (status, list(document)) == (500, ["message"])
    [line] = [line for line in lines if line["event"] == "task.failed"]
    assert line["error_type"] == "RuntimeError"
    assert "u-1" not in repr(lines)
    assert webhooks.listener.open_bytes == 0


async def test_upgrades_are_not_wanted(webhooks: Webhooks) -> None:
    request = request_bytes(CALL, sign(CALL)).replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: h2c")
    async with connected(webhooks) as (reader, writer):
        writer.write(request)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 ")
