"""A running sandbox, and a sender that tests control."""

import base64
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import aiohttp
import orjson
import pytest

from streamer.devkit.sandbox.server import Sandbox

WRITE_KEY: Final = "streamer_test_write_key_000000001"
BASIC: Final = {"Authorization": "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()}
TIMEOUT_SECONDS: Final = 10.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_741_064_769.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def advance(clock: Clock) -> Callable[[float], None]:
    """Let time pass for the sandbox."""
    return clock.advance


@pytest.fixture
async def sandbox(clock: Clock) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(clock=clock)
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., Coroutine[Any, Any, aiohttp.ClientResponse]]]:
    """Send one request, with a valid write key unless a test gives another, and read the answer; follow no redirect."""
    async with aiohttp.ClientSession() as session:

        async def ask(
            method: str,
            url: str,
            document: Any = b"",
            headers: Mapping[str, str] = BASIC,
            timeout_seconds: float = TIMEOUT_SECONDS,
        ) -> aiohttp.ClientResponse:
            async with session.request(
                method,
                url,
                data=io.BytesIO(document if isinstance(document, bytes) else orjson.dumps(document)),
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            ) as response:
                await response.read()
                return response

        yield ask


@pytest.fixture
def post(
    sandbox: Sandbox, ask: Callable[..., Coroutine[Any, Any, aiohttp.ClientResponse]]
) -> Callable[..., Coroutine[Any, Any, aiohttp.ClientResponse]]:
    """Post a JSON document, or raw bytes, to a path of the sandbox."""

    async def post(path: str, document: Any, **options: Any) -> aiohttp.ClientResponse:
        return await partial(ask, **options)("POST", sandbox.url + path, document)

    return post
