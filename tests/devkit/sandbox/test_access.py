"""Who may use the page and the endpoints under ``/_sandbox/``."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import ClientResponse

from streamer.devkit.sandbox.access import refusal
from streamer.devkit.sandbox.server import Sandbox

Ask = Callable[..., Coroutine[Any, Any, ClientResponse]]
HERE = "127.0.0.1:8090"


def refused(method: str, *, allow_remote: bool = False, **headers: str) -> bool:
    given = {"Host": HERE} | {name.replace("_", "-"): value for name, value in headers.items()}
    return bool(refusal(method, given.get, allow_remote=allow_remote))


@pytest.mark.parametrize("host", [HERE, "127.0.0.1", "localhost:8090", "[::1]:8090", "127.9.9.9:1"])
def test_the_machine_itself_may_do_everything(host: str) -> None:
    assert not refused("GET", Host=host)
    assert not refused("POST", Host=host)
    assert not refused("POST", Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")
    assert not refused("DELETE", Host=host, Sec_Fetch_Site="none")


@pytest.mark.parametrize("host", ["evil.example:8090", "", "localhost.evil.example", "[evil", "127.0.0.1.evil.example"])
def test_a_name_that_points_here_does_not_open_it(host: str) -> None:
    """An attacker's name server may give this machine's address; the browser then takes the page for the attacker's."""
    assert refused("GET", Host=host)
    assert refused("POST", Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")
    assert not refused("GET", Host=host, allow_remote=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8090"},  # another name of this machine is another site
        {"Origin": f"http://{HERE}1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("allow_remote", [False, True])
def test_a_page_of_another_site_changes_nothing(headers: dict[str, str], *, allow_remote: bool) -> None:
    assert not refused("GET", allow_remote=allow_remote, **headers)
    for method in ("POST", "PUT", "DELETE"):
        assert refused(method, allow_remote=allow_remote, **headers)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_sandbox/faults"),
        ("PUT", "/_sandbox/faults"),
        ("DELETE", "/_sandbox/faults"),
        ("POST", "/_sandbox/faults/play"),
        ("POST", "/_sandbox/faults/end"),
        ("POST", "/_sandbox/reset"),
        ("POST", "/_sandbox/sources"),
    ],
)
async def test_every_endpoint_that_changes_something_is_guarded(
    sandbox: Sandbox, ask: Ask, method: str, path: str
) -> None:
    answer = await ask(method, sandbox.url + path, {}, headers={"Origin": "https://evil.example"})
    assert answer.status == 403
    assert "another site" in await answer.text()


@pytest.mark.parametrize("path", ["/", "/_sandbox/calls", "/_sandbox/platforms", "/_sandbox/page/events"])
async def test_every_endpoint_that_shows_something_is_guarded(sandbox: Sandbox, ask: Ask, path: str) -> None:
    assert (await ask("GET", sandbox.url + path, headers={"Host": "evil.example"})).status == 403


@pytest.mark.parametrize("path", ["/_sandbox/faults/play", "/_sandbox/faults/end", "/_sandbox/sources"])
async def test_the_pages_endpoints_take_json_only(sandbox: Sandbox, ask: Ask, path: str) -> None:
    """A form of another site cannot send it, whatever its browser leaves out."""
    assert (await ask("POST", sandbox.url + path, {}, headers={"Content-Type": "text/plain"})).status == 415


async def test_calls_are_taken_from_anywhere(sandbox: Sandbox, ask: Ask) -> None:
    """Segment's own API has no such guard, and its senders may be behind a proxy with another name."""
    headers = {"Host": "api.segment.example", "Origin": "https://app.example", "Authorization": "Basic eHh4eHh4eHg6"}
    call = {"userId": "u", "event": "e"}
    assert (await ask("POST", f"{sandbox.url}/v1/track", call, headers=headers)).status == 200
