"""Who may see what, over a real socket: the token, names of this machine, and headers against other people's pages."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

import streamer.access
from streamer.access import HEADERS, Access
from streamer.server import Server
from streamer.service import Service
from streamer.settings import Settings
from streamer.status import Check, ServiceStatus

TOKEN = "t0ken with räre characters"
GUARDED = ("/status", "/tap", "/metrics", "/version", "/", "/nowhere", "/livezz", "/LIVEZ")
OPEN = ("/livez", "/readyz", "/startupz", "/readyz/kafka", "/readyz?verbose")


class NoService:
    """Has no status: what is not let through never asks for one."""

    def status(self) -> ServiceStatus:
        raise AssertionError("it was asked for")

    def live(self) -> list[Check]:
        return []

    def ready(self) -> list[Check]:
        return [Check("kafka", ok=True)]

    def started(self) -> list[Check]:
        return []


@dataclass(frozen=True)
class Loopback:
    host: str = "127.0.0.1"
    port: int = 0


class Listening:
    """A server, and requests to it."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._port = port

    async def raw_status(self, path: str) -> int:
        """The status for a path that is sent as it is."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return int(line.split()[1])

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        """The answer, read to its end."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.get(path, headers=headers) as response:
            await response.read()
            return response

    async def status_with(self, authorization: str | None, path: str = "/nowhere") -> int:
        """404 says that a request was let through."""
        headers = {} if authorization is None else {"Authorization": authorization}
        return (await self.get(path, **headers)).status


async def serving(access: Access) -> AsyncIterator[Listening]:
    server = Server(Loopback(), NoService(), access)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield Listening(session, server.port)
    await server.stop()


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a changed file is noticed within a second."""
    monkeypatch.setattr(streamer.access, "LOOK_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


@pytest.fixture
async def guarded(file: Path) -> AsyncIterator[Listening]:
    """One that has a token."""
    async for listening in serving(Access(token_file=file)):
        yield listening


@pytest.fixture
async def local() -> AsyncIterator[Listening]:
    """One without a token, on the loopback interface."""
    async for listening in serving(Access(host="127.0.0.1")):
        yield listening


def put(file: Path, content: str | None) -> None:
    """Write a file, or remove it."""
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.write_text(content, encoding="utf-8")


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("", TOKEN), basic("anybody", TOKEN)]
)
async def test_the_right_token_is_let_through(guarded: Listening, authorization: str) -> None:
    assert await guarded.status_with(authorization) == 404


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        f"Digest {TOKEN}",
        basic(TOKEN, ""),
        basic("anybody", "wrong"),
        "Basic",
        "Basic ***",
        "Basic " + base64.b64encode(TOKEN.encode()).decode(),
        "Basic " + "A" * 4_000,
    ],
)
async def test_no_other_token_is(guarded: Listening, authorization: str | None) -> None:
    assert await guarded.status_with(authorization) == 401


@pytest.mark.parametrize("path", GUARDED)
async def test_without_it_nothing_is_told(guarded: Listening, path: str) -> None:
    """Not even which paths there are."""
    response = await guarded.get(path)
    assert response.status == 401
    assert response.headers.getall("WWW-Authenticate") == [
        'Bearer realm="streamer"',
        'Basic realm="streamer", charset="UTF-8"',
    ]
    assert TOKEN not in await response.text()


@pytest.mark.parametrize(
    "path", ["//livez", "/livez/../status", "/livez/%2e%2e/status", "/livez%2f..%2fstatus", "/livez;/../status", "*"]
)
async def test_a_path_that_is_written_in_another_way_opens_nothing(guarded: Listening, path: str) -> None:
    assert await guarded.raw_status(path) in {400, 401, 404}, "404: /livez has no such check"


@pytest.mark.parametrize("path", OPEN)
async def test_health_needs_no_token(guarded: Listening, path: str) -> None:
    assert (await guarded.get(path)).status == 200


async def test_a_new_token_counts_and_the_old_one_no_longer_does(guarded: Listening, file: Path) -> None:
    assert await guarded.status_with(f"Bearer {TOKEN}") == 404
    new = file.with_name("new")
    new.write_text("another")
    new.replace(file)
    assert await guarded.status_with(f"Bearer {TOKEN}") == 401
    assert await guarded.status_with("Bearer another") == 404


async def test_while_the_file_cannot_be_read_the_last_token_counts(guarded: Listening, file: Path) -> None:
    assert await guarded.status_with(f"Bearer {TOKEN}") == 404
    with capture_logs() as lines:
        for content in (None, "", "\n"):
            put(file, content)
            assert await guarded.status_with(f"Bearer {TOKEN}") == 404
            assert await guarded.status_with("Bearer ") == 401
    assert [line["event"] for line in lines] == ["server.token_unreadable"]
    assert TOKEN not in str(lines)


async def test_before_it_was_ever_read_nobody_is_let_in_but_health(guarded: Listening, file: Path) -> None:
    """A set-up that is broken does not open the door, and does not stop the service."""
    put(file, None)
    assert [await guarded.status_with(header) for header in (None, "Bearer ", basic("", ""))] == [503, 503, 503]
    assert (await guarded.get("/livez")).status == 200
    put(file, TOKEN)
    assert await guarded.status_with(f"Bearer {TOKEN}") == 404


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:8080"])
async def test_this_machine_may_be_asked_by_its_names(local: Listening, host: str) -> None:
    assert (await local.get("/nowhere", Host=host)).status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "::"]
)
async def test_a_page_of_somebody_else_cannot_ask_by_a_name_of_its_own(local: Listening, host: str) -> None:
    response = await local.get("/status", Host=host)
    assert response.status == 421
    assert host not in (await response.text()).replace("127.0.0.1", "")
    assert (await local.get("/livez", Host=host)).status == 200, "health tells nothing"


async def test_with_a_token_any_name_will_do(guarded: Listening) -> None:
    response = await guarded.get("/nowhere", Host="streamer.example", Authorization=f"Bearer {TOKEN}")
    assert response.status == 404


async def test_where_all_interfaces_are_listened_on_any_name_will_do() -> None:
    """Services of Kubernetes have names of their own."""
    async for listening in serving(Access(host="0.0.0.0")):
        assert (await listening.get("/nowhere", Host="streamer.default.svc")).status == 404


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/livez", "localhost", 200),
        ("/nowhere", "localhost", 404),
        ("/", "evil.example", 421),
        ("/status", "localhost", 500),
    ],
)
async def test_every_answer_has_the_headers(local: Listening, path: str, host: str, status: int) -> None:
    response = await local.get(path, Host=host)
    assert response.status == status
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


async def test_a_refusal_has_them_too(guarded: Listening) -> None:
    response = await guarded.get("/status")
    assert {name: response.headers[name] for name in HEADERS} == HEADERS


async def test_what_a_request_says_is_not_repeated(local: Listening) -> None:
    marked = "<script>alert(1)</script>"
    response = await local.get(f"/{marked}?{marked}", X_Forwarded_Host=marked, Accept=marked)
    assert "<script" not in await response.text()


def test_a_changed_file_is_looked_at_once_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamer.access, "LOOK_SECONDS", 1.0)
    clock = [100.0]
    token = streamer.access.Token(file, lambda: clock[0])
    assert token.is_known()
    file.write_text("another one")
    clock[0] += 0.9
    assert token.is_known()
    assert token.is_right(TOKEN.encode())
    clock[0] += 0.2
    assert token.is_known()
    assert token.is_right(b"another one")


async def test_a_service_asks_for_the_token_of_its_configuration(file: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": "memory:1"},
            "state_dir": tmp_path / "state",
            "server": {"port": 0, "token_file": file},
        }
    )
    service = Service(settings)
    await service._server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{service.port}") as session:
            listening = Listening(session, service.port)
            assert [await listening.status_with(each, "/status") for each in (None, f"Bearer {TOKEN}")] == [401, 200]
    finally:
        await service._server.stop()
    assert TOKEN not in repr(vars(service)) + repr(settings)
