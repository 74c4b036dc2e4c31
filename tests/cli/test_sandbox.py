"""``streamer sandbox`` as a user starts and ends it."""

import argparse
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from streamer.cli import sandbox
from streamer.devkit.sandbox.faults import Action, Fault, Match

COMMAND = """
import argparse, sys
from streamer.cli import sandbox
parser = argparse.ArgumentParser()
sandbox.add_parser(parser.add_subparsers())
args = parser.parse_args()
sys.exit(args.run(args))
"""
CALL = {"writeKey": "streamer_sandbox_key", "userId": "u", "event": "e", "messageId": "m-1"}


def parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sandbox.add_parser(parser.add_subparsers())
    return parser.parse_args(["sandbox", *options])


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it says it listens on."""
    command = [sys.executable, "-W", "error", "-c", COMMAND, "sandbox", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://\S+", process.stderr.readline())
            assert found
            yield process, found.group()
        finally:
            process.kill()


def post(url: str) -> int:
    """The status that a call gets."""
    request = urllib.request.Request(f"{url}/v1/track", orjson.dumps(CALL))
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_a_signal_and_ends_0(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with started("--record", str(path)) as (process, url):
        assert post(url) == 200
        os.kill(process.pid, number)
        assert process.wait(timeout=10) == 0
        assert process.stdout is not None
        assert not process.stdout.read()
    assert orjson.loads(path.read_bytes())["messageId"] == "m-1"


def test_options_become_faults() -> None:
    args = parse(
        "--latency",
        "20ms",
        "--status",
        "503",
        "--retry-after",
        "7",
        "--refuse-message-id",
        "a",
        "--refuse-message-id",
        "b",
    )
    assert sandbox._faults(args) == [
        Fault(action=Action(latency_seconds=0.02)),
        Fault(match=Match(message_ids=frozenset({"a", "b"})), action=Action(status=400)),
        Fault(action=Action(status=503, retry_after=7)),
    ]
    assert sandbox._faults(parse()) == []


def test_retry_after_may_be_a_date() -> None:
    date = "Wed, 04 Mar 2026 05:06:07 GMT"
    assert sandbox._faults(parse("--retry-after", date)) == [Fault(action=Action(retry_after=date))]


def test_faults_of_the_options_reach_the_sender() -> None:
    with started("--status", "503", "--retry-after", "7") as (_, url):
        assert post(url) == 503


def test_a_required_key_is_required() -> None:
    with started("--require-key", "another_write_key") as (_, url):
        assert post(url) == 401


def test_under_an_unknown_key_calls_are_taken_and_dropped_as_at_segment() -> None:
    with started("--know-key", "another_write_key") as (_, url):
        assert post(url) == 200
        with urllib.request.urlopen(f"{url}/_sandbox/record") as answer:
            assert orjson.loads(answer.read())["swallowed_by_code"] == {"unknown_write_key": 1}


def test_an_address_that_others_reach_ends_2_and_says_how_to_allow_it(capsys: pytest.CaptureFixture[str]) -> None:
    args = parse("--host", "0.0.0.0", "--port", "0")
    assert args.run(args) == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_a_header_that_would_break_ends_2(capsys: pytest.CaptureFixture[str]) -> None:
    args = parse("--retry-after", "1\r\nX: y")
    assert args.run(args) == 2
    assert "line break" in capsys.readouterr().err


def test_a_record_that_cannot_be_opened_ends_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = parse("--port", "0", "--record", str(tmp_path / "missing" / "calls.jsonl"))
    assert args.run(args) == 1
    assert "cannot start" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "70000"),
        ("--port", "x"),
        ("--status", "99"),
        ("--latency", "soon"),
        ("--max-ids", "0"),
        ("--dedup-window", ""),
    ],
)
def test_options_that_cannot_be_meant_end_2(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*options)
    assert ended.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    assert "streamer sandbox --port 8090" in help_text
    assert "debugger is at http://127.0.0.1:8090/" in help_text
