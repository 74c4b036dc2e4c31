"""The server with a story behind it, and what an SSE stream brings."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from streamer.access import Access
from streamer.server import Server
from tests.page.stories import Story

MAX_WAIT_SECONDS: Final = 20.0
"""Longest wait for what must come: machines are busy."""


@dataclass(frozen=True)
class Loopback:
    """Any free port."""

    host: str = "127.0.0.1"
    port: int = 0


@asynccontextmanager
async def serving(story: Story, *, port: int = 0, token_file: Path | None = None) -> AsyncIterator[Server]:
    """The server, listening."""
    server = Server(Loopback(port=port), story, Access(host="127.0.0.1", token_file=token_file))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def url_of(server: Server) -> str:
    """Of the page."""
    return f"http://127.0.0.1:{server.port}/"


async def next_event(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event of a stream."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        async for line in response.content:
            if line.startswith(b"data: "):
                event: dict[str, Any] = orjson.loads(line.removeprefix(b"data: "))
                return event
    raise AssertionError("the stream has ended")
