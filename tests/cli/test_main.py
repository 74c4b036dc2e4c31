"""The frame of the command line: help, exit codes, and what goes to which stream."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamer import __version__
from streamer.__main__ import main
from streamer.cli import version
from streamer.core.errors import SettingsError, UnavailableError

COMMANDS = (
    "run",
    "demo",
    "init",
    "check",
    "trace",
    "audit",
    "lag",
    "top",
    "tap",
    "pause",
    "resume",
    "replay",
    "dlq",
    "map",
    "test",
    "diff",
    "schema",
    "asyncapi",
    "send",
    "users",
    "webhook",
    "sandbox",
    "completion",
    "version",
)


def test_no_command_loads_the_mapping_or_a_client_before_it_is_needed() -> None:
    """Each start of any command would wait for it."""
    code = "import sys, streamer.__main__ as main; main._parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    slow = ("streamer.core.mapping", "streamer.settings", "streamer.kafka", "aiokafka", "aiohttp", "pydantic")
    assert [name for name in loaded if name.startswith(slow)] == []


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    listed = re.findall(r"^ {4}(\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert tuple(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(f"[Ee]xamples?: .*streamer {command}", text)


@pytest.mark.parametrize(
    "argv", [["nonsense"], ["check", "--nonsense"], ["demo", "--events", "0"], ["demo", "--events"]]
)
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: streamer")


def test_streamer_alone_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """For people. It counts as wrong usage, so that a script that has lost its argument does not seem to succeed."""
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out.startswith("usage: streamer")
    assert "commands:" in out
    assert err == ""


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"streamer {__version__}\n"


def test_the_version_command_tells_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"streamer {__version__}"
    assert {line.split()[0] for line in others} >= {"CPython", "aiokafka", "aiohttp", "lmdb"}


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SettingsError(["a: wrong", "b: wrong"]), 78, "streamer: 2 faults:\n  a: wrong\n  b: wrong\n"),
        (SettingsError(["a: wrong"]), 78, "streamer: 1 fault:\n  a: wrong\n"),
        (UnavailableError("the broker is away"), 69, "streamer: the broker is away\n"),
        (KeyboardInterrupt(), 130, "streamer: interrupted\n"),
    ],
)
def test_an_error_ends_with_its_code_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    def fail(_args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(version, "run", fail)
    assert main(["version"]) == code
    assert capsys.readouterr() == ("", text)


def test_ctrl_c_before_a_command_runs_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a second passes before that: the command line is being loaded."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamer.__main__._parser", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "streamer: interrupted\n")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: argparse.Namespace) -> int:
        raise KeyError

    monkeypatch.setattr(version, "run", fail)
    with pytest.raises(KeyError):
        main(["version"])


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    """As with `streamer version | head -0`; output that waits in a buffer until the end is the harder case."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "streamer", "version"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_help_waits_for_no_heavy_import() -> None:
    """Half a second at each Tab or typo is felt; commands import their clients and models when they run."""
    code = (
        "import sys; from streamer.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    heavy = {"aiohttp", "aiokafka", "pydantic", "prometheus_client", "structlog", "jsonschema_rs", "lmdb"}
    assert not heavy & set(ended.stderr.split())
