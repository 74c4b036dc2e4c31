"""Memory of a process that only listens, attacked: it stays below a limit, and others are answered meanwhile."""

import asyncio
import contextlib
import gzip
import io
import sys
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.faults.memory import Memory, memory_of
from tests.inbound.conftest import sign
from tests.inbound.test_listener import CALL, batch, call

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a process's own memory in /proc")

HEADERS = b"POST /webhooks/segment/production HTTP/1.1\r\nHost: x\r\n"
CONNECTIONS = 1_000

MAX_GROWTH_BYTES = 200_000_000
"""For all that is not answered: three times ``max_open_bytes``, because a body and its calls are in memory at once."""

MAX_ANSWER_SECONDS = 5.0


class Attacked:
    """The process under attack."""

    def __init__(self, port: int, memory: Memory) -> None:
        self.port = port
        self.memory = memory
        self.began_at = time.monotonic()

    async def send(self, body: bytes = CALL, **headers: str) -> int:
        """A request of somebody else; returns the status."""
        url = f"http://127.0.0.1:{self.port}/webhooks/segment/production"
        headers = {**sign(body), "Content-Type": "application/json", **headers}
        async with (
            asyncio.timeout(MAX_ANSWER_SECONDS),
            aiohttp.ClientSession() as session,
            session.post(url, data=io.BytesIO(body), headers=headers) as answer,
        ):
            return answer.status

    @property
    def growth(self) -> int:
        """Bytes of memory at most above those at the beginning."""
        return self.memory.growth(self.began_at)


@contextlib.asynccontextmanager
async def attacked() -> AsyncIterator[Attacked]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.inbound.listening", stdin=pipe, stdout=pipe
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    try:
        async with memory_of(process.pid) as memory:
            one = Attacked(port, memory)
            assert await one.send() == 200
            one.began_at = time.monotonic()
            await asyncio.sleep(0.05)  # so that there is a first sample
            yield one
            assert await one.send() == 200, "it is well afterwards"
    finally:
        process.stdin.close()
        await process.wait()


async def connect(port: int, stack: contextlib.AsyncExitStack) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    return writer


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(HEADERS, id="headers"),
        pytest.param(HEADERS + b"Content-Length: 8000000\r\n\r\n" + b"x" * 1_000, id="bodies"),
    ],
)
async def test_slow_senders_on_all_connections(begun: bytes) -> None:
    async with attacked() as process, contextlib.AsyncExitStack() as stack:
        writers = [await connect(process.port, stack) for _ in range(CONNECTIONS)]
        for _ in range(3):
            for writer in writers:
                if not writer.is_closing():
                    writer.write(begun)
            assert await process.send() == 200
        print(f"{process.growth / 1e6:.0f} MB more")  # noqa: T201
        assert process.growth < MAX_GROWTH_BYTES


async def test_large_bodies_at_once() -> None:
    """Each as large as is allowed, together three times what is."""
    body = batch(*(call(number, padding=80_000) for number in range(100)))
    statuses: list[int] = []
    async with attacked() as process:

        async def send() -> None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                statuses.append(await process.send(body))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(24):
                tasks.create_task(send())
            small = [await process.send() for _ in range(5)]
        print(f"{process.growth / 1e6:.0f} MB more; {statuses.count(200)} accepted")  # noqa: T201
        assert small == [200] * 5
        assert process.growth < MAX_GROWTH_BYTES


async def test_bombs() -> None:
    """Bodies that decompress a thousandfold, with and without a right signature."""
    bomb = gzip.compress(b"[" + b" " * 100_000_000 + b"]")
    async with attacked() as process:

        async def send(content: bytes) -> int:
            return await process.send(content, **{"Content-Encoding": "gzip"})

        statuses = await asyncio.gather(*(send(bomb) for _ in range(20)), process.send())
        print(f"{process.growth / 1e6:.0f} MB more")  # noqa: T201
        assert statuses == [413] * 20 + [200]
        assert process.growth < MAX_GROWTH_BYTES
