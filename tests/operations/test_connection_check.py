"""What is asked of destinations, and of Segment about write keys. The brokers: test_check_connect.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.core.errors import UnavailableError
from streamer.devkit.sandbox.server import Sandbox
from streamer.operations.connection_check import check_key, connect
from streamer.settings import DestinationSettings

KEY = "hidden-write-key"


@pytest.fixture
async def segment() -> AsyncIterator[TestServer]:
    """Answers with the status that stands in the path, as a redirect too."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), headers={"Location": "/200/moved"})

    app = web.Application()
    app.router.add_get("/{status}/{path:.*}", answer)
    server = TestServer(app)
    async with server:
        yield server


@pytest.mark.parametrize("status", [200, 302, 404, 500])
async def test_a_destination_that_answers_is_there(segment: TestServer, status: int) -> None:
    """The request carries no event, so its status says nothing about those that do."""
    await connect(str(segment.make_url(f"/{status}/x")))


async def test_a_destination_that_is_away_is_a_problem(segment: TestServer) -> None:
    url = str(segment.make_url("/200/x"))
    await segment.close()
    with pytest.raises(
        UnavailableError, match=r"cannot be reached: no program listens there; correct endpoint"
    ) as caught:
        await connect(url)
    assert str(caught.value).startswith(url)


async def test_a_destination_without_an_address_is_a_problem() -> None:
    """A name under ``invalid`` never exists; without name servers the lookup fails for now."""
    with pytest.raises(UnavailableError, match=r"cannot be reached: (there is no such host|the host cannot be looked)"):
        await connect("https://streamer.invalid")


async def test_a_destination_that_hangs_up_is_a_problem() -> None:
    """As a firewall in between does."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError, match=r"check firewalls and proxies \(connection_reset\)"):
            await connect(f"http://127.0.0.1:{port}")


def asked_at(url: str, **settings: object) -> DestinationSettings:
    return DestinationSettings.model_validate({"write_key": KEY, "settings_endpoint": url, **settings})


async def test_a_known_source_is_in_order(segment: TestServer) -> None:
    await check_key(asked_at(str(segment.make_url("/200"))), KEY)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (404, "Segment has no source with this write key; copy the key again"),
        (503, "Segment answered 503 when asked about the write key; run the check again later"),
        (302, "Segment answered 302"),
    ],
)
async def test_anything_else_is_a_problem_that_does_not_show_the_key(
    segment: TestServer, status: int, problem: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        await check_key(asked_at(str(segment.make_url(f"/{status}"))), KEY)
    assert str(caught.value).startswith(problem)
    assert KEY not in repr(caught.value)


async def test_a_source_in_another_region_is_a_problem() -> None:
    sandbox = Sandbox(region="eu")
    await sandbox.start()
    try:
        with pytest.raises(UnavailableError, match="in the EU; set region: eu"):
            await check_key(asked_at(sandbox.url), KEY)
    finally:
        await sandbox.stop()


async def test_no_answer_is_a_problem_that_does_not_show_the_key(segment: TestServer) -> None:
    """Neither does what it is raised from, which would show in a traceback."""
    destination = asked_at(str(segment.make_url("/200")))
    await segment.close()
    with pytest.raises(UnavailableError, match=r"cannot be asked about the write key \(connection_refused\)") as caught:
        await check_key(destination, KEY)
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_connection_goes_through_the_proxy() -> None:
    """The host does not exist for this machine. About keys: tests/destinations/test_source_settings.py."""
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request.partition(b" HTTP")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await connect("http://segment.invalid/", proxy=proxy)
    assert asked == [b"HEAD http://segment.invalid/"]


async def test_the_ca_file_counts_for_a_connection(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"ca_file .* cannot be read"):
        await connect("https://127.0.0.1:1/", ca_file=tmp_path / "missing.pem")
