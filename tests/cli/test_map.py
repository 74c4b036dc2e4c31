"""``streamer map``: a dry run that prints exactly what the service would do."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from streamer.__main__ import main
from streamer.core.mapping import Mapper

SAMPLES = Path(__file__).parents[1] / "samples"
CONFIG = """\
kafka: {bootstrap_servers: "127.0.0.1:1"}
destinations:
  local: {write_key: a_write_key, endpoint: "http://127.0.0.1:1"}
integrations:
  sprig: {dialect: sprig, topics: [a], destination: local}
  guf: {dialect: getuserfeedback, topics: [b], destination: local, events: {disabled: [Flow Dismissed]}}
  pf: {dialect: product_fruits, topics: [c], destination: local}
"""
VIEWED = SAMPLES / "getuserfeedback/01-flow-viewed.json"
DISMISSED = SAMPLES / "getuserfeedback/02-flow-dismissed-anonymous.json"
WITHOUT_TIME = b"""{"type": "analytics", "projectCode": "p", "eventName": "Tour Finished", "anonymousId": "a"}"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that points to nothing."""
    path = tmp_path / "streamer.yaml"
    path.write_text(CONFIG)
    return path


def in_one_line(path: Path) -> bytes:
    return json.dumps(json.loads(path.read_text())).encode()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_record_ends_on_a_line_in_order(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Delivered, filtered, refused: the exit code is 0, because the run itself went well."""
    records = tmp_path / "records.jsonl"
    records.write_bytes(b"\n".join([in_one_line(VIEWED), in_one_line(DISMISSED), b"{}", b"", in_one_line(VIEWED), b""]))
    assert main(["map", "--config", str(config), "--integration", "guf", str(records)]) == 0
    viewed, dismissed, schemaless, empty, again = lines_of(capsys)
    expected = json.loads(VIEWED.with_suffix(".segment.json").read_text())
    assert viewed == {"outcome": "delivered", "reason": None, "detail": None, "calls": expected}
    assert dismissed == {"outcome": "filtered", "reason": "event_disabled", "detail": None, "calls": []}
    assert (schemaless["outcome"], schemaless["reason"]) == ("dead_lettered", "schema_invalid")
    assert schemaless["detail"].startswith("/event: expected Flow Viewed")
    assert (empty["reason"], empty["calls"]) == ("decode_error", [])
    assert again == viewed


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_stdin_is_read_without_a_file(
    arguments: list[str], config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(in_one_line(VIEWED) + b"\n")))
    assert main(["map", "--config", str(config), "--integration", "guf", *arguments]) == 0
    assert [line["outcome"] for line in lines_of(capsys)] == ["delivered"]


def test_raw_files_are_one_value_each(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(SAMPLES / "sprig/01-nps.json"), str(SAMPLES / "sprig/22-test-delivery.json")]
    assert main(["map", "--config", str(config), "--integration", "sprig", "--raw", *files]) == 0
    delivered, tested = lines_of(capsys)
    assert delivered["calls"] == json.loads((SAMPLES / "sprig/01-nps.segment.json").read_text())
    assert (tested["outcome"], tested["reason"]) == ("filtered", "test_event")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2026-03-02T10:15:27.5+01:00", "2026-03-02T09:15:27.500Z"),
        ("2026-03-02T09:15:27Z", "2026-03-02T09:15:27.000Z"),
        ("1772442927418", "2026-03-02T09:15:27.418Z"),
    ],
)
def test_record_time_stands_in_for_the_brokers(
    given: str, sent: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record"
    record.write_bytes(WITHOUT_TIME)
    assert main(["map", "--config", str(config), "--integration", "pf", "--record-time", given, str(record)]) == 0
    [line] = lines_of(capsys)
    assert line["calls"][0]["timestamp"] == sent


@pytest.mark.parametrize("given", ["yesterday", "2026-03-02T09:15:27", "12h"])
def test_a_record_time_that_is_none_is_wrong_usage(
    given: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["map", "--config", str(config), "--integration", "pf", "--record-time", given])
    assert ended.value.code == 2
    assert "neither RFC 3339" in capsys.readouterr().err


def test_an_unknown_integration_is_wrong_usage_and_lists_the_known(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["map", "--config", str(config), "--integration", "surveys"]) == 2
    assert capsys.readouterr().err == f"streamer: there is no integration surveys in {config}, only sprig, guf, pf\n"


def test_a_file_that_cannot_be_read_is_named(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.jsonl"
    assert main(["map", "--config", str(config), "--integration", "guf", str(missing)]) == 1
    assert capsys.readouterr().err == f"streamer: {missing} cannot be read: No such file or directory\n"


def test_what_is_accepted_with_a_warning_is_said_on_stderr(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = SAMPLES / "getuserfeedback/14-identities-references-absent.json"
    assert main(["map", "--config", str(config), "--integration", "guf", "--raw", str(sample), str(sample)]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "streamer: accepted with a warning: identities_absent (records: 2)",
        "streamer: accepted with a warning: references_absent (records: 2)",
    ]


def test_a_bug_of_ours_is_named_by_type_and_place_and_quotes_nothing(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: object) -> None:
        raise KeyError("an answer")

    monkeypatch.setattr(Mapper, "map", broken)
    assert main(["map", "--config", str(config), "--integration", "guf", "--raw", str(VIEWED)]) == 0
    [line] = lines_of(capsys)
    assert (line["outcome"], line["reason"], line["calls"]) == ("dead_lettered", "internal_error", [])
    assert line["detail"].startswith("KeyError at test_map:")
    assert "answer" not in line["detail"]
