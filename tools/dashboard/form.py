"""The dashboard in the form that Grafana's import takes.

Its address (``uid``) and its variables are a contract: alerts and bookmarks use them.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from tools.dashboard.delivery_rows import DATA, DESTINATION
from tools.dashboard.health_rows import HEALTHY, KEEPING_UP
from tools.dashboard.operation_rows import KAFKA, RESOURCES, WAY_BACK
from tools.dashboard.panel import Panel, Row

ROWS: Final = (HEALTHY, KEEPING_UP, DESTINATION, DATA, KAFKA, RESOURCES, WAY_BACK)
"""From the top down, in the order in which an on-call engineer reads them."""

RUNBOOKS: Final = "docs/runbooks/README.md"

COLUMNS: Final = 24
"""Width of a dashboard in Grafana's units."""

SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4; later versions migrate it when they load it."""

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

_OF_TARGET: Final = 'job=~"$job", instance=~"$instance"'

Json = dict[str, Any]


def dashboard() -> Json:
    """The whole document."""
    panels = list(_laid_out())
    kinds = sorted({panel["type"] for panel in panels} - {"row"})
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS",
                "label": "Prometheus",
                "description": "The Prometheus that scrapes streamer.",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__requires": [
            {"type": "grafana", "id": "grafana", "name": "Grafana", "version": "10.4.0"},
            {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
            *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
        ],
        "uid": "streamer",
        "title": "streamer",
        "description": "Survey events from Kafka to Segment, and the way back. Made by streamer's tools/dashboard.",
        "tags": ["streamer", "kafka", "segment"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": [_restarts()]},
        "links": [],
        "panels": panels,
    }


def text() -> str:
    """The document as it is in the file."""
    return json.dumps(dashboard(), indent=2) + "\n"


def _variables() -> list[Json]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "current": {"selected": True, "text": "${DS_PROMETHEUS}", "value": "${DS_PROMETHEUS}"},
            "refresh": 1,
        },
        _variable("job", "Job", "label_values(streamer_build_info, job)"),
        _variable("instance", "Instance", 'label_values(streamer_build_info{job=~"$job"}, instance)'),
        _variable("topic", "Topic", f"label_values(streamer_records_consumed_total{{{_OF_TARGET}}}, topic)"),
        _variable(
            "destination", "Destination", f"label_values(streamer_destination_state{{{_OF_TARGET}}}, destination)"
        ),
    ]


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "includeAll": True,
        "allValue": ".+",
        "multi": True,
        "refresh": 2,
        "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _restarts() -> Json:
    return {
        "name": "Starts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"changes(process_start_time_seconds{{{_OF_TARGET}}}[$__rate_interval]) > 0",
    }


def _laid_out() -> Iterator[Json]:
    """Rows and panels with their places. A collapsed row holds its panels itself."""
    top, number = 0, 0
    for row in ROWS:
        number += 1
        head = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.is_collapsed,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }
        top += 1
        placed = []
        for panel, place in _places(row, top):
            number += 1
            placed.append({"id": number, "gridPos": place, **_panel(panel)})
        yield {**head, "panels": placed if row.is_collapsed else []}
        if not row.is_collapsed:
            yield from placed
        top = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in placed)


def _places(row: Row, top: int) -> Iterator[tuple[Panel, Json]]:
    left, height = 0, 0
    for panel in row.panels:
        if left + panel.width > COLUMNS:
            top, left = top + height, 0
        height = panel.height
        yield panel, {"x": left, "y": top, "w": panel.width, "h": height}
        left += panel.width


def _panel(panel: Panel) -> Json:
    alert = panel.alert
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.description}\n\nRunbook: {alert} ({RUNBOOKS}#{alert.lower()}).",
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "editorMode": "code",
                "range": True,
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> Json:
    field: Json = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.lowest is not None:
        field["min"] = panel.lowest
    if panel.limit is not None:
        field["thresholds"] = {"mode": "absolute", "steps": _steps(panel.limit, is_bad_below=panel.is_bad_below)}
    if panel.words:
        field["mappings"] = [
            {
                "type": "value",
                "options": {
                    str(value): {"text": word, "color": color, "index": value}
                    for value, (word, color) in panel.words.items()
                },
            }
        ]
    if panel.kind == "stat" or panel.words:
        field["color"] = {"mode": "thresholds"}
    if panel.kind == "timeseries":
        field["custom"] = {
            "fillOpacity": 60 if panel.is_stacked else 10,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "line"},
        }
    return field


def _steps(limit: float, *, is_bad_below: bool) -> list[Json]:
    colors = ("red", "green") if is_bad_below else ("green", "red")
    return [{"color": colors[0], "value": None}, {"color": colors[1], "value": limit}]


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        calculation = "max" if panel.is_largest else "lastNotNull"
        return {
            "reduceOptions": {"calcs": [calculation], "fields": "", "values": False},
            "colorMode": "background",
            "graphMode": "none",
            "textMode": "auto",
        }
    if panel.kind == "state-timeline":
        return {
            "showValue": "auto",
            "mergeValues": True,
            "rowHeight": 0.9,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
