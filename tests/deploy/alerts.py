"""What the files of deploy/prometheus say, read for the tests: rules, their cases, and the names in expressions."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from streamer.status.inbound_metrics import OF_INBOUND
from streamer.status.metric_catalogue import (
    OF_CONSUMER,
    OF_DELIVERED_PARTITION,
    OF_DESTINATION,
    OF_INTEGRATION,
    OF_PARTITION,
    OF_SERVICE,
)
from streamer.status.series import Kind, Series

ROOT: Final = Path(__file__).parents[2]
RULES_FILE: Final = ROOT / "deploy/prometheus/streamer.rules.yaml"
CASE_FILES: Final = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))

RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}

CASES: Final[list[tuple[str, dict[str, Any]]]] = [
    (file.name, case) for file in CASE_FILES for case in yaml.load(file.read_text(), yaml.CSafeLoader)["tests"]
]
"""Each case of the unit tests of the rules, with the name of its file."""

_CATALOGUES: Final[tuple[tuple[tuple[str, ...], tuple[Series[Any], ...]], ...]] = (
    ((), OF_SERVICE),
    (("integration", "topic", "partition"), OF_PARTITION),
    (("integration", "topic", "partition"), OF_DELIVERED_PARTITION),
    (("integration",), OF_CONSUMER),
    (("integration",), OF_INTEGRATION),
    (("destination",), OF_DESTINATION),
    ((), OF_INBOUND),
)

TARGET: Final = frozenset({"job", "instance", "namespace"})
"""Labels that Prometheus adds."""

OF_CLIENT: Final = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
}
"""Metrics of the Python client that may be used."""


def known_metrics() -> dict[str, frozenset[str]]:
    """Each metric with its labels, the parts of a histogram one by one."""
    known = dict.fromkeys((*OF_CLIENT, "up"), TARGET)
    for shared, catalogue in _CATALOGUES:
        for series in catalogue:
            labels = TARGET | {*shared, *series.labels}
            if series.kind is Kind.HISTOGRAM:
                known |= {f"{series.name}_sum": labels, f"{series.name}_count": labels}
                known[f"{series.name}_bucket"] = labels | {"le"}
            else:
                known[series.name] = labels
    return known


_METRIC: Final = re.compile(r"\b((?:streamer|process)_[a-z_0-9]+|up)(?:\{([^}]*)\})?(?![a-z_0-9(])")
_MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


def metrics_in(expression: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each metric of an expression with its matchers: label -> value."""
    without_names_of_rules = re.sub(r"\w+:[\w:]+", "", expression)
    for name, matchers in _METRIC.findall(without_names_of_rules):
        yield name, dict(_MATCHER.findall(matchers))


def groupings_in(expression: str) -> Iterator[frozenset[str]]:
    """The labels of each ``by``, ``on`` and ``ignoring``."""
    for labels in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expression):
        yield frozenset(label.strip() for label in labels.split(",") if label.strip())
