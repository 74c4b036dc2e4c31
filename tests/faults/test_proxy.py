"""The proxy does what it says, so that a test which passes behind it has passed something."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Proxy, Way

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.received = b""
        self.changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                self.received += chunk
                self.changed.set()
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def until(self, received: bytes) -> None:
        async with asyncio.timeout(5):
            while self.received != received:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
        yield proxy
    server.close()
    await server.wait_closed()


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.transport.abort()


async def read(reader: asyncio.StreamReader, count: int, *, seconds: float = 5.0) -> bytes:
    async with asyncio.timeout(seconds):
        return await reader.readexactly(count)


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes for a moment, not even an end."""
    try:
        await read(reader, 1, seconds=0.2)
    except TimeoutError:
        return True
    return False


async def test_in_fine_weather_everything_passes_both_ways(proxy: Proxy, connection: Connection) -> None:
    reader, writer = connection
    sent = bytes(range(256)) * 4_000
    writer.write(sent)
    assert await read(reader, len(sent)) == sent
    assert (proxy.accepted, proxy.connections) == (1, 1)


async def test_an_end_passes_too(proxy: Proxy, connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"last")
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b"last"
        while proxy.connections:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


async def test_what_a_black_hole_held_back_goes_on_afterwards(proxy: Proxy, connection: Connection, echo: Echo) -> None:
    """The connection lives through it: TCP sends again until it is through."""
    reader, writer = connection
    proxy.hold()
    writer.write(b"one")
    assert await is_silent(reader)
    assert echo.received == b""
    proxy.clear()
    assert await read(reader, 3) == b"one"


async def test_a_black_hole_may_be_one_way(proxy: Proxy, connection: Connection, echo: Echo) -> None:
    """The request arrives, its answer does not: the sender cannot know."""
    reader, writer = connection
    proxy.hold(Way.TO_CLIENT)
    writer.write(b"one")
    await echo.until(b"one")
    assert await is_silent(reader)


async def test_a_black_hole_takes_new_connections(proxy: Proxy) -> None:
    """Which is what makes it worse than a server that is away."""
    proxy.hold()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one")
    assert await is_silent(reader)
    writer.transport.abort()


async def test_a_delay_is_kept(proxy: Proxy, connection: Connection) -> None:
    reader, writer = connection
    proxy.delay(0.2)
    began = asyncio.get_running_loop().time()
    writer.write(b"one")
    assert await read(reader, 3) == b"one"
    assert asyncio.get_running_loop().time() - began >= 0.4


async def test_a_drip_brings_bytes_steadily(proxy: Proxy, connection: Connection) -> None:
    """Never long without a byte, and long until the last: only a limit on the whole notices."""
    reader, writer = connection
    proxy.drip(100, Way.TO_CLIENT)
    began = asyncio.get_running_loop().time()
    writer.write(b"x" * 50)
    for _ in range(50):
        await read(reader, 1, seconds=0.5)
    assert asyncio.get_running_loop().time() - began >= 0.45


async def test_a_reset_ends_open_connections_and_no_later_ones(proxy: Proxy, connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"one")
    await read(reader, 3)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await read(reader, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"two")
    assert await read(reader, 3) == b"two"
    writer.transport.abort()


async def test_a_cut_ends_open_connections_in_good_order(proxy: Proxy, connection: Connection) -> None:
    reader, writer = connection
    writer.write(b"one")
    await read(reader, 3)
    proxy.cut()
    with pytest.raises(asyncio.IncompleteReadError):
        await read(reader, 1)


async def test_a_reset_in_the_middle_lets_exactly_so_many_bytes_through(
    proxy: Proxy, connection: Connection, echo: Echo
) -> None:
    """Once: whoever connects again gets through."""
    reader, writer = connection
    proxy.reset_after(5, Way.TO_SERVER)
    writer.write(b"0123456789")
    with pytest.raises(ConnectionResetError):
        await read(reader, 10)
    await echo.until(b"01234")
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"again")
    assert await read(reader, 5) == b"again"
    writer.transport.abort()


async def test_a_target_that_is_away_shows_as_a_reset() -> None:
    async with Proxy("127.0.0.1:1") as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await read(reader, 1)
        writer.transport.abort()


async def test_at_its_end_nothing_is_left(echo: Echo) -> None:
    """Connections that are held back end with it, and the port is free."""
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with Proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
        proxy.hold()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        await is_silent(reader)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await read(reader, 1)
    writer.transport.abort()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    assert proxy.connections == 0
    server.close()
    await server.wait_closed()
