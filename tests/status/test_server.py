"""The HTTP server: what an orchestrator, a scraper and a person get, over a real socket."""

import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import pytest
from structlog.testing import capture_logs

from streamer.core.errors import UnavailableError
from streamer.server import Server
from streamer.status import Check, ServiceStatus


class ToldService(Protocol):
    told: ServiceStatus
    checks: dict[str, list[Check]]

    def status(self) -> ServiceStatus: ...
    def live(self) -> list[Check]: ...
    def ready(self) -> list[Check]: ...
    def started(self) -> list[Check]: ...


@dataclass(frozen=True)
class Loopback:
    host: str = "127.0.0.1"
    port: int = 0


HELD = Check("destination production", ok=True, detail="held since 12:00, 401")
AWAY = Check("kafka", ok=False, detail="no broker answers")
FINE = Check("config", ok=True)


@pytest.fixture
async def client(service: ToldService) -> AsyncIterator[aiohttp.ClientSession]:
    server = Server(Loopback(), service)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session
    await server.stop()


async def get(client: aiohttp.ClientSession, path: str, accept: str = "*/*") -> tuple[int, str]:
    async with client.get(path, headers={"Accept": accept}) as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("path", "checks", "answer"),
    [
        ("/readyz", [FINE], (200, "ok\n")),
        ("/readyz", [], (200, "ok\n")),
        ("/readyz", [FINE, HELD], (200, "ok, degraded\n")),
        (
            "/readyz?verbose",
            [FINE, HELD],
            (
                200,
                "[+]config ok\n[+]destination production degraded: held since 12:00, 401\nreadyz check passed\n",
            ),
        ),
        ("/readyz", [FINE, AWAY], (503, "[+]config ok\n[-]kafka failed: no broker answers\nreadyz check failed\n")),
        ("/readyz?exclude=kafka", [FINE, AWAY], (200, "ok\n")),
        ("/readyz/config", [FINE, AWAY], (200, "ok\n")),
        ("/readyz/kafka", [FINE, AWAY], (503, "[-]kafka failed: no broker answers\nreadyz check failed\n")),
        ("/readyz/unknown", [FINE], (404, "/readyz has no check with this name\n")),
    ],
)
async def test_a_probe_in_words(
    client: aiohttp.ClientSession, service: ToldService, path: str, checks: list[Check], answer: tuple[int, str]
) -> None:
    service.checks["ready"] = checks
    assert await get(client, path) == answer


async def test_a_probe_in_json(client: aiohttp.ClientSession, service: ToldService) -> None:
    service.checks["ready"] = [FINE, HELD, AWAY]
    async with client.get("/readyz", headers={"Accept": "application/json"}) as response:
        assert response.status == 503
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.json() == {
            "status": "fail",
            "degraded": True,
            "checks": {
                "config": {"status": "ok"},
                "destination production": {"status": "degraded", "detail": "held since 12:00, 401"},
                "kafka": {"status": "fail", "detail": "no broker answers"},
            },
        }


async def test_each_probe_asks_its_own_checks(client: aiohttp.ClientSession, service: ToldService) -> None:
    """Liveness must never depend on Kafka: a restart would not cure it, and would cost a rebalance."""
    service.checks.update(live=[FINE], ready=[AWAY], started=[FINE])
    assert [(await get(client, path))[0] for path in ("/livez", "/readyz", "/startupz")] == [200, 503, 200]


async def test_the_version_says_what_runs(client: aiohttp.ClientSession) -> None:
    async with client.get("/version") as response:
        assert await response.json() == {
            "version": "1.2.3",
            "commit": "abc",
            "python": "3.11.7",
            "config_sha256": "0123abcd",
            "mapping_version": "1",
        }


async def test_the_status_has_the_account_and_why_a_destination_is_held(client: aiohttp.ClientSession) -> None:
    async with client.get("/status") as response:
        status = await response.json()
    assert status["unaccounted"] == 0
    integration = status["integrations"]["sprig"]
    assert (integration["state"], integration["lag"]) == ("running", 120)
    assert integration["limited_by"] == "destination"
    assert integration["account"] == {
        "consumed": 100,
        "delivered": 80,
        "duplicate": 3,
        "filtered": {"test_event": 4},
        "dead_lettered": {"schema_invalid": 1},
        "handed_back": 2,
        "in_flight": 10,
        "known_settled": 5,
        "unaccounted": 0,
        "lost": {"retention": 7},
    }
    ours, former, left_out = integration["partitions"]
    assert left_out["left_out"] == {"reason": "no_leader", "detail": "no broker leads the partition", "since": None}
    assert ours["left_out"] is None
    assert (ours["position"], ours["committed"], ours["high_watermark"], ours["lag"]) == (190, 180, 300, 120)
    assert (former["assigned"], former["account"]["consumed"]) == (False, 0)
    destination = status["destinations"]["production"]
    assert (destination["state"], destination["reason"]) == ("held", "401")
    assert destination["next_step"] == "Check the write key."
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", destination["since"])
    assert [fault["event_name"] for fault in status["last_faults"]] == ["destination.held", "batch.retrying"]


async def test_the_status_begins_with_what_a_person_needs(client: aiohttp.ClientSession) -> None:
    async with client.get("/status") as response:
        text = await response.text()
        status = await response.json()
    assert text.startswith('{\n  "verdict": {\n    "level": "act",\n    "headline": "sprig: '), "people read it"
    assert [problem["subject"] for problem in status["verdict"]["problems"]][:1] == ["sprig"]
    assert status["verdict"]["problems"][0].keys() == {
        "level",
        "subject",
        "what",
        "data",
        "data_at_risk",
        "next_step",
    }
    assert status["instance"] == "web-7, process 4711"
    integration = status["integrations"]["sprig"]
    assert integration["state_since"].startswith("2023-11-14T22:03:20")
    assert integration["members"][0] == {
        "client_id": "streamer-web-7",
        "host": "10.0.0.7",
        "partitions": 2,
        "is_this": True,
    }
    newest, oldest = integration["recent_dead_letters"]
    assert (newest["reason"], newest["message_id"]) == ("decode_error", None)
    assert oldest == {
        "at": "2023-11-14T22:12:50.000Z",
        "topic": "surveys",
        "partition": 0,
        "offset": 17,
        "reason": "schema_invalid",
        "detail": "survey: missing",
        "message_id": "m-1",
    }
    destination = status["destinations"]["production"]
    assert destination["next_probe_at"] > destination["since"]


async def test_metrics_are_served_in_the_form_asked_for(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await response.text()).endswith("# EOF\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_changed(client: aiohttp.ClientSession, method: str) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/metrics", "/version", "/status"):
        async with client.request(method, path) as response:
            assert response.status == 405


async def test_a_port_in_use_is_said_with_what_to_do(service: ToldService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UnavailableError, match=rf"cannot listen on 127\.0\.0\.1:{port} .* set server\.host and server\.port"
        ):
            await Server(Loopback(port=port), service).start()


async def test_the_port_that_was_found_is_logged(service: ToldService) -> None:
    server = Server(Loopback(), service)
    with capture_logs() as captured:
        await server.start()
    await server.stop()
    assert captured == [{"event": "server.listening", "log_level": "info", "host": "127.0.0.1", "port": server.port}]
    assert server.port != 0


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def answers_at(host: str, port: int) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/version") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["", "::"])
async def test_ipv4_and_ipv6_are_served_at_once_on_one_port(service: ToldService, host: str) -> None:
    """With port 0 too: the log shows one port."""
    server = Server(Loopback(host), service)
    await server.start()
    try:
        assert [await answers_at(name, server.port) for name in ("127.0.0.1", "[::1]")] == [True, True]
    finally:
        await server.stop()
    assert not await answers_at("127.0.0.1", server.port)


@pytest.mark.parametrize("host", ["", "::"])
async def test_a_machine_without_ipv6_serves_ipv4(
    service: ToldService, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    server = Server(Loopback(host), service)
    await server.start()
    try:
        assert await answers_at("127.0.0.1", server.port)
    finally:
        await server.stop()


@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "[::1]"), ("::1", "127.0.0.1")])
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_one_address_serves_its_own_kind_only(service: ToldService, host: str, other: str) -> None:
    server = Server(Loopback(host), service)
    await server.start()
    try:
        assert not await answers_at(other, server.port)
    finally:
        await server.stop()


async def test_a_port_that_is_taken_on_all_addresses_is_named(service: ToldService) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        taken.listen()
        with pytest.raises(UnavailableError, match=f"cannot listen on :{taken.getsockname()[1]} "):
            await Server(Loopback("", taken.getsockname()[1]), service).start()
