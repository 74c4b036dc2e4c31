"""``streamer map``: a dry run that prints exactly what the service would do."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import streamer
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
  any: {dialect: canonical, topics: [d], destination: local}
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
    assert capsys.readouterr().err == f"streamer: {config} has no integration surveys; it has sprig, guf, pf, any\n"


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


class TestCanonical:
    """``--canonical`` shows how a record was read."""

    def test_prints_the_event_of_a_record_instead_of_its_calls(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A filtered record may have an event too: it is filtered because of what the event says."""
        files = [str(SAMPLES / f"sprig/{name}.json") for name in ("01-nps", "12-anonymous-visitor")]
        assert main(["map", "--config", str(config), "--integration", "sprig", "--raw", "--canonical", *files]) == 0
        events = [
            json.loads((SAMPLES / f"canonical/sprig-{name}.json").read_text())
            for name in ("01-nps", "12-anonymous-visitor")
        ]
        assert lines_of(capsys) == [
            {"outcome": "delivered", "reason": None, "detail": None, "event": events[0]},
            {"outcome": "filtered", "reason": "no_identity", "detail": None, "event": events[1]},
        ]

    def test_prints_null_for_a_record_without_event(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        files = [str(SAMPLES / "sprig/22-test-delivery.json"), str(tmp_path / "broken")]
        (tmp_path / "broken").write_bytes(b"{}")
        assert main(["map", "--config", str(config), "--integration", "sprig", "--raw", "--canonical", *files]) == 0
        tested, broken = lines_of(capsys)
        assert tested == {"outcome": "filtered", "reason": "test_event", "detail": None, "event": None}
        assert (broken["outcome"], broken["reason"], broken["event"]) == ("dead_lettered", "schema_invalid", None)

    def test_shows_the_event_of_a_call_that_cannot_be_sent(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = json.loads((SAMPLES / "sprig/01-nps.json").read_text())
        (tmp_path / "large").write_text(json.dumps({**record, "questionType": "OTHER", "response": [0] * 20_000}))
        arguments = ["--integration", "sprig", "--raw", "--canonical", str(tmp_path / "large")]
        assert main(["map", "--config", str(config), *arguments]) == 0
        [line] = lines_of(capsys)
        assert (line["outcome"], line["reason"]) == ("dead_lettered", "too_large")
        assert line["event"]["answers"][0]["value"] == [0] * 20_000

    @pytest.mark.parametrize("name", ["sprig/08-matrix-export-row", "product_fruits/07-survey-nps-and-text"])
    def test_its_events_make_the_same_calls_on_a_canonical_topic(
        self, name: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        integration = {"sprig": "sprig", "product_fruits": "pf"}[name.split("/", maxsplit=1)[0]]
        sample = str(SAMPLES / f"{name}.json")
        assert main(["map", "--config", str(config), "--integration", integration, "--raw", "--canonical", sample]) == 0
        [line] = lines_of(capsys)
        (tmp_path / "event").write_text(json.dumps(line["event"]))
        assert main(["map", "--config", str(config), "--integration", "any", str(tmp_path / "event")]) == 0
        [line] = lines_of(capsys)
        assert line["calls"] == json.loads((SAMPLES / f"{name}.segment.json").read_text())

    def test_says_so_when_an_event_is_too_deep_to_be_shown(
        self, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The record is delivered all the same: what is so deep in it is not sent."""
        deep = b',"unknown":' + b'{"a":' * 1_000 + b"1" + b"}" * 1_001
        (tmp_path / "deep").write_bytes(VIEWED.read_bytes().rstrip()[:-1] + deep)
        arguments = ["--integration", "guf", "--raw", "--canonical", str(tmp_path / "deep")]
        assert main(["map", "--config", str(config), *arguments]) == 0
        [line] = lines_of(capsys)
        assert (line["outcome"], line["event"]) == ("delivered", None)
        assert line["detail"] == "the event is nested too deeply to be shown"

    def test_a_bug_of_ours_is_named_there_too(
        self, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(*_arguments: object) -> None:
            raise KeyError("an answer")

        monkeypatch.setattr(Mapper, "write", broken)
        assert main(["map", "--config", str(config), "--integration", "guf", "--raw", "--canonical", str(VIEWED)]) == 0
        [line] = lines_of(capsys)
        assert (line["outcome"], line["reason"]) == ("dead_lettered", "internal_error")
        assert line["event"]["event_id"] == "evt_01J9A0000001"


class TestForProducers:
    """What a team needs that writes records and knows nothing of the service."""

    @pytest.fixture
    def records(self, tmp_path: Path) -> Path:
        """A good record, and two that are refused."""
        good = json.loads(VIEWED.read_text())
        no_time = {**good, "messageId": "evt_2", "timestamp": "2026-03-02"}
        path = tmp_path / "events.jsonl"
        path.write_text("\n".join(map(json.dumps, [good, no_time, {"properties": {"traits": 7}}])))
        return path

    def test_a_dialect_needs_no_configuration(self, records: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["map", "--dialect", "getuserfeedback", str(records)]) == 0
        out, err = capsys.readouterr()
        assert [json.loads(line)["outcome"] for line in out.splitlines()] == ["delivered", *["dead_lettered"] * 2]
        assert err == ""

    def test_an_unknown_dialect_is_wrong_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["map", "--dialect", "profiles"]) == 2
        assert "profiles is no dialect of events; there are sprig, " in capsys.readouterr().err

    def test_an_integration_needs_neither_key_nor_brokers(
        self, records: Path, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.write_text(
            CONFIG.replace('127.0.0.1:1"}\ndest', '${BROKERS}"}\ndest').replace("a_write_key", '"${KEY}"')
        )
        assert main(["map", "--config", str(config), "--integration", "guf", str(records)]) == 0
        assert lines_of(capsys)[0]["outcome"] == "delivered"

    def test_strict_fails_and_names_line_and_message_id_and_value(
        self, records: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The value is on the producer's own machine. The line of stdout has the same, for programs."""
        assert main(["map", "--dialect", "getuserfeedback", "--strict", str(records)]) == 1
        out, err = capsys.readouterr()
        dated, broken, summary = err.splitlines()
        assert dated == (
            f"streamer: {records}:2: refused (schema_invalid), messageId evt_2: /timestamp: expected an RFC 3339 time,"
            ' found a date without a time (getuserfeedback_event.schema.json); /timestamp is "2026-03-02"'
        )
        assert broken.startswith(f"streamer: {records}:3: refused (schema_invalid): /event: expected")
        assert broken.endswith("/properties/traits is 7")
        assert summary == "streamer: 2 of 3 records refused"
        assert json.loads(out.splitlines()[1])["found"] == [{"pointer": "/timestamp", "value": "2026-03-02"}]
        assert json.loads(out.splitlines()[1])["message_id"] == "evt_2"

    def test_strict_succeeds_if_no_record_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["map", "--dialect", "getuserfeedback", "--strict", "--raw", str(VIEWED)]) == 0
        assert capsys.readouterr().err == "streamer: 0 of 1 records refused\n"

    def test_what_no_schema_can_say_is_found_too(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        good = json.loads(VIEWED.read_text())
        (tmp_path / "large").write_text(json.dumps({**good, "userId": float(2**60)}))
        assert main(["map", "--dialect", "getuserfeedback", str(tmp_path / "large")]) == 0
        [line] = lines_of(capsys)
        assert (line["reason"], line["found"]) == ("mapping_error", [{"pointer": "/userId", "value": float(2**60)}])

    def test_the_place_is_exact_where_the_text_names_no_data(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The name of an attribute may be a value, too: the detail, which the service writes, has `*` for it."""
        good = json.loads((SAMPLES / "sprig/01-nps.json").read_text())
        (tmp_path / "nested").write_text(json.dumps({**good, "attributes": {"ada/lovelace": ["x"]}}))
        assert main(["map", "--dialect", "sprig", str(tmp_path / "nested")]) == 0
        [line] = lines_of(capsys)
        assert line["detail"].startswith("/attributes/*: expected")
        assert line["found"] == [{"pointer": "/attributes/ada~1lovelace", "value": ["x"]}]

    def test_only_dry_runs_look_values_up(self) -> None:
        """So that no log, header or page of the service can show one."""
        root = Path(streamer.__path__[0])
        texts = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.py")}
        looked_up = {name for name, text in texts.items() if "places_refused" in text}
        assert looked_up == {"core/mapping/mapper.py", "operations/dry_line.py"}
        users = {name for name, text in texts.items() if "operations.dry_line" in text}
        assert users == {"cli/map.py", "operations/golden.py"}

    @pytest.mark.parametrize("text", [json.dumps({"a": [1]}, indent=2), json.dumps([{}, {}], indent=1)])
    def test_a_document_over_several_lines_is_recognised(
        self, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "pretty").write_text(text)
        assert main(["map", "--dialect", "sprig", str(tmp_path / "pretty")]) == 0
        assert "Use --raw" in capsys.readouterr().err
        assert main(["map", "--dialect", "sprig", "--raw", str(tmp_path / "pretty")]) == 0
        assert capsys.readouterr().err == ""

    def test_each_field_is_explained(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["map", "--dialect", "getuserfeedback", "--raw", "--explain", str(VIEWED)]
        assert main(arguments) == 0
        [line] = lines_of(capsys)
        explained = {each["field"]: each for each in line["explain"]}
        assert explained["/properties/survey_id"] == {
            "field": "/properties/survey_id",
            "value": line["calls"][0]["properties"]["survey_id"],
            "from": ["/properties/survey_id"],
            "settings": [],
            "rule": "The id of the survey. Ids are sent as text.",
        }
        assert main([*arguments, "-o", "table"]) == 0
        first, columns, *rows = capsys.readouterr().out.splitlines()
        assert first == f"{VIEWED}: delivered"
        assert columns.split() == ["field", "value", "from", "rule"]
        assert [row.split()[0] for row in rows] == list(explained)


PUSHING = """\
kafka: {bootstrap_servers: "127.0.0.1:1"}
destinations:
  platform: {kind: sprig, api_key: secret_api_key}
integrations:
  users: {dialect: profiles, topics: [a], destination: platform}
"""


def test_what_is_pushed_is_shown_as_its_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, records = tmp_path / "push.yaml", tmp_path / "records.jsonl"
    config.write_text(PUSHING)
    user = {"username": "ada", "email": None, "firstname": None, "lastname": None}
    records.write_text(json.dumps({**user, "attributes": {"plan": "Pro", "tags": ["a"]}}))
    assert main(["map", "--config", str(config), "--integration", "users", str(records)]) == 0
    out, err = capsys.readouterr()
    [call] = json.loads(out)["calls"]
    assert call == {"method": "POST", "path": "/v2/users", "body": {"userId": "ada", "attributes": {"plan": "Pro"}}}
    assert "sprig_list_attribute (records: 1)" in err


def test_what_is_no_event_has_no_canonical_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "push.yaml"
    config.write_text(PUSHING)
    assert main(["map", "--canonical", "--config", str(config), "--integration", "users", str(config)]) == 2
    assert "are no events" in capsys.readouterr().err
