"""``streamer test``: golden cases in a producer's CI."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from streamer.__main__ import main

SAMPLES = Path(__file__).parents[1] / "samples"
VIEWED = (SAMPLES / "getuserfeedback/01-flow-viewed.json").read_text()
[CALL] = json.loads((SAMPLES / "getuserfeedback/01-flow-viewed.segment.json").read_text())
EXPECTED = {"outcome": "delivered", "reason": None, "calls": [CALL]}
GUF = ["--dialect", "getuserfeedback"]
WITHOUT_TIME = '{"type": "analytics", "projectCode": "p", "eventName": "Tour Finished", "anonymousId": "a"}'


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """One case that passes."""
    directory = tmp_path / "cases"
    (directory / "sub").mkdir(parents=True)
    (directory / "sub/01.json").write_text(VIEWED)
    (directory / "sub/01.expect.json").write_text(json.dumps(EXPECTED))
    return directory


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_as_expected_passes(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(cases), *GUF]) == 0
    assert capsys.readouterr().out == "1 case: 1 passed, 0 failed\n"


def test_each_difference_is_shown_field_by_field(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = {**CALL, "userId": "somebody", "context": {"locale": "de"}}
    change(cases / "sub/01.expect.json", calls=[call])
    assert main(["test", str(cases), *GUF]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAILED sub/01",
        "  /calls/0/userId",
        '    expected: "somebody"',
        '    found:    "user_123"',
        "  /calls/0/context/locale",
        '    expected: "de"',
        '    found:    "en-US"',
        "  /calls/0/context/page",
        "    expected: nothing",
        '    found:    {"path":"/checkout","referrer":"https://www.example.com/"}',
        "1 case: 0 passed, 1 failed",
    ]


def test_the_settings_of_an_integration_count(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed configuration breaks the cases of those whose events it changes. Keys are not needed."""
    config = tmp_path / "streamer.yaml"
    config.write_text(
        'destinations: {segment: {write_key: "${KEY}"}}\n'
        "integrations: {guf: {dialect: getuserfeedback, topics: [t], destination: segment,"
        " events: {disabled: [Flow Viewed]}}}\n"
    )
    assert main(["test", str(cases), "--config", str(config), "--integration", "guf"]) == 1
    assert '    found:    "event_disabled"' in capsys.readouterr().out


def test_update_writes_what_is_new_or_different_and_names_it(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cases / "02.json").write_text("{}")
    change(cases / "sub/01.expect.json", outcome="filtered")
    assert main(["test", str(cases), *GUF, "--update"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["written 02", "updated sub/01", "  /outcome"]
    assert out[-1] == "2 cases: 0 passed, 2 updated, 0 failed"
    assert json.loads((cases / "02.expect.json").read_text())["reason"] == "schema_invalid"
    assert main(["test", str(cases), *GUF]) == 0
    assert main(["test", str(cases), *GUF, "--update"]) == 0
    assert capsys.readouterr().out.endswith("2 cases: 2 passed, 0 updated, 0 failed\n")


def test_texts_are_compared_only_if_they_are_expected(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A newer version may word a detail better; whoever relies on it writes it down."""
    (cases / "02.json").write_text('{"messageId": "m"}')
    expected = {"outcome": "dead_lettered", "reason": "schema_invalid", "calls": []}
    (cases / "02.expect.json").write_text(json.dumps({**expected, "message_id": "m"}))
    assert main(["test", str(cases), *GUF]) == 0
    (cases / "02.expect.json").write_text(json.dumps({**expected, "detail": "Something"}))
    assert main(["test", str(cases), *GUF]) == 1
    assert "  /detail\n" in capsys.readouterr().out


def test_a_record_has_a_time_of_its_own_or_always_the_same(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise a case would be different tomorrow."""
    (cases / "sub/01.json").write_text(WITHOUT_TIME)
    expected = cases / "sub/01.expect.json"
    assert main(["test", str(cases), "--dialect", "product_fruits", "--update"]) == 0
    assert json.loads(expected.read_text())["calls"][0]["timestamp"] == "2026-01-01T00:00:00.000Z"
    rest = {"timestamp": "2026-03-02T10:15:27+01:00", "key": "a", "headers": {"traceparent": "00"}}
    (cases / "sub/01.record.json").write_text(json.dumps(rest))
    assert main(["test", str(cases), "--dialect", "product_fruits", "--update"]) == 0
    assert json.loads(expected.read_text())["calls"][0]["timestamp"] == "2026-03-02T09:15:27.000Z"
    assert "updated sub/01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "content", "fault"),
    [
        ("02.json", "{}", "02: there is no expectation; --update writes it"),
        ("02.expect.json", "{}", "02.json cannot be read: No such file or directory"),
        ("sub/01.expect.json", "{", "sub/01.expect.json is not JSON: "),
        ("sub/01.expect.json", "[]", "sub/01.expect.json should hold a JSON object"),
        ("sub/01.record.json", '{"value": 1}', "may have key, headers and timestamp, and has value"),
        ("sub/01.record.json", '{"timestamp": "now"}', "timestamp should be RFC 3339"),
        ("sub/01.record.json", '{"headers": {"a": 1}}', "headers an object of texts"),
    ],
)
def test_a_case_that_cannot_be_judged_fails(
    file: str, content: str, fault: str, cases: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must not be left out: a wrong name would look like success."""
    (cases / file).write_text(content)
    assert main(["test", str(cases), *GUF]) == 1
    assert fault in capsys.readouterr().out


def test_a_directory_without_cases_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(tmp_path / "missing"), *GUF]) == 2
    assert "there are no cases" in capsys.readouterr().err


def test_a_report_for_ci_lists_all_cases(cases: Path, tmp_path: Path) -> None:
    (cases / "02.json").write_text("{}")
    change(cases / "sub/01.expect.json", reason="x")
    report = tmp_path / "report.xml"
    assert main(["test", str(cases), *GUF, "--junit", str(report)]) == 1
    suite = ET.fromstring(report.read_text())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert [(case.get("name"), case[0].get("message")) for case in suite] == [
        ("02", "there is no expectation; --update writes it"),
        ("sub/01", "1 difference"),
    ]
