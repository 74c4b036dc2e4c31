"""``streamer webhook send`` against a listener, with signatures that are checked by the listener alone."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamer.__main__ import main
from tests.inbound.conftest import SECRET, Webhooks, listening
from tests.inbound.test_listener import BODIES, call

TOKEN = "t0ken"


async def send(webhooks: Webhooks, tmp_path: Path, *options: str, secret: str = SECRET) -> int:
    """Run the command in a thread; returns its exit code."""
    (tmp_path / "secret").write_text(secret + "\n")
    url = f"{webhooks.url}/webhooks/segment/production"
    argv = ["webhook", "send", *options, "--to", url, "--secret-file", str(tmp_path / "secret")]
    return await asyncio.to_thread(main, argv)


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    async with listening() as listener:
        yield listener


@pytest.fixture
def lines(tmp_path: Path) -> str:
    """A file with three calls."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(call(number) + b"\n" for number in range(3)))
    return str(path)


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, without our log."""
    return [line for line in capsys.readouterr().out.splitlines() if line[:1].isdigit() and "[" not in line]


async def test_each_line_is_a_request(
    webhooks: Webhooks, tmp_path: Path, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await send(webhooks, tmp_path, lines) == 0
    assert told(capsys) == ['200 {"accepted":1}'] * 3
    assert [record.value for record in webhooks.records()] == [call(number) for number in range(3)]
    assert webhooks.listener.counts.calls == {("production", True): 3}


@pytest.mark.parametrize("options", [("--batch", "2"), ("--batch", "2", "--gzip")])
async def test_batches_are_signed_over_the_first_call(
    webhooks: Webhooks, tmp_path: Path, lines: str, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert await send(webhooks, tmp_path, lines, *options) == 0
    assert told(capsys) == ['200 {"accepted":2}', '200 {"accepted":1}']
    assert webhooks.listener.counts.calls == {("production", True): 2, ("production", False): 1}


async def test_wrapped_batches_are_signed_inside_the_wrapper(webhooks: Webhooks, tmp_path: Path, lines: str) -> None:
    assert await send(webhooks, tmp_path, lines, "--wrapped") == 0
    assert [record.value for record in webhooks.records()] == [b'{"json":%b}' % call(number) for number in range(3)]


async def test_a_body_is_sent_as_it_is(webhooks: Webhooks, tmp_path: Path) -> None:
    for body in BODIES:
        assert await send(webhooks, tmp_path, str(body)) == 0
    assert len(webhooks.records()) == 29


async def test_a_token_is_sent_along(tmp_path: Path, lines: str) -> None:
    (tmp_path / "token").write_text(TOKEN)
    async with listening({"secrets": [SECRET], "bearer_token": TOKEN}) as webhooks:
        assert await send(webhooks, tmp_path, lines) == 1
        assert await send(webhooks, tmp_path, lines, "--bearer-token-file", str(tmp_path / "token")) == 0


async def test_a_refused_request_is_told(
    webhooks: Webhooks, tmp_path: Path, lines: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await send(webhooks, tmp_path, lines, "--batch", "9", secret="wrong") == 1
    [line] = told(capsys)
    assert line.startswith("401 ")
    assert list(json.loads(line[4:])) == ["message"]


async def test_standard_input_is_read(webhooks: Webhooks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(call(7))))
    assert await send(webhooks, tmp_path, "-") == 0
    assert webhooks.records()[0].value == call(7)


def test_nobody_listens(tmp_path: Path, lines: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with free_port() as port:
        url = f"http://user:pa55@127.0.0.1:{port}/webhooks/segment/production"
        assert main(["webhook", "send", lines, "--to", url, "--secret-file", str(tmp_path / "secret")]) == 69
    error = capsys.readouterr().err
    assert "no answer from http://127.0.0.1" in error
    assert "pa55" not in error


@contextmanager
def free_port() -> Iterator[int]:
    """A port on which nobody listens, and that nobody else takes meanwhile."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_files_that_cannot_be_read(tmp_path: Path, lines: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    to = ("--to", "http://127.0.0.1:1/webhooks/segment/production")
    assert main(["webhook", "send", lines, *to, "--secret-file", str(tmp_path / "missing")]) == 69
    assert main(["webhook", "send", "missing", *to, "--secret-file", str(tmp_path / "secret")]) == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8081", "ftp://x/y", "http://", "http://x:port/"])
def test_what_is_no_url(lines: str, url: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["webhook", "send", lines, "--to", url, "--secret-file", "secret"])
    assert ended.value.code == 2
