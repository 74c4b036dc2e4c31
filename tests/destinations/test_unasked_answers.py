"""An answer counts only for the request that it answers: what a server says unasked delivers nothing."""

import asyncio
import contextlib
import socket as socketlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import orjson
import pytest
import trustme
import uvloop

from streamer.core.delivery.answers import AnswerKind, NetworkFault
from streamer.destinations import Exchange
from streamer.destinations.segment import SegmentClient
from streamer.settings import DestinationSettings

WAIT_SECONDS = 10
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
OK_WITH_BODY = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'
ANSWERS = {
    "no body": OK,
    "a body": OK_WITH_BODY,
    "a body in chunks": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{"success":true}\r\n0\r\n\r\n',
}
UNASKED = {
    "a 200": OK,
    "two of them": OK + OK,
    "a 200 with a body": OK_WITH_BODY,
    "a 200 whose body is missing": b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n",
    "half of a 200": OK[:20],
    "a blank line": b"\r\n",
    "a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a 408": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"see you\r\n",
}


def transport_of(writer: asyncio.StreamWriter) -> asyncio.Transport:
    return cast("asyncio.Transport", writer.transport)


class Server:
    """Answers each request with 200; it can say something unasked, and then hears nothing more on that connection."""

    def __init__(self, answer: bytes = OK, *, greeting: bytes = b"", is_hasty: bool = False) -> None:
        """Answer as told; ``greeting``: said first; ``is_hasty``: answers when it has read the start of a request."""
        self.heard: list[str] = []
        """The messageIds of the requests that were read to their end."""
        self.connections: list[asyncio.StreamWriter] = []
        self._answer = answer
        self._greeting = greeting
        self._is_hasty = is_hasty

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Yields ``host:port``."""
        socket = socketlib.create_server(("127.0.0.1", 0))
        socket.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_RCVBUF, 1 << 12)
        server = await asyncio.start_server(self._serve, sock=socket, ssl=tls, limit=1 << 12)
        try:
            yield "{}:{}".format(*server.sockets[0].getsockname())
        finally:
            server.close()
            for connection in self.connections:
                if not connection.transport.is_closing():  # on Python 3.11.2 that would be an error over TLS
                    connection.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        if self._greeting:
            writer.write(self._greeting)
            return
        if self._is_hasty:
            await reader.read(1)
            transport_of(writer).pause_reading()
            writer.write(self._answer)
            return
        with contextlib.suppress(OSError, EOFError):
            while True:
                _, _, body = (await reader.readuntil(b"]}")).partition(b"\r\n\r\n")
                self.heard += [call["messageId"] for call in orjson.loads(body)["batch"]]
                writer.write(self._answer)
        writer.close()

    def say(self, text: bytes) -> None:
        """Say this on the newest connection, and hear nothing there from now on."""
        transport_of(self.connections[-1]).pause_reading()
        self.connections[-1].write(text)


@contextlib.asynccontextmanager
async def client_of(url: str, **more: object) -> AsyncIterator[SegmentClient]:
    settings = {"write_key": "streamer_test_write_key_000000001", "endpoint": url, "timeout": 5, "gzip": False}
    client = SegmentClient(DestinationSettings.model_validate(settings | more))
    try:
        yield client
    finally:
        await client.close()


def call(message_id: str, text: str = "") -> bytes:
    return orjson.dumps({"type": "track", "event": "Seen", "userId": "u", "messageId": message_id, "text": text})


async def send(client: SegmentClient, message_id: str) -> Exchange:
    async with asyncio.timeout(WAIT_SECONDS):
        return await client.send([call(message_id)], resend_count=0)


async def until_closed_by_client(server: Server) -> None:
    """Until the client has closed its end of the newest connection: the server's writes to it fail."""
    async with asyncio.timeout(WAIT_SECONDS):
        connection = server.connections[-1]
        transport_of(connection).resume_reading()
        while not connection.transport.is_closing():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_one_connection_serves_one_request_after_another(answer: bytes) -> None:
    """A check that finds something on each connection would pass all tests below."""
    server = Server(answer)
    async with server.listening() as place, client_of(f"http://{place}") as client:
        for message_id in "abc":
            assert (await send(client, message_id)).answer.kind is AnswerKind.ACCEPTED
    assert server.heard == ["a", "b", "c"]
    assert len(server.connections) == 1


@pytest.mark.parametrize("text", UNASKED.values(), ids=UNASKED)
async def test_what_waits_unread_on_an_idle_connection_answers_nothing(text: bytes) -> None:
    """It has arrived, but the event loop had no turn to read it before the next request."""
    server = Server()
    async with server.listening() as place, client_of(f"http://{place}") as client:
        await send(client, "a")
        server.say(text)
        answer = (await send(client, "b")).answer

    assert answer.kind is AnswerKind.ACCEPTED
    assert server.heard == ["a", "b"], "the batch goes again on another connection"
    assert len(server.connections) == 2


@pytest.mark.parametrize("text", [OK, UNASKED["half of a 200"], UNASKED["a 408"]])
async def test_over_tls_too_what_is_said_unasked_answers_nothing(tmp_path: Path, text: bytes) -> None:
    """There, TLS itself sends something between answers, which is no reason to close a connection."""
    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server()
    async with (
        server.listening(context) as place,
        client_of(f"https://{place}", ca_file=tmp_path / "ca.pem") as client,
    ):
        for message_id in "abc":
            await send(client, message_id)
        assert len(server.connections) == 1
        server.say(text)
        await until_closed_by_client(server)
        assert (await send(client, "d")).answer.kind is AnswerKind.ACCEPTED

    assert server.heard == ["a", "b", "c", "d"]
    assert len(server.connections) == 2


@pytest.mark.parametrize("text", UNASKED.values(), ids=UNASKED)
async def test_an_idle_connection_is_closed_when_something_arrives(text: bytes) -> None:
    server = Server()
    async with server.listening() as place, client_of(f"http://{place}") as client:
        await send(client, "a")
        server.say(text)
        await until_closed_by_client(server)
        answer = (await send(client, "b")).answer

    assert answer.kind is AnswerKind.ACCEPTED
    assert server.heard == ["a", "b"]
    assert len(server.connections) == 2


@pytest.mark.parametrize("text", [OK, OK + OK, UNASKED["a 408"], UNASKED["no HTTP"]])
@pytest.mark.parametrize("first", [OK, UNASKED["a 200 with a body"]], ids=["without a body", "with a body"])
async def test_what_comes_together_with_an_answer_answers_nothing_more(first: bytes, text: bytes) -> None:
    """Both are in one packet, so the client reads them at once."""
    server = Server(answer=first + text)
    async with server.listening() as place, client_of(f"http://{place}") as client:
        for message_id in "abc":
            await send(client, message_id)

    assert len(server.connections) == 3
    assert server.heard == ["a", "b", "c"]


async def test_a_server_that_closes_idle_connections_costs_no_attempt() -> None:
    """Its end of the connection has arrived and is not read yet; a request written there would be lost."""
    server = Server()
    async with server.listening() as place, client_of(f"http://{place}") as client:
        await send(client, "a")
        server.connections[-1].write_eof()
        answer = (await send(client, "b")).answer

    assert answer.kind is AnswerKind.ACCEPTED
    assert server.heard == ["a", "b"]


@pytest.mark.parametrize("text", [OK, UNASKED["no HTTP"]], ids=["a 200", "no HTTP"])
async def test_many_idle_connections_that_speak_cost_no_attempt(text: bytes) -> None:
    server = Server()
    async with server.listening() as place, client_of(f"http://{place}") as client:
        await asyncio.gather(*(send(client, f"a{n}") for n in range(20)))
        assert len(server.connections) == 20
        for connection in server.connections:
            connection.write(text)
        assert (await send(client, "b")).answer.kind is AnswerKind.ACCEPTED

    assert server.heard.count("b") == 1
    assert len(server.connections) == 21


@pytest.mark.parametrize("greeting", [OK, b"220 mail.example.com ESMTP\r\n"])
async def test_a_server_that_speaks_first_delivers_nothing(greeting: bytes) -> None:
    server = Server(greeting=greeting)
    async with server.listening() as place, client_of(f"http://{place}") as client:
        answers = [(await send(client, "a")).answer for _ in range(3)]

    assert {answer.error for answer in answers} == {NetworkFault.UNASKED_ANSWER}


LARGE_BATCH = [call(f"evt_{n}", "x" * 30_000) for n in range(16)]


async def test_a_2xx_before_the_whole_request_is_received_delivers_nothing() -> None:
    server = Server(is_hasty=True)
    async with server.listening() as place, client_of(f"http://{place}") as client, asyncio.timeout(WAIT_SECONDS):
        answer = (await client.send(LARGE_BATCH, resend_count=0)).answer
    assert (answer.kind, answer.error) == (AnswerKind.UNHAPPY, NetworkFault.UNASKED_ANSWER)


async def test_a_refusal_may_come_before_the_whole_request_is_received() -> None:
    """A server need not read what it will not take."""
    server = Server(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", is_hasty=True)
    async with server.listening() as place, client_of(f"http://{place}") as client, asyncio.timeout(WAIT_SECONDS):
        answer = (await client.send(LARGE_BATCH, resend_count=0)).answer
    assert answer.kind is AnswerKind.TOO_LARGE


@pytest.mark.parametrize("text", UNASKED.values(), ids=UNASKED)
@pytest.mark.parametrize("is_read", [False, True])
def test_the_event_loop_of_the_service_changes_nothing(text: bytes, is_read: bool) -> None:
    """The service runs on uvloop, whose transports are classes of its own."""

    async def try_it() -> Server:
        server = Server()
        async with server.listening() as place, client_of(f"http://{place}") as client:
            for message_id in "ab":
                assert (await send(client, message_id)).answer.kind is AnswerKind.ACCEPTED
            assert len(server.connections) == 1
            server.say(text)
            if is_read:
                await until_closed_by_client(server)
            assert (await send(client, "c")).answer.kind is AnswerKind.ACCEPTED
        return server

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = runner.run(try_it())
    assert server.heard == ["a", "b", "c"]
    assert len(server.connections) == 2
