"""`GET /tap` over real sockets: who may see what, that it ends, and that a slow reader is nobody's trouble."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from streamer.access import Access
from streamer.core.delivery.answers import answer_of_status
from streamer.server import Server
from streamer.tapping import Taps, route
from streamer.tapping.route import TapRoute
from streamer.tapping.taps import MAX_TAPS
from tests.core.tapping.calls import call, opened
from tests.page.serving import Loopback
from tests.page.stories import well

WAIT_SECONDS: Final = 20.0
VALUE: Final = "a value of the call"


class Tapped:
    """A server with taps, and what is asked of it."""

    def __init__(self, server: Server, taps: Taps, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.taps = taps
        self.session = session

    def pass_calls(self, number: int = 1, *, integration: str = "sprig", key: str = "text") -> None:
        """Let calls leave, as delivery does, a second after the taps were opened."""
        for listener in self.taps.listeners:
            listener.tap._lines_left.at -= 1.0
        self.taps.show(
            opened([call(n, properties={key: VALUE}) for n in range(number)]),
            answer_of_status(200, None),
            integration=integration,
            destination="production",
            result="delivered",
            began=0.0,
        )

    async def status_of(self, **params: str) -> int:
        async with self.session.get("/tap", params=params) as response:
            return response.status


@asynccontextmanager
async def tapped(*, token_file: Path | None = None, path: Path | None = None) -> AsyncIterator[Tapped]:
    taps = Taps()
    access = Access(host="127.0.0.1", token_file=token_file)
    server = Server(Loopback(), well(), access, socket=path, more=[TapRoute(taps, access.may_see_values)])
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield Tapped(server, taps, session)
    await server.stop()


@pytest.fixture
async def plain() -> AsyncIterator[Tapped]:
    """Without a token."""
    async with tapped() as found:
        yield found


async def next_line(response: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_SECONDS):
        line: dict[str, Any] = orjson.loads(await response.content.readline())
    return line


async def test_calls_are_told_as_they_leave(plain: Tapped) -> None:
    async with plain.session.get("/tap") as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert await next_line(response) == {"tap": {"passed": 0, "shown": 0, "lost": 0, "skipped": 0}}
        plain.pass_calls(2)
        lines = [await next_line(response) for _ in range(2)]
    assert [line["messageId"] for line in lines] == ["evt_0", "evt_1"]
    assert VALUE not in str(lines)


async def test_parameters_choose(plain: Tapped) -> None:
    params = [("integration", "sprig"), ("where", "messageId=evt_3"), ("rate", "1000")]
    async with plain.session.get("/tap", params=params) as response:
        await next_line(response)
        plain.pass_calls(5, integration="feedback")
        plain.pass_calls(5)
        line = await next_line(response)
    assert (line["integration"], line["messageId"]) == ("sprig", "evt_3")


@pytest.mark.parametrize(
    "params",
    [{"rate": "fast"}, {"rate": "0"}, {"rate": "1001"}, {"where": "event"}, {"values": "yes"}, {"where_": "x"}],
)
async def test_what_cannot_be_asked_for_is_refused_in_words(plain: Tapped, params: dict[str, str]) -> None:
    async with plain.session.get("/tap", params=params) as response:
        assert response.status == 400
        assert len(await response.text()) > 20
    assert plain.taps.listeners == []


@pytest.mark.parametrize("params", [{"values": "true"}, {"where": "userId=jane*"}, {"where": "properties.score=9"}])
async def test_values_are_for_the_owner_and_who_has_the_token(params: dict[str, str], tmp_path: Path) -> None:
    """A condition on a hidden value tells it, too: by trying one after the other."""
    token = tmp_path / "token"
    token.write_text("secret")
    async with tapped(path=tmp_path / "s") as found:
        assert await found.status_of(**params) == 403
        connector = aiohttp.UnixConnector(str(tmp_path / "s"))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as owner,
            owner.get("/tap", params=params) as response,
        ):
            assert response.status == 200
    async with tapped(token_file=token) as found:
        assert await found.status_of() == 401
        async with found.session.get("/tap", params=params, headers={"Authorization": "Bearer secret"}) as response:
            assert response.status == 200
            if "values" in params:
                found.pass_calls()
                await next_line(response)
                assert (await next_line(response))["call"]["properties"] == {"text": VALUE}


@pytest.mark.parametrize("params", [{}, {"values": "true"}, {"where": "userId=x"}])
async def test_who_looks_is_logged(tmp_path: Path, params: dict[str, str]) -> None:
    """Whoever is responsible for the values can find out that somebody has seen them; conditions are values, too."""
    connector = aiohttp.UnixConnector(str(tmp_path / "s"))
    with capture_logs() as lines:
        async with (
            tapped(path=tmp_path / "s"),
            aiohttp.ClientSession("http://localhost", connector=connector) as owner,
            owner.get("/tap", params=params),
        ):
            pass
    [line] = [line for line in lines if line["event"] == "tap.opened"]
    assert line["shows_values"] is bool(params)
    assert "userId" not in str(line)


async def test_there_are_so_many_taps_and_no_more(plain: Tapped) -> None:
    responses = [await plain.session.get("/tap") for _ in range(MAX_TAPS)]
    async with plain.session.get("/tap") as one_more:
        assert one_more.status == 503
        assert f"{MAX_TAPS} taps are open" in await one_more.text()
    for response in responses:
        response.close()


async def test_a_reader_that_leaves_is_noticed(plain: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "HEARTBEAT_SECONDS", 0.01)
    async with plain.session.get("/tap") as response:
        await next_line(response)
        assert "tap" in await next_line(response)
    await closed(plain)


async def test_a_tap_ends_after_its_time_and_says_what_it_has_seen(
    plain: Tapped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MAX_TAP_SECONDS", 0.0)
    async with plain.session.get("/tap") as response:
        lines = (await response.read()).splitlines()
    assert len(lines) == 2
    assert plain.taps.listeners == []


async def test_a_server_that_stops_ends_taps_at_once() -> None:
    """Also that of a reader that takes nothing: a drain does not wait for whoever looks."""
    loop = asyncio.get_running_loop()
    async with tapped() as found, found.session.get("/tap", params={"rate": "1000"}) as idle:
        await next_line(idle)
        async with stuck(found):
            began = loop.time()
            await found.server.stop()
            assert loop.time() - began < 0.9, "it did not wait for SHUTDOWN_SECONDS"
        assert b"passed" in (await idle.read()).splitlines()[-1]


async def test_a_reader_that_takes_nothing_is_disconnected(plain: Tapped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "MAX_WRITE_SECONDS", 0.05)
    async with stuck(plain):
        await closed(plain)


async def closed(found: Tapped) -> None:
    """Wait until nobody taps any more."""
    async with asyncio.timeout(WAIT_SECONDS):
        while found.taps.listeners:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def stuck(found: Tapped) -> AsyncIterator[None]:
    """A reader that has asked for much and takes none of it, up to the moment at which lines are lost."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", found.server.port))
        await loop.sock_sendall(reader, b"GET /tap?rate=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(WAIT_SECONDS):
            while not any(listener.tap.passed for listener in found.taps.listeners):
                await asyncio.sleep(0.01)
                found.pass_calls()
        [*_, listener] = found.taps.listeners
        async with asyncio.timeout(WAIT_SECONDS):
            while found.taps.listeners and not listener.tap.lost:
                found.pass_calls(20, key="k" * 30_000)
                await asyncio.sleep(0.001)  # a reader that takes something would be told more meanwhile
        yield
