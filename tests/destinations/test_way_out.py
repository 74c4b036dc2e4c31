"""Requests go through the proxy that is configured, and trust the authorities that are."""

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import trustme

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault
from streamer.core.errors import UnavailableError
from streamer.destinations.segment import SegmentClient
from streamer.destinations.way_out import proxy_for
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import DestinationSettings

CALL = orjson.dumps({"type": "track", "event": "Seen", "userId": "user_1", "messageId": "evt_1"})
WRITE_KEY = "streamer_test_write_key_000000001"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Proxy:
    """An HTTP proxy: tunnels for ``CONNECT``, and requests with a whole URL; it sends both to one place."""

    def __init__(self, target: str, refusal: bytes = b"") -> None:
        self.heads: list[str] = []
        """What it was asked."""
        self.url = ""
        self._target = target.rpartition("/")[2]
        self._refusal = refusal

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.url = "http://{}:{}".format(*server.sockets[0].getsockname())
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        if self._refusal:
            writer.write(self._refusal)
            writer.close()
            return
        host, _, port = self._target.rpartition(":")
        upstream, to_upstream = await asyncio.open_connection(host, int(port))
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            method, url, rest = head.split(b" ", 2)
            to_upstream.write(b" ".join([method, b"/" + url.split(b"/", 3)[3], rest]))
        await asyncio.gather(_copy(reader, to_upstream), _copy(upstream, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
    writer.close()


async def send(url: str, times: int = 1, **settings: object) -> list[Answer]:
    client = SegmentClient(
        DestinationSettings.model_validate({"write_key": WRITE_KEY, "endpoint": url, "timeout": 5} | settings)
    )
    try:
        return [(await client.send([CALL], resend_count=0)).answer for _ in range(times)]
    finally:
        await client.close()


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextlib.asynccontextmanager
async def tls_server(directory: Path, host: str) -> AsyncIterator[tuple[str, Path]]:
    """Answers each request with 200; yields its address and a file with the authority that signed its certificate."""
    context, authority = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), trustme.CA()
    authority.issue_cert(host).configure_cert(context)
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            while await reader.readuntil(b"]}"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield "{}:{}".format(*server.sockets[0].getsockname()), directory / "ca.pem"


async def test_a_configured_proxy_carries_plain_requests(sandbox: Sandbox) -> None:
    async with Proxy(sandbox.url).running() as proxy:
        (answer,) = await send("http://segment.invalid", proxy=proxy.url)
    assert answer.kind is AnswerKind.ACCEPTED
    assert proxy.heads[0].startswith("POST http://segment.invalid/v1/batch ")
    assert sandbox.record.count("evt_1") == 1


async def test_a_configured_proxy_carries_tls_in_a_tunnel(tmp_path: Path) -> None:
    """The proxy learns the host, and neither write key nor events. The tunnel is kept for the next request."""
    async with tls_server(tmp_path, "segment.invalid") as (place, ca_file), Proxy(place).running() as proxy:
        answers = await send("https://segment.invalid", times=3, proxy=proxy.url, ca_file=ca_file)
    assert {answer.kind for answer in answers} == {AnswerKind.ACCEPTED}
    (head,) = proxy.heads
    assert head.startswith("CONNECT segment.invalid:443 ")
    assert "uthorization" not in head


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_user_and_password_go_to_the_proxy_alone(tmp_path: Path, sandbox: Sandbox, scheme: str) -> None:
    async with tls_server(tmp_path, "segment.invalid") as (place, ca_file):
        target = place if scheme == "https" else sandbox.url
        async with Proxy(target).running() as proxy:
            with_login = proxy.url.replace("//", "//user:pass@")
            (answer,) = await send(f"{scheme}://segment.invalid", proxy=with_login, ca_file=ca_file)
    assert answer.kind is AnswerKind.ACCEPTED
    assert f"Proxy-Authorization: Basic {b64encode(b'user:pass').decode()}" in proxy.heads[0]


@pytest.mark.parametrize("status", [403, 407])
async def test_a_proxy_that_refuses_is_a_wrong_set_up(status: int) -> None:
    refusal = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    async with Proxy("", refusal).running() as proxy:
        (answer,) = await send("https://segment.invalid", proxy=proxy.url)
    assert (answer.kind, answer.error) == (AnswerKind.SET_UP, NetworkFault.PROXY_REFUSED)


async def test_a_proxy_that_cannot_reach_the_host_is_unhappy() -> None:
    async with Proxy("", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").running() as proxy:
        (answer,) = await send("https://segment.invalid", proxy=proxy.url)
    assert (answer.kind, answer.error) == (AnswerKind.UNHAPPY, NetworkFault.OTHER)


async def test_a_proxy_that_does_not_listen_is_unhappy() -> None:
    async with Proxy("").running() as proxy:
        pass
    (answer,) = await send("https://segment.invalid", proxy=proxy.url)
    assert (answer.kind, answer.error) == (AnswerKind.UNHAPPY, NetworkFault.REFUSED)


async def test_the_variables_name_a_proxy(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    async with Proxy(sandbox.url).running() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        (answer,) = await send("http://segment.invalid")
        assert answer.kind is AnswerKind.ACCEPTED
        assert len(proxy.heads) == 1
        assert (await send(sandbox.url))[0].kind is AnswerKind.ACCEPTED
        assert len(proxy.heads) == 1, "this machine is reached without it"


@pytest.mark.parametrize(
    ("variables", "url", "setting", "proxy"),
    [
        ({}, "https://api.segment.io/v1", None, None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.segment.io/v1", None, "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://api.segment.io/v1", None, "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://api.segment.io/v1", None, "http://p:1"),
        ({"HTTPS_PROXY": "http://u:p@p:1\n"}, "https://api.segment.io/v1", None, "http://u:p@p:1"),
        ({"HTTPS_PROXY": "\n"}, "https://api.segment.io/v1", None, None),
        ({"ALL_PROXY": "http://p:1"}, "https://api.segment.io/v1", None, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://api.segment.io/v1", None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "segment.io"}, "https://api.segment.io/v1", None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".segment.io"}, "https://api.segment.io/v1", None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.segment.io/v1", None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "https://api.segment.io/v1", None, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.segment.io/v1", "http://q:2", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.segment.io/v1", "", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:8090/v1", None, None),
        ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:8090/v1", None, None),
        ({"HTTP_PROXY": ""}, "http://api.segment.io/v1", None, None),
    ],
)
def test_the_setting_wins_over_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, setting: str | None, proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url, setting) == proxy


def test_a_variable_with_another_kind_of_proxy_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@p:1")
    with pytest.raises(UnavailableError, match=r"^the variable ALL_PROXY names") as caught:
        proxy_for("https://api.segment.io/v1")
    assert "secret" not in str(caught.value)


async def test_only_the_authorities_of_the_file_count(tmp_path: Path) -> None:
    async with tls_server(tmp_path, "127.0.0.1") as (place, ca_file):
        (trusted,) = await send(f"https://{place}", ca_file=ca_file)
        (unknown,) = await send(f"https://{place}")
    assert trusted.kind is AnswerKind.ACCEPTED
    assert unknown.error == NetworkFault.TLS_VERIFICATION


async def test_a_file_that_is_corrected_counts_for_new_connections(tmp_path: Path) -> None:
    """A destination is held for its certificate; whoever corrects the file need not restart streamer."""
    used = tmp_path / "used.pem"
    trustme.CA().cert_pem.write_to_path(str(used))
    async with tls_server(tmp_path, "127.0.0.1") as (place, right):
        client = SegmentClient(
            DestinationSettings.model_validate({"write_key": "k", "endpoint": f"https://{place}", "ca_file": used})
        )
        assert (await client.send([CALL], resend_count=0)).answer.error == NetworkFault.TLS_VERIFICATION
        for content, kind in (("", AnswerKind.SET_UP), (right.read_text(), AnswerKind.ACCEPTED)):
            used.write_text(content)
            client.renew_connections()
            assert (await client.send([CALL], resend_count=0)).answer.kind is kind
        await client.close()


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_is_named_at_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UnavailableError, match=f"ca_file {file} cannot be read"):
        SegmentClient(DestinationSettings.model_validate({"write_key": "k", "ca_file": file}))
