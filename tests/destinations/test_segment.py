"""One attempt to deliver a batch, on the wire: an answer counts when it is whole, and every fault has its name."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
import trustme

from streamer.core.delivery.answers import AnswerKind, NetworkFault
from streamer.destinations.http import MAX_ANSWER_BYTES
from streamer.destinations.segment import SegmentClient
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import DestinationSettings

CALL = orjson.dumps({"type": "track", "event": "Response Submitted", "userId": "user_1", "messageId": "evt_1"})


@contextlib.asynccontextmanager
async def client_of(url: str, *, timeout_seconds: float = 5) -> AsyncIterator[SegmentClient]:
    settings = {"write_key": "streamer_test_write_key_000000001", "endpoint": url, "timeout": timeout_seconds}
    client = SegmentClient(DestinationSettings.model_validate(settings))
    yield client
    await client.close()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[SegmentClient]:
    async with client_of(sandbox.url) as client:
        yield client


async def error_at(url: str, *, timeout_seconds: float = 5) -> str:
    """The name of what goes wrong there."""
    async with client_of(url, timeout_seconds=timeout_seconds) as client:
        return (await client.send([CALL], resend_count=0)).answer.error


@contextlib.asynccontextmanager
async def server(
    *parts: bytes, heard: bytes = b"]}", pause_seconds: float = 0.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Says these bytes once it has heard the end of a batch, with a pause before each of them; yields ``host:port``."""
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await reader.readuntil(heard)
            for part in parts:
                await asyncio.sleep(pause_seconds)
                writer.write(part)
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield "{}:{}".format(*listening.sockets[0].getsockname())
        for task in filter(None, answering):
            task.cancel()
        await asyncio.gather(*filter(None, answering))


async def test_a_2xx_that_breaks_off_is_no_success(sandbox: Sandbox, client: SegmentClient) -> None:
    """However much of it has arrived, and even with its head in one piece."""
    sandbox.faults.set(Fault(action=Action(cut_body=True)))

    exchange = await client.send([CALL], resend_count=0)

    assert exchange.answer.kind is AnswerKind.UNHAPPY
    assert exchange.answer.error == "cut_off"


@pytest.mark.parametrize("size", [0, 1, MAX_ANSWER_BYTES, 10 * MAX_ANSWER_BYTES])
async def test_a_whole_2xx_is_a_success_whatever_its_size(sandbox: Sandbox, client: SegmentClient, size: int) -> None:
    sandbox.faults.set(Fault(action=Action(status=200, body="x" * size)))

    exchange = await client.send([CALL], resend_count=0)

    assert exchange.answer.kind is AnswerKind.ACCEPTED


async def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await error_at(f"http://127.0.0.1:{port}") == NetworkFault.REFUSED


@pytest.mark.parametrize(
    ("code", "fault"),
    [(socket.EAI_NONAME, NetworkFault.DNS_UNKNOWN_HOST), (socket.EAI_AGAIN, NetworkFault.DNS_TEMPORARY)],
)
async def test_a_host_that_is_not_found(monkeypatch: pytest.MonkeyPatch, code: int, fault: NetworkFault) -> None:
    """A name that nobody knows was misspelt; name servers that do not answer will be back."""

    async def find_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "not found")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", find_nothing)
    assert await error_at("https://api.segment.invalid") == fault


async def test_a_certificate_that_nobody_vouches_for() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with server(tls=context) as place:
        assert await error_at(f"https://{place}") == NetworkFault.TLS_VERIFICATION


async def test_a_server_that_speaks_no_tls() -> None:
    hello = b"\x16"
    async with server(b"HTTP/1.1 400 Bad Request\r\n\r\n", heard=hello) as place:
        assert await error_at(f"https://{place}") == NetworkFault.TLS_RESET


@pytest.mark.parametrize("said", [(), (b"HTTP/1.1 200",)], ids=["nothing", "half a head"])
async def test_a_server_that_closes_before_its_answer_is_whole(said: tuple[bytes, ...]) -> None:
    async with server(*said) as place:
        assert await error_at(f"http://{place}") == NetworkFault.RESET


async def test_a_connection_that_ends_before_the_body_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that aiohttp raises then has no errno. What happened stands in its cause only."""

    async def fail(*_: object, **__: object) -> None:
        raise aiohttp.ClientOSError(None, "Can not write request body") from aiohttp.ClientConnectionResetError()

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
    assert await error_at("http://127.0.0.1") == NetworkFault.RESET


async def test_what_is_no_http_is_no_success() -> None:
    async with server(b"220 mail.example.com ESMTP\r\n") as place:
        assert await error_at(f"http://{place}") == NetworkFault.OTHER


async def test_an_answer_that_drips_ends_with_the_time_for_all_of_it() -> None:
    """Each byte arrives in time, and still there is one deadline for the whole attempt."""
    started = time.monotonic()
    letters = (bytes([letter]) for letter in b"HTTP/1.1 200 OK\r\n\r\n")
    async with server(*letters, pause_seconds=0.1) as place:
        assert await error_at(f"http://{place}", timeout_seconds=0.5) == NetworkFault.TIMEOUT
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("status", [204, 299])
async def test_any_2xx_is_a_success_with_or_without_a_body(
    sandbox: Sandbox, client: SegmentClient, status: int
) -> None:
    sandbox.faults.set(Fault(action=Action(status=status)))
    assert (await client.send([CALL], resend_count=0)).answer.kind is AnswerKind.ACCEPTED


@pytest.mark.parametrize("content_type", ["text/html", "Text/HTML; charset=utf-8"])
async def test_a_2xx_that_is_a_web_page_is_a_wrong_address(
    sandbox: Sandbox, client: SegmentClient, content_type: str
) -> None:
    """The login page of a network, or another host, answers everything with 200 and throws it away."""
    page = Action(status=200, headers={"Content-Type": content_type}, body="<html>Welcome</html>")
    sandbox.faults.set(Fault(action=page))
    answer = (await client.send([CALL], resend_count=0)).answer
    assert (answer.kind, answer.error) == (AnswerKind.SET_UP, "web_page")


async def test_an_error_page_is_judged_by_its_status(sandbox: Sandbox, client: SegmentClient) -> None:
    sandbox.faults.set(
        Fault(action=Action(status=503, headers={"Content-Type": "text/html"}, body="<html>Sorry</html>"))
    )
    answer = (await client.send([CALL], resend_count=0)).answer
    assert (answer.kind, answer.error) == (AnswerKind.UNHAPPY, "503")


async def test_a_redirect_is_not_followed(sandbox: Sandbox, client: SegmentClient) -> None:
    """It would take the write key to wherever it leads."""
    sandbox.faults.set(Fault(action=Action(status=307, headers={"Location": sandbox.url})))
    assert (await client.send([CALL], resend_count=0)).answer.kind is AnswerKind.SET_UP
    assert sum(sandbox.record.requests_by_answer.values()) == 1


async def test_what_the_server_says_ahead_of_its_answer_is_none() -> None:
    async with server(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as place:
        assert await error_at(f"http://{place}") == ""
