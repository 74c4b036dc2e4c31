"""The command line of ``streamer dlq``; `tests/operations` and `tests/service` try what it does on a broker."""

import io
import json
import sys
import time
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.cli import values
from streamer.cli.output import print_rows
from streamer.cli.progress import ProgressBar, progress_line
from streamer.operations.redrive import dead_letter_topics, is_read, names_of
from streamer.settings import load

NOW = 1_770_000_000.0
ROWS: list[dict[str, str | int | None]] = [{"reason": "decode_error", "n": 12_345}, {"reason": "too_large", "n": 1}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, whose broker is not there."""
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}\n'
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "integrations: {sprig: {dialect: sprig, topics: [answers], destination: local}}\n"
    )
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ls", "--execute"],
        ["ls", "--reason", "bad_luck"],
        ["ls", "--since", "yesterday"],
        ["ls", "--since", "2026-02-02T02:40:00"],
        ["ls", "--since", "2026"],
        ["redrive", "--rate", "0/s"],
        ["redrive", "--rate", "inf"],
        ["redrive", "--rate", "fast"],
        ["redrive", "--max-redrives", "0"],
        ["redrive", "--output", "yaml"],
        ["redrive", "--message-id", "@/nowhere"],
        ["show"],
        ["show", "evt_3", "--execute"],
        ["export"],
        ["import"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dlq", *arguments])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: streamer ")


@pytest.mark.parametrize("part", ["ls", "show", "why", "redrive", "export", "import"])
def test_each_part_explains_itself_with_an_example(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["dlq", part, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"Example: streamer dlq {part} --config" in text or f"Examples: streamer dlq {part} --config" in text


@pytest.mark.parametrize("part", [["ls"], ["why"], ["show", "evt_3"], ["redrive"], ["export", "file"]])
def test_an_integration_that_is_not_configured_is_wrong_usage(
    part: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dlq", *part, "--config", str(config), "--integration", "spring"]) == 2
    assert capsys.readouterr() == ("", f"streamer: {config} has no integration spring; it has sprig\n")


@pytest.mark.parametrize("arguments", [["ls"], ["redrive", "--execute"], ["show", "evt_3"]])
def test_brokers_that_are_away_are_told_in_plain_words(
    arguments: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dlq", *arguments, "--config", str(config)]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert "no program listens on this port; start the broker" in err


def test_faults_of_the_configuration_end_with_78(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("dialect: sprig", "dialect: spring"))
    assert main(["dlq", "ls", "--config", str(config)]) == 78
    assert "integrations.sprig.dialect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "topic", "status", "expected"),
    [
        ("sprig", "answers", "", True),
        ("sprig", "answers", ", status: paused, on_pause: hold", True),
        ("sprig", "answers", ", status: paused, on_pause: discard", False),
        ("sprig", "questions", "", False),
        ("retired", "answers", "", False),
    ],
)
def test_only_what_would_be_delivered_is_worth_a_redrive(
    config: Path, name: str, topic: str, status: str, *, expected: bool
) -> None:
    """A paused integration that holds its records delivers them once it is resumed; one that discards never does."""
    config.write_text(config.read_text().replace("destination: local}", f"destination: local{status}}}"))
    assert is_read(load(config, environ={}), name, topic) is expected


def test_a_profile_is_never_worth_a_redrive(tmp_path: Path) -> None:
    """It would be an old state behind newer ones, for everybody who reads the topic; a trigger is an event."""
    path = tmp_path / "push.yaml"
    path.write_text(
        "kafka: {bootstrap_servers: 'a:1'}\n"
        "destinations: {platform: {kind: sprig, api_key: k}}\n"
        "integrations:\n"
        "  users: {dialect: profiles, topics: [profiles], destination: platform}\n"
        "  acts: {dialect: triggers, topics: [triggers], destination: platform}\n"
    )
    settings = load(path, environ={})
    assert not is_read(settings, "users", "profiles")
    assert is_read(settings, "acts", "triggers")


def test_calls_of_the_way_back_are_worth_a_redrive(tmp_path: Path) -> None:
    """Also where this process only receives them, and another one applies them."""
    path = tmp_path / "inbound.yaml"
    path.write_text(
        "kafka: {bootstrap_servers: 'a:1'}\n"
        "inbound: {topic: calls, dead_letters: {topic: refused}, webhooks: {production: {secrets: [s]}}}\n"
        "directory: false\n"
    )
    settings = load(path, environ={})
    assert names_of(settings) == ["inbound"]
    assert dead_letter_topics(settings, ["inbound"]) == ["refused"]
    assert dead_letter_topics(settings, []) == []
    assert is_read(settings, "inbound", "calls")
    assert not is_read(settings, "inbound", "other")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", NOW - 1_800),
        ("1.5h", NOW - 5_400),
        ("2026-02-02T02:40:00Z", NOW),
        ("2026-02-02T03:40:00.500+01:00", NOW + 0.5),
    ],
)
def test_a_time_is_an_instant_or_how_long_ago(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert values.instant(text) == seconds


def test_message_ids_are_given_one_by_one_or_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ids"
    path.write_text("evt_1\n\n evt_2 \n")
    assert values.listed(f"@{path}") == ["evt_1", "evt_2"]
    assert values.listed("evt_3") == ["evt_3"]


def test_corrections_that_cannot_be_read_are_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anybody asks the brokers, and with the line."""
    path = tmp_path / "letters.jsonl"
    assert main(["dlq", "import", str(path), "--config", str(config)]) == 1
    assert capsys.readouterr().err == f"streamer: {path} cannot be read: No such file or directory\n"
    path.write_text('{"place": "answers.dlq:0:1"}\n{"place": "answers:0:1"}\n')
    assert main(["dlq", "import", str(path), "--config", str(config)]) == 1
    assert f"{path}, line 2: place: answers is no dead-letter topic" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "rate"), [("100", 100.0), ("100/s", 100.0), ("0.5/s", 0.5)])
def test_a_rate_is_a_number_a_second(text: str, rate: float) -> None:
    assert values.per_second(text) == rate


def test_programs_get_a_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, None)  # standard output of a test is no terminal
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_people_get_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    print_rows(ROWS, None)
    print_rows([], None)
    assert terminal.getvalue().splitlines() == ["reason        n", "decode_error  12,345", "too_large     1"]


@pytest.mark.parametrize(
    ("done", "seconds", "line"),
    [
        (0, 0.0, "redriving [------------------------------] 0 of 1,000, 0/s"),
        (500, 5.0, "redriving [###############---------------] 500 of 1,000, 100/s, 5 s left"),
        (1_000, 10.0, "redriving [##############################] 1,000 of 1,000, 100/s"),
    ],
)
def test_a_progress_bar_tells_how_far_it_is_and_how_long_it_takes(done: int, seconds: float, line: str) -> None:
    assert progress_line("redriving", done, 1_000, seconds) == line


def test_a_progress_bar_is_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn at most ten times a second, and at the end; then the line is free again."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    ticks = iter([0.0, 10.0, 10.05, 10.06])
    bar = ProgressBar("reading", clock=lambda: next(ticks))
    for done in (1, 2, 3):
        bar.show(done, 3)
    bar.clear()
    drawn = terminal.getvalue()
    assert "\n" not in drawn
    first, last, cleared = drawn.split("\r\x1b[K")[1:]
    assert "1 of 3" in first
    assert "3 of 3" in last
    assert cleared == ""


def test_without_a_terminal_there_is_no_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar("reading")
    bar.show(3, 3)
    bar.clear()
    assert capsys.readouterr() == ("", "")
