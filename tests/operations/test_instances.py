"""Asking running instances: over a socket, over HTTP with the token, and what is said of those that do not answer."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from streamer.access import Access
from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.records.group_member import GroupMember
from streamer.listening import SOCKET_NAME
from streamer.operations import instances
from streamer.operations.instances import Answer, Instances
from streamer.server import Server
from streamer.settings import Settings
from streamer.status import Check, ServiceStatus


class Idle:
    """A service that only says that it lives."""

    def status(self) -> ServiceStatus:
        raise AssertionError("it was asked for")

    def live(self) -> list[Check]:
        return [Check("loop", ok=True)]

    ready = started = live


@dataclass(frozen=True)
class Loopback:
    host: str = "127.0.0.1"
    port: int = 0


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return file


@pytest.fixture
async def server(tmp_path: Path, token_file: Path) -> AsyncIterator[Server]:
    """A server whose only question that needs no status is ``/nowhere``: 404 says that it let us in."""
    server = Server(Loopback(), Idle(), Access(token_file=token_file), socket=tmp_path / SOCKET_NAME)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka knows of no other members."""
    members(monkeypatch)


def members(monkeypatch: pytest.MonkeyPatch, *hosts: str, error: Exception | None = None) -> None:
    async def members_of(*_: object) -> dict[str, list[GroupMember]]:
        if error is not None:
            raise error
        return {"streamer.surveys": [GroupMember("streamer", host, 1, is_this=False) for host in hosts]}

    monkeypatch.setattr(instances, "members_of", members_of)


def settings(directory: Path, **server: object) -> Settings:
    return Settings.model_validate({"state_dir": directory, "server": server})


async def error_of(settings: Settings, *addresses: str, token_file: Path | None = None) -> str:
    async with Instances.open(settings, addresses, token_file) as asked:
        [answer] = await asked.get("/nowhere")
        return answer.error


async def test_the_socket_in_the_state_directory_needs_no_token(tmp_path: Path, server: Server) -> None:
    """Only its owner can connect, whatever port the service got."""
    del server
    path = tmp_path / SOCKET_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Instances.open(settings(tmp_path, port=0)) as asked:
        assert asked.addresses == (f"unix:{path}",)
        assert [answer.error for answer in await asked.get("/nowhere")] == [instances._refusal(404)]


def test_the_socket_works_on_the_event_loop_of_production(tmp_path: Path) -> None:
    """Uvloop takes a socket that it is given for one of TCP: it listens, and nobody is answered."""

    async def ask() -> str:
        server = Server(Loopback(), Idle(), socket=tmp_path / SOCKET_NAME)
        await server.start()
        try:
            return await error_of(settings(tmp_path, port=0))
        finally:
            await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == instances._refusal(404)


async def test_servers_that_start_at_once_leave_the_masks_of_files_alone(tmp_path: Path) -> None:
    """The mask belongs to the process: one that was put back in the wrong order made files that nobody may execute."""
    before = os.umask(0o022)
    servers = [Server(Loopback(), Idle(), socket=tmp_path / f"{number}" / SOCKET_NAME) for number in range(3)]
    masks = set[int]()

    async def look() -> None:
        while len(masks) < 2:
            mask = os.umask(0o022)
            os.umask(mask)
            masks.add(mask)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await asyncio.gather(*(server.start() for server in servers))
    looking.cancel()
    modes = {stat.S_IMODE((tmp_path / f"{number}" / SOCKET_NAME).stat().st_mode) for number in range(3)}
    for server in servers:
        await server.stop()
    os.umask(before)
    assert masks == {0o022}
    assert modes == {0o600}


async def test_over_http_the_token_is_wanted(tmp_path: Path, server: Server, token_file: Path) -> None:
    address = f"http://127.0.0.1:{server.port}"
    assert "--token-file" in await error_of(settings(tmp_path / "else"), address)
    assert await error_of(settings(tmp_path), address, token_file=token_file) == instances._refusal(404)
    assert await error_of(settings(tmp_path, token_file=token_file), address) == instances._refusal(404)
    with pytest.raises(SettingsError, match="--token-file"):
        await error_of(settings(tmp_path), address, token_file=tmp_path / "absent")


async def test_a_socket_that_was_left_over_is_replaced_and_a_used_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / SOCKET_NAME
    killed = Server(Loopback(), Idle(), socket=path)
    await killed.start()
    kept = path.rename(tmp_path / "kept")
    await killed.stop()
    kept.rename(path)

    first, second = (Server(Loopback(), Idle(), socket=path) for _ in range(2))
    with capture_logs() as lines:
        await first.start()
        assert not [line for line in lines if line["event"] == "server.socket_unavailable"]
        await second.start()
        [line] = [line for line in lines if line["event"] == "server.socket_unavailable"]
    assert "another process listens" in line["detail"]
    await second.stop()
    assert path.is_socket()
    await first.stop()
    assert not path.exists()


async def test_a_path_that_is_too_long_is_a_log_line(tmp_path: Path) -> None:
    server = Server(Loopback(), Idle(), socket=tmp_path / ("d" * 120) / SOCKET_NAME)
    with capture_logs() as lines:
        await server.start()
    await server.stop()
    assert [line["event"] for line in lines] == ["server.listening", "server.socket_unavailable"]


async def test_members_on_other_machines_are_asked_at_the_port_of_the_configuration(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One on this machine is the one that was found here. Addresses under 192.0.2 belong to nobody."""
    del server
    members(monkeypatch, "127.0.0.1", "192.0.2.7", "2001:db8::7")
    async with Instances.open(settings(tmp_path, port=8_081)) as asked:
        assert asked.addresses == (
            f"unix:{tmp_path / SOCKET_NAME}",
            "http://192.0.2.7:8081",
            "http://[2001:db8::7]:8081",
        )
    async with Instances.open(settings(tmp_path / "else", port=8_081, host="::")) as asked:
        assert asked.addresses[0] == "http://127.0.0.1:8081"
    async with Instances.open(settings(tmp_path / "else", port=0)) as asked:
        assert asked.addresses == ()
        assert "--instance" in asked.problems[0]


async def test_without_brokers_it_is_said_that_others_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members(monkeypatch, error=UnavailableError("brokers away"))
    async with Instances.open(settings(tmp_path, port=8_081)) as asked:
        assert asked.addresses == ("http://127.0.0.1:8081",)
        assert "brokers away" in asked.problems[0]


async def test_who_does_not_answer_is_told_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str, streaming: str
) -> None:
    monkeypatch.setattr(instances, "ANSWER_SECONDS", 0.2)
    addresses = ["http://127.0.0.1:1", hanging, f"unix:{tmp_path / 'absent'}", streaming]
    async with Instances.open(settings(tmp_path), addresses) as asked:
        errors = [answer.error for answer in await asked.get("/hang")]
    assert "no program listens there" in errors[0]
    assert "did not answer" in errors[1]
    assert "no program listens there" in errors[2]
    assert "JSON" in errors[3]


async def test_streams_of_all_instances_are_read_at_once(tmp_path: Path, streaming: str) -> None:
    """One that is away ends by itself, and the others go on."""
    ends: list[Answer] = []
    async with Instances.open(settings(tmp_path), [streaming, "http://127.0.0.1:1"]) as asked:
        lines = [line async for line in asked.stream("/tap", {"count": 3}, on_end=ends.append)]
        assert lines == [(streaming, {"number": number}) for number in range(3)]
        assert {(end.instance, bool(end.error)) for end in ends} == {(streaming, False), ("http://127.0.0.1:1", True)}

        async with asyncio.timeout(20), aclosing(asked.stream("/tap", {"count": 100_000})) as endless:
            async for _ in endless:  # and whoever has seen enough leaves, even with lines that nobody reads
                break


async def test_a_stream_that_falls_silent_ends(tmp_path: Path, streaming: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance whose machine is gone closes no connection."""
    monkeypatch.setattr(instances, "SILENT_SECONDS", 0.05)
    ends: list[Answer] = []
    async with Instances.open(settings(tmp_path), [streaming]) as asked:
        lines = [line async for line in asked.stream("/tap", {"count": 2, "hang": 1}, on_end=ends.append)]
    assert len(lines) == 2
    assert "did not answer" in ends[0].error


@pytest.fixture
async def hanging() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in held:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def streaming() -> AsyncIterator[str]:
    """The address of a server with a stream of lines."""

    async def tap(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(int(request.query["count"])):
            await response.write(b'{"number": %d}\n\n' % number)
        if "hang" in request.query:
            await asyncio.Event().wait()
        return response

    async def text(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    application = web.Application()
    application.router.add_get("/tap", tap)
    application.router.add_get("/hang", text)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
