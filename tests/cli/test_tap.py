"""The command line of ``streamer tap``; `tests/tapping` tries what an instance answers."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.__main__ import _parser, main
from streamer.access import Access
from streamer.cli import tap
from streamer.core.delivery.answers import answer_of_status
from streamer.server import Server
from streamer.settings import Settings, load
from streamer.tapping import Taps, route
from streamer.tapping.route import TapRoute
from tests.core.tapping.calls import call, opened
from tests.page.serving import Loopback
from tests.page.stories import well

NOBODY = "http://127.0.0.1:9"
LINE: dict[str, Any] = {
    "time": "2026-02-02T02:40:00.123Z",
    "integration": "sprig",
    "destination": "production",
    "status": 503,
    "result": "retried",
    "duration_seconds": 1.234,
    "batch_calls": 25,
    "topic": "surveys",
    "partition": 3,
    "offset": 17,
    "messageId": "evt_7",
    "attempt": 2,
    "type": "track",
    "event": "Survey Answered",
    "call": {"userId": "string(6)"},
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log lines of the instance would stand between those of the command."""
    with capture_logs():
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f"kafka: {{bootstrap_servers: '127.0.0.1:9'}}\nstate_dir: {tmp_path / 'state'}\n"
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "integrations: {sprig: {dialect: sprig, topics: [answers], destination: local}}\n"
    )
    return path


def asked(config: Path, *options: str) -> tuple[Settings, argparse.Namespace]:
    return load(config), _parser().parse_args(["tap", "--config", str(config), *options])


@asynccontextmanager
async def instance() -> AsyncIterator[str]:
    """The address of a running one, from which calls leave all the time."""
    taps = Taps()
    access = Access(host="127.0.0.1")
    server = Server(Loopback(), well(), access, more=[TapRoute(taps, access.may_see_values)])
    await server.start()

    async def pass_calls() -> None:
        answer = answer_of_status(200, None)
        while True:
            await asyncio.sleep(0.01)
            calls = opened([call(number) for number in range(3)])
            taps.show(calls, answer, integration="sprig", destination="local", result="delivered", began=0.0)

    passing = asyncio.create_task(pass_calls())
    yield f"http://127.0.0.1:{server.port}"
    passing.cancel()
    await server.stop()


@pytest.mark.parametrize(
    "arguments",
    [["--where", "event"], ["--rate", "0/s"], ["--rate", "1001/s"], ["--limit", "0"], ["--output", "table"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tap", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_an_integration_that_does_not_exist_is_wrong_usage(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tap", "--config", str(config), "--integration", "sprog"]) == 2
    assert "has no integration sprog; it has sprig" in capsys.readouterr().err


async def test_on_a_pipe_each_call_is_a_line_of_json_with_its_instance(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with instance() as address, asyncio.timeout(20):
        options = ["--instance", address, "--where", "event=Survey*", "--integration", "sprig", "--limit", "2"]
        assert await tap._tap(*asked(config, *options)) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["instance"], line["event"]) for line in lines] == [(address, "Survey Answered")] * 2
    assert lines[0]["call"]["userId"] == "string(6)"


async def test_an_instance_that_does_not_answer_is_named_and_the_others_are_shown(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with instance() as address, asyncio.timeout(20):
        options = ["--instance", address, "--instance", NOBODY, "--limit", "20", "-o", "text"]
        assert await tap._tap(*asked(config, *options)) == 0
    told = capsys.readouterr()
    assert f"streamer: {NOBODY}: no program listens there" in told.err
    assert len(told.out.splitlines()) == 20


async def test_no_answer_at_all_is_69(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await tap._tap(*asked(config, "--instance", NOBODY)) == 69
    assert capsys.readouterr().out == ""


async def test_why_an_instance_refuses_is_told_in_its_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with instance() as address:
        assert await tap._tap(*asked(config, "--instance", address, "--values")) == 69
    assert "answered with status 403: Values of calls" in capsys.readouterr().err


async def test_a_tap_that_an_instance_ends_ends_the_command(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MAX_TAP_SECONDS", 0.0)
    async with instance() as address, asyncio.timeout(20):
        assert await tap._tap(*asked(config, "--instance", address)) == 0
    assert "the instance ended the tap" in capsys.readouterr().err


def test_what_was_not_shown_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    notes = tap._Notes()
    for lost, skipped in ((0, 0), (5, 0), (5, 0), (7, 1_000)):
        notes.tally("web-7", {"passed": 9_000, "shown": 10, "lost": lost, "skipped": skipped})
    assert [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "streamer: web-7: 5 lines were lost",
        "streamer: web-7: 2 lines were lost",
        "streamer: web-7: 1",
    ]


def test_a_line_for_people() -> None:
    assert tap.text_of(LINE, has_color=False) == (
        "02:40:00.123  sprig -> production  503 retried in 1,234 ms, attempt 2  track Survey Answered  evt_7"
        '  surveys:3:17  {"userId": "string(6)"}'
    )
    assert "\x1b[31m503 retried\x1b[0m" in tap.text_of(LINE, has_color=True)


def test_a_text_from_outside_does_not_steer_the_terminal() -> None:
    hostile = "\x1b[2J\x9b2J\u202e\n"
    line = LINE | {"event": hostile, "messageId": hostile, "call": {hostile: hostile}}
    assert tap.text_of(line, has_color=False).isprintable()
