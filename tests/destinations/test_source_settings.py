"""What the settings endpoint of Segment says about a write key: the sandbox's, and others that answer otherwise."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.core.delivery.key_watch import KeyFinding
from streamer.core.errors import UnavailableError
from streamer.destinations.http import MAX_DOCUMENT_BYTES
from streamer.destinations.segment import SegmentClient
from streamer.destinations.source_settings import KeyAnswer, ask_about_key
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import DestinationSettings

KEY = "streamer_test_write_key_000000001"
EU = b'{"integrations": {"Segment.io": {"apiHost": "events.eu1.segmentapis.com/v1"}}}'
US = EU.replace(b"events.eu1.segmentapis.com", b"api.segment.io")
KNOWN = KeyAnswer(KeyFinding.KNOWN)


class Endpoint:
    """A settings endpoint that answers as a test wants."""

    def __init__(self) -> None:
        self.body = b"{}"
        self.status = 200
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.paths: list[str] = []
        self.hangs = False
        self.asked_for = ""
        self.url = ""

    async def respond(self, request: web.Request) -> web.Response:
        self.paths.append(request.raw_path)
        self.asked_for = request.headers["Accept-Encoding"]
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_get("/{path:.*}", endpoint.respond)
    async with TestServer(app) as server:
        endpoint.url = str(server.make_url("")).rstrip("/")
        yield endpoint


async def ask(url: str, key: str = KEY, timeout_seconds: float = 10.0, **settings: object) -> KeyAnswer:
    document = {"write_key": key, "settings_endpoint": url, **settings}
    return await ask_about_key(DestinationSettings.model_validate(document), key, timeout_seconds=timeout_seconds)


async def test_a_key_that_a_source_has_is_known_and_another_one_is_not() -> None:
    sandbox = Sandbox(known_keys=[KEY])
    await sandbox.start()
    try:
        assert await ask(sandbox.url) == KNOWN
        assert await ask(sandbox.url, "k" * 32) == KeyAnswer(KeyFinding.UNKNOWN)
    finally:
        await sandbox.stop()


async def test_the_key_of_a_source_in_the_eu_is_not_for_the_us() -> None:
    """The default of ``region`` is us, and Segment answers 200 there to events that it then drops."""
    sandbox = Sandbox(region="eu")
    await sandbox.start()
    try:
        assert await ask(sandbox.url, region="us") == KeyAnswer(KeyFinding.WRONG_REGION)
        assert await ask(sandbox.url, region="eu") == KNOWN
        assert await ask(sandbox.url, endpoint=sandbox.url) == KNOWN, "where an endpoint sends them is not known"
    finally:
        await sandbox.stop()


@pytest.mark.parametrize(
    "document",
    [
        US,
        b"",
        b"no JSON",
        b"[]",
        b'{"integrations": []}',
        b'{"integrations": {"Segment.io": null}}',
        b'{"integrations": {"Segment.io": {"apiHost": 1}}}',
        b'{"integrations": {"Segment.io": {"apiHost": "events.eu1.segmentapis.com.example/v1"}}}',
        EU[:-1],
    ],
)
async def test_settings_that_do_not_name_the_host_in_the_eu_are_no_reason_to_stop(
    endpoint: Endpoint, document: bytes
) -> None:
    """Nor are those that name the host in the US, whatever the region: it is the default of everything at Segment."""
    endpoint.body = document
    assert await ask(endpoint.url) == KNOWN
    assert await ask(endpoint.url, region="eu") == KNOWN


async def test_only_so_much_of_the_settings_is_read(endpoint: Endpoint) -> None:
    endpoint.body = EU + b" " * (MAX_DOCUMENT_BYTES - len(EU))
    assert await ask(endpoint.url) == KeyAnswer(KeyFinding.WRONG_REGION)
    endpoint.body = b" " * (4 * MAX_DOCUMENT_BYTES) + EU
    assert await ask(endpoint.url) == KNOWN


async def test_compressed_settings_are_not_unpacked(endpoint: Endpoint) -> None:
    """A megabyte of them could be a gigabyte."""
    endpoint.body = gzip.compress(EU)
    endpoint.headers |= {"Content-Encoding": "gzip"}
    assert await ask(endpoint.url) == KNOWN
    assert endpoint.asked_for == "identity"


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 407, 429, 500, 503])
async def test_any_other_status_says_nothing(endpoint: Endpoint, status: int) -> None:
    """Only 404 is what Segment answers to a key that it does not know."""
    endpoint.status = status
    endpoint.headers |= {"Location": f"{endpoint.url}/elsewhere"}
    assert await ask(endpoint.url) == KeyAnswer(KeyFinding.UNCLEAR, str(status))
    assert len(endpoint.paths) == 1


async def test_a_web_page_says_nothing(endpoint: Endpoint) -> None:
    """A login page of the network answers 200 to anything."""
    endpoint.headers = {"Content-Type": "text/html"}
    assert await ask(endpoint.url) == KeyAnswer(KeyFinding.UNCLEAR, "web_page")


async def test_no_answer_says_nothing(endpoint: Endpoint) -> None:
    endpoint.hangs = True
    assert await ask(endpoint.url, timeout_seconds=0.05) == KeyAnswer(KeyFinding.UNCLEAR, "timeout")
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await ask(f"http://127.0.0.1:{port}") == KeyAnswer(KeyFinding.UNCLEAR, "connection_reset")
    assert await ask(f"http://127.0.0.1:{port}") == KeyAnswer(KeyFinding.UNCLEAR, "connection_refused")


async def test_a_key_is_one_part_of_the_path_whatever_it_holds(endpoint: Endpoint) -> None:
    """Any printable text may be a key, as the configuration has it."""
    await ask(endpoint.url, "a/../b?c#d%e")
    assert endpoint.paths == ["/v1/projects/a%2F..%2Fb%3Fc%23d%25e/settings"]


async def test_it_goes_through_the_proxy_of_the_destination(endpoint: Endpoint) -> None:
    """The host does not exist for this machine."""
    assert await ask("http://segment.invalid", proxy=endpoint.url) == KNOWN
    assert endpoint.paths == [f"http://segment.invalid/v1/projects/{KEY}/settings"]


async def test_it_trusts_the_authorities_of_the_destination(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_get("/{path:.*}", endpoint.respond)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    async with server:
        url = str(server.make_url("")).rstrip("/")
        assert await ask(url, ca_file=str(tmp_path / "ca.pem")) == KNOWN
        assert await ask(url) == KeyAnswer(KeyFinding.UNCLEAR, "tls_verification")
    with pytest.raises(UnavailableError, match=r"ca_file .* cannot be read"):
        await ask(url, ca_file=str(tmp_path / "missing.pem"))


async def test_the_client_asks_about_the_key_that_it_uses(tmp_path: Path, endpoint: Endpoint) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("former_key\n")
    client = SegmentClient(
        DestinationSettings.model_validate({"write_key_file": key_file, "settings_endpoint": endpoint.url})
    )
    await client.ask_about_key(10.0)
    key_file.write_text("present_key\n")
    await client.ask_about_key(10.0)
    client.reread_credentials()
    await client.ask_about_key(10.0)
    await client.close()
    assert [path.split("/")[3] for path in endpoint.paths] == ["former_key", "former_key", "present_key"]
