"""A TCP proxy that plays the network's part: between the service and a broker or a receiver, it fails on demand."""

import asyncio
import enum
import socket
import struct
from dataclasses import dataclass, field
from typing import Final, Self

HOST: Final = "127.0.0.1"
CHUNK_BYTES: Final = 1 << 16
DRIPS_PER_SECOND: Final = 20
"""Portions in which a dripping way lets bytes through."""

RESET_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing the socket sends a reset instead of an orderly end."""


class Way(enum.Enum):
    """Whereto bytes travel."""

    TO_SERVER = enum.auto()
    TO_CLIENT = enum.auto()


BOTH: Final = tuple(Way)


@dataclass(slots=True)
class _Weather:
    """What happens to bytes that go one way, on all connections."""

    is_passable: asyncio.Event = field(default_factory=asyncio.Event)
    delay_seconds: float = 0.0
    bytes_per_second: int | None = None
    bytes_until_reset: int | None = None

    def clear(self) -> None:
        self.is_passable.set()
        self.delay_seconds, self.bytes_per_second, self.bytes_until_reset = 0.0, None, None


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through the proxy: the client's end and ours to the server."""

    task: asyncio.Task[None]
    writers: list[asyncio.StreamWriter]

    def end(self) -> None:
        self.task.cancel()

    def reset(self) -> None:
        self.end_in_reset()
        self.end()

    def end_in_reset(self) -> None:
        for writer in self.writers:
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)


class Proxy:
    """Forwards every connection to ``target``, with whatever weather is set; it starts with none.

    Weather holds for connections that are open and for those to come, until `clear`. Bytes are never dropped or
    reordered on a connection that lives, as TCP promises: what is held back goes on afterwards.

    Args:
        target: ``host:port`` to connect to.
        port: where to listen; 0 takes any free one.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        host, _, target_port = target.rpartition(":")
        self._target = (host, int(target_port))
        self.port = port
        self.accepted = 0
        """Connections so far."""
        self.resets = 0
        """How often `reset_after` came true."""
        self._weather = {way: _Weather() for way in Way}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.clear()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and end every connection."""
        assert self._server is not None, "entered"
        self._server.close()
        ended = [link.task for link in self._links]
        self.cut()
        if ended:
            await asyncio.wait(ended)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """``host:port``, for clients."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._links)

    def clear(self) -> None:
        """Fine weather: everything passes, also what was held back."""
        for weather in self._weather.values():
            weather.clear()

    def hold(self, *ways: Way) -> None:
        """A black hole: connections are accepted and stay open, and nothing gets through. No way given: both."""
        for way in ways or BOTH:
            self._weather[way].is_passable.clear()

    def delay(self, seconds: float, *ways: Way) -> None:
        """Let each portion of bytes wait so long."""
        for way in ways or BOTH:
            self._weather[way].delay_seconds = seconds

    def drip(self, bytes_per_second: int, *ways: Way) -> None:
        """Let bytes through slowly but steadily, on each connection."""
        assert bytes_per_second >= DRIPS_PER_SECOND
        for way in ways or BOTH:
            self._weather[way].bytes_per_second = bytes_per_second

    def reset_after(self, count: int, way: Way) -> None:
        """Let so many more bytes through this way, over all connections, then reset the one that brought the last."""
        assert count > 0
        self._weather[way].bytes_until_reset = count

    def cut(self) -> None:
        """End all open connections, as a peer does that shuts down."""
        for link in self._links:
            link.end()

    def reset(self) -> None:
        """Reset all open connections, as a peer does that has crashed."""
        for link in self._links:
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        link = _Link(task, [writer])
        self._links.add(link)
        self.accepted += 1
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            link.writers.append(server_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, server_writer, Way.TO_SERVER, link))
                pumps.create_task(self._pump(server_reader, writer, Way.TO_CLIENT, link))
        except* OSError:
            link.end_in_reset()  # the target is away, or one end broke off: the other learns of it the same way
        except* asyncio.CancelledError:
            pass  # told to end it; asyncio's server would report a cancelled task as an error
        finally:
            self._links.discard(link)
            for end in link.writers:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, link: _Link) -> None:
        weather = self._weather[way]
        while chunk := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(weather.delay_seconds)
            while chunk:
                portion = await self._portion(chunk, weather)
                chunk = chunk[len(portion) :]
                writer.write(portion)
                await writer.drain()
                if weather.bytes_until_reset == 0:
                    weather.bytes_until_reset = None
                    self.resets += 1
                    link.reset()
                    return
        await weather.is_passable.wait()  # an end, too, is something that a black hole keeps to itself
        writer.write_eof()

    async def _portion(self, chunk: bytes, weather: _Weather) -> bytes:
        """What of these bytes may pass now; waits until that is something."""
        if weather.bytes_per_second is not None:
            await asyncio.sleep(1 / DRIPS_PER_SECOND)
            chunk = chunk[: weather.bytes_per_second // DRIPS_PER_SECOND]
        await weather.is_passable.wait()
        if weather.bytes_until_reset is not None:
            chunk = chunk[: weather.bytes_until_reset]
            weather.bytes_until_reset -= len(chunk)
        return chunk
