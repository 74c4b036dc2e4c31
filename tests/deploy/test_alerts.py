"""The alerts: promtool is the judge of what they do; here is judged that nothing is missing."""

import logging
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from streamer.core.model import DELIVERY_LETTER_REASONS, FilterReason
from streamer.inbound.webhook_counts import Result
from streamer.kafka import CommitResult
from streamer.logs import Event
from streamer.logs.runbooks import ALERTS as SECTIONS
from streamer.logs.runbooks import PAGE, runbook_of
from streamer.status import IntegrationState
from tests.deploy.alerts import (
    ALERTS,
    CASE_FILES,
    CASES,
    RECORDED,
    ROOT,
    RULES,
    RULES_FILE,
    groupings_in,
    known_metrics,
    metrics_in,
)
from tests.promtool import PROMTOOL, needs_promtool

KNOWN = known_metrics()

OF_CONVENTIONS = {
    *("StreamerDown", "StreamerDestinationHeld", "StreamerNoProgress", "StreamerEventsUnaccounted", "StreamerLagHigh"),
    *("StreamerLagGrowing", "StreamerDeadLetters", "StreamerDeadLetterBurst", "StreamerRetriesHigh"),
    *("StreamerRateLimited", "StreamerCommitFailing", "StreamerRebalanceStorm", "StreamerLatencyHigh"),
    *("StreamerMemoryHigh", "StreamerConfigReloadFailed"),
}
"""Names that were promised before the first release."""

SECTION = re.compile(
    r"^## (Streamer\w+)\n\nSeverity: (\w+)\. Safe to restart: (?:yes|no)\b(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
RUNBOOKS = {name: (severity, text) for name, severity, text in SECTION.findall((ROOT / PAGE).read_text("utf-8"))}

HEADINGS = ["Meaning", "Impact", "Check first", "Fix", "If that fails", "Prevent", "Escalate"]


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", RULES_FILE)


@needs_promtool
@pytest.mark.parametrize("file", CASE_FILES, ids=lambda file: file.stem)
def test_alerts_fire_and_stay_silent_as_their_cases_say(file: Path) -> None:
    promtool("test", "rules", file)


def test_the_promised_alerts_exist() -> None:
    assert set(ALERTS) >= OF_CONVENTIONS


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(alert: str) -> None:
    """In the second one it must never fire: that it fires only later proves nothing about what it should ignore."""
    tests = [
        [test for test in case["alert_rule_test"] if test["alertname"] == alert]
        for _, case in CASES
        if any(test["alertname"] == alert for test in case["alert_rule_test"])
    ]
    assert any(test["exp_alerts"] for case in tests for test in case), "no case in which it fires"
    assert any(not any(test["exp_alerts"] for test in case) for case in tests), "no case in which it never fires"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_happened_whether_data_is_at_risk_and_where_to_look(alert: str) -> None:
    rule = ALERTS[alert]
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard"}
    assert rule["annotations"]["runbook_url"] == f"{PAGE}#{alert.lower()}"
    assert rule["annotations"]["dashboard"] == "d/streamer"
    assert re.search(r"\b(is|are|be) (lost|kept|skipped|missing)\b", rule["annotations"]["description"], re.IGNORECASE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert", rule.get("record")))
def test_every_metric_of_a_rule_exists_with_its_labels(rule: dict[str, Any]) -> None:
    found = list(metrics_in(rule["expr"]))
    assert found or RECORDED & set(re.findall(r"[\w:]+", rule["expr"])), "no metric was found: the test is wrong"
    labels = set().union(*(KNOWN[name] for name, _ in found), {"le"} if "le" in rule["expr"] else set())
    for name, matchers in found:
        assert set(matchers) <= KNOWN[name], name
    for grouping in groupings_in(rule["expr"]):
        assert grouping <= labels | {"integration"}, grouping


def test_every_series_of_a_case_exists_with_its_labels() -> None:
    """A case with a misspelt series proves that an alert does not fire on nothing."""
    for file, case in CASES:
        for series in case["input_series"]:
            ((name, matchers),) = metrics_in(series["series"])
            assert set(matchers) <= KNOWN[name], f"{file}: {series['series']}"


VALUES: dict[str, set[str]] = {
    "event": {event.event_name for event in Event if event.fault is not None},
    "state": {state.value for state in IntegrationState} | {"held", "backing_off", "ok"},
    "outcome": {"dead_lettered"},
    "kind": {"assigned", "revoked", "lost"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert", rule.get("record")))
def test_every_value_of_a_label_in_a_rule_exists(rule: dict[str, Any]) -> None:
    """A matcher with a value that nothing has never matches, and the alert is silent for ever."""
    results = {
        "streamer_webhook_requests_total": {result.value for result in Result},
        "streamer_commits_total": {result.value for result in CommitResult},
        "streamer_identified_devices_total": {"known", "unknown", "skipped"},
    }
    for name, matchers in metrics_in(rule["expr"]):
        for label, pattern in matchers.items():
            known = results.get(name, set()) if label == "result" else VALUES.get(label)
            if known is not None:
                assert set(pattern.split("|")) <= known, f"{name}: {label}"


def test_every_alert_has_one_section_of_the_runbooks_and_every_section_an_alert() -> None:
    assert list(RUNBOOKS) == list(dict.fromkeys(RUNBOOKS))
    assert set(RUNBOOKS) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_of_the_runbooks_has_its_form(alert: str) -> None:
    severity, text = RUNBOOKS[alert]
    assert severity == ALERTS[alert]["labels"]["severity"]
    assert re.findall(r"^\*\*([A-Z][a-z ]+)\.\*\*", text, re.MULTILINE) == HEADINGS
    meaning = re.search(r"\*\*Meaning\.\*\*(.*?)\n\n", text, re.DOTALL)
    impact = re.search(r"\*\*Impact\.\*\*(.*?)\n\n", text, re.DOTALL)
    checks = re.search(r"\*\*Check first\.\*\*\n\n```sh\n(.*?)```", text, re.DOTALL)
    assert meaning, "no meaning"
    assert impact, "no impact"
    assert checks, "no commands to check first"
    assert "Data is lost:" in impact[1].replace("\n", " ")
    assert len(checks[1].splitlines()) == 3


@pytest.mark.parametrize(
    "event", [event for event in Event if event.level >= logging.ERROR], ids=lambda e: e.event_name
)
def test_a_log_event_of_level_error_names_a_section_of_the_runbooks(event: Event) -> None:
    assert event.fault is not None, "only lines about a fault have the field"
    assert SECTIONS[event] in RUNBOOKS
    assert runbook_of(event) == f"{PAGE}#{SECTIONS[event].lower()}"


def test_the_sections_that_warnings_name_exist() -> None:
    assert set(SECTIONS.values()) <= set(RUNBOOKS)
    assert all(event.level >= logging.WARNING for event in SECTIONS)


def test_reasons_that_the_runbooks_explain_exist() -> None:
    reasons = {reason.value for reason in (*DELIVERY_LETTER_REASONS, *FilterReason)}
    assert set(re.findall(r"^- `(\w+)`", RUNBOOKS["StreamerDeadLetters"][1], re.MULTILINE)) <= reasons
