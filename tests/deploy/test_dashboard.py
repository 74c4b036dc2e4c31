"""The dashboard: Grafana's own types, promtool and the catalogue of metrics are the judges.

The rules are those of Grafana's dashboard-linter, but for one: the dashboard may be edited after its import.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from streamer.logs.runbooks import PAGE
from tests.deploy.alerts import ALERTS, groupings_in, known_metrics, metrics_in
from tests.promtool import PROMTOOL, needs_promtool
from tools.dashboard.__main__ import FILE
from tools.dashboard.form import ROWS, dashboard, text
from tools.dashboard.panel import Panel

DOCUMENT: Final[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
KNOWN: Final = known_metrics()
UNITS: Final = {"s", "bytes", "reqps", "short", "cps", "percentunit", "none"}
"""Of Grafana's list; the first four are the usual ones."""

PANELS: Final = [panel for row in ROWS for panel in row.panels]
SHOWN: Final = [panel for top in DOCUMENT["panels"] for panel in (top["panels"] if top["type"] == "row" else [top])]
EXPRESSIONS: Final = [target["expr"] for panel in SHOWN for target in panel["targets"]]


def test_the_file_is_what_the_code_says() -> None:
    assert FILE.read_text("utf-8") == text(), "run: make docs"


def test_grafana_knows_every_field() -> None:
    """What is written back from Grafana's types is what was read: they drop what they do not know."""
    plugins.register_default_plugins()
    document = {name: value for name, value in dashboard().items() if not name.startswith("__")}

    written = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))

    assert list(missing(document, written)) == []


def missing(wanted: Any, found: Any, place: str = "") -> Iterator[str]:
    """Where a document has something that another one lacks. Null is nothing."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            if value is not None:
                yield from missing(value, found.get(name) if isinstance(found, dict) else None, f"{place}/{name}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            yield place
        else:
            for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
                yield from missing(one, other, f"{place}/{number}")
    elif wanted != found:
        yield place


def test_a_field_that_grafana_does_not_know_is_found() -> None:
    assert list(missing({"a": [{"b": 1}]}, {"a": [{}]})) == ["/a/0/b"]


def test_it_can_be_imported_and_linked_to() -> None:
    assert DOCUMENT["uid"] == "streamer"
    assert DOCUMENT["editable"] is True
    assert "id" not in DOCUMENT, "Grafana would take it for another dashboard"
    assert [source["name"] for source in DOCUMENT["__inputs"]] == ["DS_PROMETHEUS"]
    required = {(part["type"], part["id"]) for part in DOCUMENT["__requires"]}
    assert {("grafana", "grafana"), ("datasource", "prometheus")} <= required
    assert {("panel", panel["type"]) for panel in SHOWN} <= required


def test_its_variables_follow_the_time_and_each_other() -> None:
    variables = {variable["name"]: variable for variable in DOCUMENT["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance", "topic", "destination"]
    source = variables.pop("datasource")
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")
    for name, variable in variables.items():
        assert variable["label"] == name.title()
        assert (variable["multi"], variable["allValue"], variable["refresh"]) == (True, ".+", 2)
        assert variable["datasource"]["uid"] == "${datasource}"
        query = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert query is not None
        ((metric, matchers),) = metrics_in(query[1])
        assert {query[2], *matchers} <= KNOWN[metric]


def test_the_rows_are_in_the_order_in_which_on_call_reads_them() -> None:
    rows = [panel["title"] for panel in DOCUMENT["panels"] if panel["type"] == "row"]
    assert rows[:6] == ["Is it healthy?", "Is it keeping up?", "Destination", "Data quality", "Kafka", "Resources"]


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in [*DOCUMENT["panels"], *(panel for panel in SHOWN if panel not in DOCUMENT["panels"])]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(column, line) for column in columns for line in lines}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_numbers_of_panels_are_their_own() -> None:
    rows = [panel for panel in DOCUMENT["panels"] if panel["type"] == "row"]
    numbers = [panel["id"] for panel in [*rows, *SHOWN]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("panel", SHOWN, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself_and_uses_the_chosen_source(panel: dict[str, Any]) -> None:
    runbook = re.search(rf"Runbook: (Streamer\w+) \({re.escape(PAGE)}#(\w+)\)\.$", panel["description"])
    assert runbook is not None
    assert runbook[1] in ALERTS
    assert runbook[2] == runbook[1].lower()
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
        "${datasource}"
    }


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.limit is not None], ids=lambda panel: panel.title)
def test_a_threshold_is_that_of_the_alert(panel: Panel) -> None:
    """Numbers of counts and of states excepted: those are red from 1 on, or below 1."""
    assert panel.limit is not None
    if panel.limit in {1, 1e-9}:
        return
    limits = [float(number) for number in re.findall(r"[<>]=? (\d+(?:\.\d+)?)", ALERTS[panel.alert]["expr"])]
    assert panel.limit in limits


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_exists_with_the_chosen_job_and_instance(expression: str) -> None:
    found = list(metrics_in(expression))
    assert found
    for metric, matchers in found:
        assert set(matchers) <= KNOWN[metric], metric
        assert (matchers["job"], matchers["instance"]) == ("$job", "$instance")
        if metric.endswith("_total"):
            assert re.search(rf"(rate|increase)\({metric}\{{[^}}]*\}}\[\$__rate_interval\]\)", expression)
    assert set(re.findall(r"\[([^\]]*)\]", expression)) <= {"$__rate_interval"}
    labels = set().union(*(KNOWN[metric] for metric, _ in found))
    assert all(grouping <= labels for grouping in groupings_in(expression))


@needs_promtool
def test_prometheus_takes_the_expressions(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$", "")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_panel_unless_the_faults_show_it() -> None:
    of_faults = {name for name, alert in ALERTS.items() if "streamer_faults_total" in alert["expr"]}
    assert set(ALERTS) - {panel.alert for panel in PANELS} - of_faults <= {"StreamerOutboxSkipped"}
