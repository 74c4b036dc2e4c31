"""The command line of ``streamer send``; what it does on a broker is tried in `tests/kafka` and `tests/service`."""

import asyncio
import json
from pathlib import Path

import pytest

from streamer.__main__ import main
from streamer.cli.record_values import read_ahead

VALID = {
    "event": "Response Submitted",
    "userId": "user_1",
    "messageId": "evt_1",
    "timestamp": "2026-05-13T10:14:00.000Z",
    "properties": {
        "app_id": "app_1",
        "organization_id": "org_1",
        "survey_id": "srv_1",
        "response_id": "resp_1",
    },
}


@pytest.fixture
def config(tmp_path: Path, closed_port: int) -> Path:
    """A configuration in order, whose broker is not there."""
    path = tmp_path / "streamer.yaml"
    path.write_text(
        f'kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}\n'
        "destinations: {local: {write_key: write-key-of-the-test, endpoint: 'http://127.0.0.1:1'}}\n"
        "integrations:\n"
        "  one: {dialect: getuserfeedback, topics: [answers], destination: local}\n"
        "  two: {dialect: getuserfeedback, topics: [north, south], destination: local}\n"
    )
    return path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{json.dumps(VALID)}\nnonsense\n")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["one", "--header", "no equals sign"],
        ["one", "--header", "=no name"],
        ["one", "--rate", "0"],
        [],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["send", *arguments])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["three"], "has no integration three; it has one, two"),
        (["two"], "two has several topics; set --topic to one of north, south"),
        (["two", "--topic", "east"], "two has no topic east; set --topic to one of north, south"),
    ],
)
def test_where_to_is_asked_for(
    config: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", *arguments, "--config", str(config)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert problem in err


def test_a_file_that_is_missing_stops_it_before_anything_is_produced(
    config: Path, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", "one", str(events), "missing.jsonl", "--config", str(config)]) == 1
    assert "missing.jsonl cannot be read: No such file or directory. Nothing was produced" in capsys.readouterr().err


def test_brokers_that_are_away_end_it_with_69(config: Path, events: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "one", str(events), "--config", str(config)]) == 69
    out, err = capsys.readouterr()
    assert out == ""
    assert "127.0.0.1" in err


def test_strict_names_what_would_be_dead_lettered_and_asks_no_broker(
    config: Path, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", "one", str(events), "--strict", "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "warning: record 2 will be dead-lettered as decode_error" in err
    assert "1 of 2 records will end as dead_lettered (decode_error)" in err
    assert "nothing was produced, because of --strict" in err


def test_only_the_first_warnings_are_printed_and_all_are_counted(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("nonsense\n" * 15)
    assert main(["send", "one", str(broken), "--strict", "--config", str(config)]) == 1
    err = capsys.readouterr().err
    assert err.count("warning:") == 10
    assert "15 of 15 records will end as dead_lettered (decode_error)" in err


def test_values_are_lines_or_whole_files(events: Path) -> None:
    async def values(*, raw: bool) -> list[bytes]:
        return [value async for value in read_ahead([str(events)], raw=raw)]

    assert asyncio.run(values(raw=False)) == events.read_bytes().splitlines()
    assert asyncio.run(values(raw=True)) == [events.read_bytes()]


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as raised:
        [value async for value in read_ahead([str(tmp_path)], raw=False)]
    assert raised.value.filename == str(tmp_path)
