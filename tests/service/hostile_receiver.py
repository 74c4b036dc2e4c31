"""A receiver in Segment's place that answers in any shape, drawn for each request, until it is told to be kind.

It holds what it is sent against Segment's rules, and notes a call as taken only if it gave a whole 2xx that answers the
call's request. What the service takes for delivered beyond that is lost.
"""

import asyncio
import contextlib
import enum
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from streamer.devkit.sandbox.answers import Received, judge, read_request
from streamer.devkit.sandbox.record import SandboxRecord

MAX_HEAD_BYTES: Final = 1 << 16
RESET_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing the socket sends a reset instead of an orderly end."""

MOODS: Final = (0.95, 0.7, 0.7, 0.4, 0.0)
"""Shares of the requests that get a whole 2xx; the first mood lets it be seen that the destination works."""

MOOD_SECONDS: Final = 2.0
"""How long a mood lasts."""

GREETED_SHARE: Final = 0.02
"""Share of the connections on which something is said before a request, and nothing else ever."""

MAX_DELAY_SECONDS: Final = 0.3

COMMON_STATUSES: Final = (400, 401, 403, 404, 408, 413, 413, 422, 429, 429, 500, 500, 502, 503, 504)
WAITS: Final = (
    *(b"0", b"1", b"0.2", b"1.5", b"1, 2", b"-1", b"", b"soon", b"9" * 5_000, b"\xff\xfe", b"1e3", b",,", b"0x10"),
    *(b"Fri, 31 Dec 9999 23:59:59 GMT", b"Sun, 01 Mar 99999999999 12:00:00 GMT", b"Thu, 01 Jan 1970 00:00:00 GMT"),
)
DATES: Final = (b"", b"yesterday", b"Mon, 01 Jan 0100 00:00:00 -0000", b"Fri, 31 Dec 9999 23:59:59 -0500", b"\x00")
HARMLESS: Final = (
    *(b"Set-Cookie: a=b; expires=Never", b"Set-Cookie: =", b"X-Name: \xe9\xff", b"Content-Type: application/json"),
    *(
        b"Content-Type: ",
        b"Content-Type: /;;charset",
        b"Content-Encoding: gzip",
        b"Location: http://[",
        b"ETag: " + b"e" * 999,
    ),
    *(b"Retry-After: 300", b"Connection: keep-alive", b"Keep-Alive: timeout=0", b"Link: <", b"Date: never"),
)
"""Headers beside which a 2xx is a 2xx."""
HARMFUL: Final = (
    *(b"Content-Length: -1", b"Content-Length: 5, 7", b"Content-Length: " + b"9" * 30, b"Transfer-Encoding: chunked"),
    *(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x", b"Connection: upgrade", b"Upgrade: websocket"),
    *(b"no colon", b": no name", b"X-\xe9: \xff", b"Content-Type: text/html", b"X: \x00", b"H: " + b"h" * 20_000),
)
INTERIM: Final = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
UNASKED: Final = (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n")
GREETINGS: Final = (UNASKED[1], b"220 mail.example.com ESMTP\r\n", b"\r\n")
WITHOUT_BODY: Final = frozenset({204, 205, 304})


class Ending(enum.Enum):
    """What happens to the connection after an answer."""

    KEPT = enum.auto()
    CLOSED = enum.auto()
    RESET = enum.auto()
    HANGING = enum.auto()
    """Nothing more is said until the client gives up."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said to one request."""

    kind: str
    text: bytes
    ending: Ending = Ending.KEPT
    is_delivery: bool = False
    """Whether this is a whole 2xx, by which a client knows that its calls were taken."""
    is_hasty: bool = False
    """Whether it is said before the body is read."""
    delay_seconds: float = 0.0
    parts: int = 1
    """In how many pieces it is sent."""


OK: Final = Reply("kind", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", is_delivery=True)


class HostileReceiver:
    """Listens on a local port while the block of `listening` lasts."""

    def __init__(self, chance: random.Random, record: SandboxRecord) -> None:
        """Draw with ``chance`` alone; ``record``: gets the calls that are taken."""
        self.is_kind = False
        """Whether each request gets a plain 200 from now on."""
        self.kinds: Counter[str] = Counter()
        """How often each kind of answer was given."""
        self.violations: set[str] = set()
        """Rules of Segment's that a request has broken."""
        self._chance = chance
        self._record = record
        self._kind_share = MOODS[0]
        self._mood_until = time.monotonic() + MOOD_SECONDS
        self._draws: dict[Callable[[], Reply], float] = {
            self._any_status: 0.35,
            self._common_status: 0.25,
            self._cut: 0.10,
            self._web_page: 0.05,
            self._garbage: 0.06,
            self._hasty_refusal: 0.05,
            self._nothing: 0.12,
            self._interim_only: 0.02,
        }

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Yields the URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        try:
            yield "http://{}:{}".format(*server.sockets[0].getsockname())
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
            if not self.is_kind and self._chance.random() < GREETED_SHARE:
                writer.write(self._chance.choice(GREETINGS))
                await reader.read()
                return
            while await self._answer(reader, writer) is Ending.KEPT:
                pass

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Ending:
        """Serve one request; returns what has happened to the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        reply = self._draw()
        self.kinds[reply.kind] += 1
        if not reply.is_hasty:
            self._take(await self._read(head, reader), reply)
        await asyncio.sleep(reply.delay_seconds)
        await say(writer, reply)
        if reply.ending is Ending.RESET:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
            writer.transport.abort()
        if reply.ending is Ending.HANGING:
            await reader.read()
        return reply.ending

    async def _read(self, head: bytes, reader: asyncio.StreamReader) -> Received:
        request_line, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        path = request_line.split()[1]
        return read_request(path, headers["authorization"], headers.get("content-encoding", ""), body)

    def _take(self, received: Received, reply: Reply) -> None:
        judgement = judge(received)
        if not judgement.reply.accepts:
            self.violations.add(f"Segment would answer {judgement.reply.status} {judgement.reply.body}")
        self.violations |= {f"Segment would drop a call: {code}" for code in judgement.discards if code}
        if reply.is_delivery:
            self._record.receive(received.path, received.calls, judgement, "200", time.time())

    def _draw(self) -> Reply:
        if self.is_kind:
            return OK
        if self._chance.random() < self._mood():
            return self._delivery()
        return self._chance.choices(list(self._draws), list(self._draws.values()))[0]()

    def _mood(self) -> float:
        if time.monotonic() > self._mood_until:
            self._kind_share = self._chance.choice(MOODS)
            self._mood_until = time.monotonic() + MOOD_SECONDS
        return self._kind_share

    def _delivery(self) -> Reply:
        """A whole 2xx, however strange."""
        status = self._chance.choice((200, 200, 200, self._chance.randint(200, 299)))
        body = b"" if status in WITHOUT_BODY else self._body()
        head = [b"HTTP/1.%d %d %b" % (self._chance.choice((1, 1, 0)), status, self._reason()), *self._some(HARMLESS)]
        ending = Ending.KEPT
        match self._chance.randrange(3):
            case 0 if b"HTTP/1.1" in head[0] and status not in WITHOUT_BODY:
                head.append(b"Transfer-Encoding: chunked")
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
            case 1 if body:
                ending = Ending.CLOSED  # its end is the end of the body
            case _:
                head.append(b"Content-Length: %d" % len(body))
        text = b"\r\n".join([*head, b"", body])
        if self._chance.random() < 0.1:
            text = self._chance.choice(INTERIM) + text
        elif (
            ending is Ending.KEPT and text.startswith(b"HTTP/1.1") and len(text) < 1_000 and self._chance.random() < 0.1
        ):
            text += self._chance.choice(UNASKED[:2])  # right behind the answer: it is no answer to a later request
            return Reply("2xx and more", text, is_delivery=True)
        parts = self._chance.choice((1, 1, 1, 5))
        return Reply("2xx", text, ending, is_delivery=True, delay_seconds=self._delay(), parts=parts)

    def _any_status(self) -> Reply:
        status = self._chance.choice((self._chance.randint(300, 599), self._chance.randint(300, 999), 101, 0, 99))
        return self._refusal("any status", status, [*self._some(HARMLESS), *self._some(HARMFUL)])

    def _common_status(self) -> Reply:
        return self._refusal("common status", self._chance.choice(COMMON_STATUSES), self._some(HARMLESS))

    def _refusal(self, kind: str, status: int, headers: list[bytes]) -> Reply:
        if self._chance.random() < 0.4:
            headers.append(b"Retry-After: " + self._chance.choice(WAITS))
            headers.append(b"Date: " + self._chance.choice(DATES))
        body = b"" if status in WITHOUT_BODY else self._body()
        lines = [b"HTTP/1.1 %03d %b" % (status, self._reason()), *headers, b"Content-Length: %d" % len(body), b"", body]
        ending = Ending.KEPT if kind == "common status" else Ending.CLOSED
        return Reply(kind, b"\r\n".join(lines), ending, delay_seconds=self._delay())

    def _cut(self) -> Reply:
        """A 2xx whose body breaks off, or is none."""
        beginning = b"HTTP/1.1 200 OK\r\n"
        text = self._chance.choice(
            (
                *(beginning[: self._chance.randrange(1, 17)], beginning + b"Content-Le"),
                *(beginning + b"Content-Length: 50\r\n\r\n{", beginning + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"),
                beginning
                + b"Transfer-Encoding: chunked\r\n\r\n"
                + self._chance.choice((b"ZZ\r\n", b"-1\r\n", b"\xff")),
                beginning + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}",
            )
        )
        return Reply("cut", text, self._chance.choice((Ending.CLOSED, Ending.RESET)))

    def _web_page(self) -> Reply:
        page = b"<html>" + self._body()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        return Reply(
            "web page", head % (self._chance.choice((b"text/html", b"Text/HTML; charset=x")), len(page)) + page
        )

    def _garbage(self) -> Reply:
        text = self._chance.choice(
            (b"", b"HTTP/9.9 200 OK\r\n\r\n", b"\r\n\r\n", b"220 smtp\r\n", b"\x15\x03\x01\x00\x02")
        )
        return Reply("garbage", text + self._chance.randbytes(self._chance.randrange(40)), Ending.CLOSED)

    def _hasty_refusal(self) -> Reply:
        status = self._chance.choice((400, 413, 429, 503))
        text = b"HTTP/1.1 %d Hasty\r\nContent-Length: 0\r\n\r\n" % status
        return Reply("hasty", text, self._chance.choice((Ending.CLOSED, Ending.RESET)), is_hasty=True)

    def _nothing(self) -> Reply:
        return Reply("nothing", b"", self._chance.choice((Ending.CLOSED, Ending.RESET, Ending.HANGING)))

    def _interim_only(self) -> Reply:
        return Reply("interim only", self._chance.choice(INTERIM) * 3, self._chance.choice(tuple(Ending)[1:]))

    def _some(self, headers: tuple[bytes, ...]) -> list[bytes]:
        return self._chance.sample(headers, self._chance.choice((0, 0, 1, 3)))

    def _reason(self) -> bytes:
        return self._chance.choice((b"OK", b"", b"Reason", b"\xe9\xff", b"r" * 500))

    def _body(self) -> bytes:
        return self._chance.choice((b"", b'{"success": true}', b"\x00\xff", b"{", b"x" * 100_000))

    def _delay(self) -> float:
        return self._chance.choice((0.0, 0.0, self._chance.random() * MAX_DELAY_SECONDS))


async def say(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Send an answer, in as many pieces as it shall have."""
    size = max(len(reply.text) // reply.parts, 1)
    for at in range(0, len(reply.text), size):
        if writer.is_closing():
            raise ConnectionResetError
        writer.write(reply.text[at : at + size])
        await writer.drain()
        if reply.parts > 1:
            await asyncio.sleep(0.001)
