"""``streamer diff``: what a changed configuration would change, on records of files."""

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.__main__ import main

SAMPLES = Path(__file__).parents[1] / "samples/getuserfeedback"
OLD = """\
kafka: {bootstrap_servers: "${BROKERS}"}
destinations:
  segment: {write_key: "${KEY}", message_id_suffix: -eu}
integrations:
  guf:
    dialect: getuserfeedback
    topics: [surveys]
    destination: segment
    events: {disabled: [Flow Dismissed], rename: {Flow Viewed: Seen}}
  sprig: {dialect: sprig, topics: [sprig], destination: segment}
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A view, a dismissal, a response and something that is no event."""
    path = tmp_path / "events.jsonl"
    names = ("01-flow-viewed", "02-flow-dismissed-anonymous", "03-response-submitted")
    lines = [json.dumps(json.loads((SAMPLES / f"{name}.json").read_text())) for name in names]
    path.write_text("\n".join([*lines, "{}"]))
    return path


def new_of(old: Path, *changes: tuple[str, str]) -> Path:
    text = OLD
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = old.with_name("new.yaml")
    path.write_text(text)
    return path


def diff(old: Path, new: Path, *arguments: str | Path) -> int:
    return main(["diff", str(old), str(new), *map(str, arguments), "--integration", "guf"])


def rows_of(capsys: pytest.CaptureFixture[str]) -> list[tuple[Any, ...]]:
    """Change, what, records, and where the first example is."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [
        (line["change"], line["what"], line["records"], *(example["place"][-2:] for example in line["examples"][:1]))
        for line in lines
    ]


def test_nothing_is_different(old: Path, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither keys nor brokers are needed. What decides no call is no difference."""
    new = new_of(old, ("sprig: {", "sprig: {group_id: another, "), ("${KEY}", "${OTHER}"))
    assert diff(old, new, records) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "streamer: 4 records compared, 0 of them different\n")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "[Flow Dismissed]",
            "[Response Submitted]",
            [
                ("added", "was filtered (event_disabled)", 1, ":2"),
                ("dropped", "now filtered (event_disabled)", 1, ":3"),
            ],
        ),
        ("Viewed: Seen", "Viewed: Looked At", [("renamed", "Seen -> Looked At", 1, ":1")]),
        ("suffix: -eu", "suffix: -us", [("id_changed", "messageId", 2, ":1")]),
        (
            "topics: [surveys]",
            "topics: [surveys, more]",
            [("topics_changed", "surveys -> more, surveys", None)],
        ),
        (
            "segment: {",
            "segment: {region: eu, ",
            [
                (
                    "destination_changed",
                    "segment (segment, https://api.segment.io) -> segment (segment, https://events.eu1.segmentapis.com)",
                    None,
                )
            ],
        ),
        (
            '"${KEY}"',
            "another",
            [("destination_changed", "segment has another key", None)],
        ),
        (
            "    topics: [surveys]",
            "    topics: [surveys]\n    status: paused",
            [("status_changed", "running -> paused (hold)", None)],
        ),
        (
            "  guf:",
            "  other:",
            [
                ("integration_removed", "surveys (getuserfeedback) -> segment", None),
                ("dropped", "now not read", 2, ":1"),
                ("reason_changed", "filtered (event_disabled) -> not read", 1, ":2"),
                ("reason_changed", "dead_lettered (schema_invalid) -> not read", 1, ":4"),
            ],
        ),
    ],
)
def test_each_difference_has_its_line(
    before: str, after: str, expected: list[Any], old: Path, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diff(old, new_of(old, (before, after)), records) == 1
    assert rows_of(capsys) == expected


def test_a_setting_of_a_dialect_changes_fields_and_shows_values(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "nps.json"
    record.write_bytes((SAMPLES.parent / "sprig/08-matrix-export-row.json").read_bytes())
    new = new_of(old, ("dialect: sprig,", "dialect: sprig, sprig: {extended_properties: true},"))
    arguments = ["diff", str(old), str(new), str(record), "--integration", "sprig", "--raw"]
    assert main(arguments) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["what"] for line in lines} >= {"/properties/questionId"}
    assert "old" not in lines[0]["examples"][0]
    assert main([*arguments, "-o", "table"]) == 1
    head, first, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["integration", "change", "what", "records", "place", "messageId", "old", "new"]
    assert first.split()[:3] == ["sprig", "changed", lines[0]["what"]]


def test_changed_ids_are_warned_of(old: Path, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(old, new_of(old, ("-eu", "-us")), records, "--examples", "1") == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)["examples"]) == 1
    assert "warning: messageIds change: 2 events of guf. Neither Segment nor the receipts recognise a copy" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "give either files with records, or --last"),
        (["events.jsonl", "--last", "5m"], "give either files with records, or --last"),
        (["events.jsonl"], "say with --integration whose records the files hold; there are guf, sprig"),
        (["events.jsonl", "--integration", "x"], "neither configuration has an integration x; there are guf, sprig"),
    ],
)
def test_wrong_usage_says_what_to_do(
    arguments: list[str], text: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(old), str(old), *arguments]) == 2
    assert text in capsys.readouterr().err


def test_faults_of_both_configurations_are_listed_with_their_files(
    old: Path, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = new_of(old, ("dialect: sprig", "dialect: spring"))
    assert diff(new, new, records) == 78
    assert capsys.readouterr().err.count(f"{new}: integrations.sprig.dialect") == 2


def test_topics_are_read_from_the_brokers_of_the_old_one(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So with --last its brokers matter."""
    assert main(["diff", str(old), str(old), "--last", "5m"]) == 78
    assert "kafka.bootstrap_servers" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(old, old, "missing.jsonl") == 1
    assert "missing.jsonl cannot be read" in capsys.readouterr().err
