"""``streamer top``: what is drawn, on terminals of all sizes, once and live."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.__main__ import _parser
from streamer.cli import top
from streamer.cli.board_text import cropped, lines_of, width_of, wrapped
from streamer.core.watching import Board, Look, board_of
from streamer.settings import load
from tests.core.watching.test_board import HERE, THERE, document
from tests.page import stories
from tests.page.serving import serving

NOBODY = "http://127.0.0.1:9"
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def board(story: stories.Story | None = None) -> Board:
    """Two looks at one instance, and one that does not answer."""
    told = story or stories.held()
    looks = [Look.of(HERE, document(told)), Look.of(THERE, None, "no program listens there")]
    return board_of([Look.of(HERE, document(told, ago=5.0))], looks)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f"kafka: {{bootstrap_servers: '127.0.0.1:9'}}\nstate_dir: {tmp_path / 'state'}\n"
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "integrations: {sprig: {dialect: sprig, topics: [answers], destination: local}}\n"
    )
    return path


def test_the_first_line_is_the_verdict_and_the_tables_follow() -> None:
    lines = lines_of(board(), now=time.time())
    assert lines[0].startswith(
        "1 of 2 instances does not answer. From the others: web-7, process 4711: production (use"
    )
    titles = [line.split()[0] for line in lines if line[:1].isupper()]
    assert titles == ["INTEGRATION", "DESTINATION", "INSTANCE"]
    text = "\n".join(lines)
    for expected in (
        r"^sprig +running 2 h +0 +0 +12,430 +2 min +2 min +held +0 +0$",
        r"^production +held 4 min +0 +0 +0 +50 ms +250 ms +0 of 16 +in \d+ s$",
        r"^  401 Check write_key or write_key_file",
        r"^web-7, process 4711 +act +6 +2 h +1\.2\.3 +unix:/state/streamer\.sock$",
        r"^http://10\.0\.0\.5:8080 +no answer +- +- +- +http",
        r"^  no program listens there$",
    ):
        assert re.search(expected, text, re.MULTILINE), expected


@pytest.mark.parametrize("columns", [1, 2, 20, 60, 120, 300])
@pytest.mark.parametrize("has_color", [False, True])
@pytest.mark.parametrize("tell", [stories.held, stories.hostile, stories.with_way_back])
def test_nothing_is_wider_or_higher_than_the_window(columns: int, has_color: bool, tell: Any) -> None:
    told = board_of([], [Look.of(HERE, document(tell()))])
    for rows in (0, 1, 5, 24):
        lines = lines_of(told, now=time.time(), columns=columns, rows=rows, has_color=has_color)
        assert len(lines) <= rows
        plain = [STYLE.sub("", line) for line in lines]
        assert [line for line in plain if not line.isprintable()] == [], "a name from outside does not steer"
        assert max((width_of(line) for line in plain), default=0) <= columns


def test_in_a_narrow_window_the_less_important_columns_go() -> None:
    lines = lines_of(board(), now=time.time(), columns=60)
    [titles] = [line for line in lines if line.startswith("INTEGRATION")]
    assert titles.split() == ["INTEGRATION", "STATE", "OUT/S", "LAG", "OLDEST"]


def test_what_does_not_fit_is_counted() -> None:
    told = board()
    everything = lines_of(told, now=time.time(), columns=100)
    lines = lines_of(told, now=time.time(), columns=100, rows=5)
    assert lines[-1] == f"{len(everything) - 4} more lines; the window is too small"


def test_colours_are_used_where_they_are_wanted() -> None:
    told = board()
    plain, coloured = (lines_of(told, now=time.time(), columns=100, has_color=each) for each in (False, True))
    assert "\x1b" not in "".join(plain)
    assert [STYLE.sub("", line) for line in coloured] == plain
    assert any("\x1b[31mheld 4 min" in line for line in coloured)


def test_texts_are_cropped_and_wrapped_by_what_they_take() -> None:
    assert cropped("日本語", 6) == "日本語"
    assert cropped("日本語", 5) == "日本…"
    assert cropped("abc", 0) == ""
    assert list(wrapped("one two three", 7)) == ["one two", "three"]
    assert list(wrapped("extraordinary x", 5)) == ["extr…", "x"]


async def test_on_a_pipe_it_is_told_once_in_lines_of_json(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "EVERY_SECONDS", 0.05)
    with capture_logs():
        async with serving(stories.held()) as server:
            address = f"http://127.0.0.1:{server.port}"
            args = _parser().parse_args(["top", "--config", str(config), "--instance", address, "--instance", NOBODY])
            assert await top._top(load(config), args) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["kind"] for line in lines] == ["verdict", *["integration"] * 3, "destination", *["instance"] * 2]
    assert lines[0]["level"] == "act"
    assert lines[1]["in_per_second"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[4]["next_probe_at"])
    assert lines[-1]["error"].startswith("no program listens there")


async def test_if_no_instance_answers_it_says_so_and_ends_with_69(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "EVERY_SECONDS", 0.05)
    args = _parser().parse_args(["top", "--config", str(config), "--instance", NOBODY, "-o", "table"])
    assert await top._top(load(config), args) == 69
    assert capsys.readouterr().out.startswith("No instance answers.")


class Terminal:
    """A terminal with the command in it."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self.process = process
        self.shown = ""

    def wait_for(self, text: str) -> None:
        """Read until a text was shown, since this was last called."""
        deadline = time.monotonic() + 60
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            ready, _, _ = select.select([self._descriptor], [], [], 1.0)
            if ready:
                try:
                    self.shown += os.read(self._descriptor, 65_536).decode()
                except OSError as error:  # it has ended
                    raise AssertionError(self.shown) from error
        self.shown = self.shown.partition(text)[2]

    def modes(self) -> int:
        """How the terminal treats input."""
        modes: int = termios.tcgetattr(self._descriptor)[3]
        return modes

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextmanager
def terminal(*command: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are no other threads
    )
    try:
        yield Terminal(ours, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("end", "code"), [(b"q", 0), (b"\x03", 130)])
def test_on_a_terminal_it_is_drawn_again_and_the_terminal_is_given_back(config: Path, end: bytes, code: int) -> None:
    with terminal("top", "--config", str(config), "--instance", NOBODY) as seen:
        before = seen.modes()
        seen.wait_for("\x1b[?1049h")
        seen.wait_for("no program listens there")
        seen.wait_for("No instance answers")
        if end == b"q":
            seen.resize(30, 6)
            seen.wait_for("more lines")
        seen.press(end)
        seen.wait_for("\x1b[?25h\x1b[?1049l")
        assert seen.process.wait(30) == code
        assert seen.modes() == before
