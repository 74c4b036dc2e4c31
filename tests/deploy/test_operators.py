"""The files of ``deploy/kubernetes`` that other operators read: metrics for Prometheus, and the autoscaler."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from streamer.core.delivery.limiting import Limit
from tests.deploy.custom_resources import SCHEMAS
from tests.deploy.manifests import ROOT, WORKLOADS, Resource, name_of, of_kind, routes


@pytest.fixture
def promtool() -> str:
    """The program, where there is one."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not on this machine; Debian's package prometheus has it")
    return program


@pytest.mark.parametrize("resource", of_kind(*SCHEMAS), ids=lambda resource: str(resource["kind"]))
def test_every_custom_resource_has_only_fields_that_its_operator_knows(resource: Resource) -> None:
    jsonschema_rs.validate(SCHEMAS[resource["kind"]], resource)


def test_prometheus_finds_every_process_under_the_name_that_the_alerts_use() -> None:
    [monitor] = of_kind("ServiceMonitor")
    labels = monitor["spec"]["selector"]["matchLabels"]
    [endpoint] = monitor["spec"]["endpoints"]

    for service in of_kind("Service"):
        assert service["metadata"]["labels"].items() >= labels.items()
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "streamer"
    assert endpoint["path"] in routes()


def query_of_the_autoscaler() -> str:
    [scaled] = of_kind("ScaledObject")
    [trigger] = scaled["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


def test_the_autoscaler_scales_the_delivery_by_metrics_that_exist() -> None:
    [scaled] = of_kind("ScaledObject")
    spec, query = scaled["spec"], query_of_the_autoscaler()
    [target] = [one for one in WORKLOADS if name_of(one) == spec["scaleTargetRef"]["name"]]
    known = set(re.findall(r"^\| `(streamer_\w+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))

    assert target["kind"] == spec["scaleTargetRef"]["kind"]
    assert spec["minReplicaCount"] <= target["spec"]["replicas"] <= spec["maxReplicaCount"]
    assert set(re.findall(r"streamer_\w+", query)) <= known
    named = {value for values in re.findall(r'by!?~"([a-z_|]+)"', query) for value in values.split("|")}
    assert named <= set(Limit)


def run(promtool: str, *args: str, cwd: Path) -> None:
    done = subprocess.run([promtool, *args], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def limited(instance: int, by: str, limit: str) -> dict[str, str]:
    """A series of an instance that ``limit`` limits all the time."""
    labels = f'job="streamer",instance="{instance}",integration="sprig",by="{by}"'
    return {"series": f"streamer_limited_seconds_total{{{labels}}}", "values": "0+60x20" if by == limit else "0x20"}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (["mapping", "fetch"], 600),
        (["concurrency", "concurrency"], 600),
        (["held", "held"], 0),
        (["destination", "fetch", "fetch"], 0),
        (["guarded", "mapping"], 0),
        (["fetch"], 0),
    ],
    ids=str,
)
def test_the_autoscaler_counts_lag_only_where_more_instances_would_help(
    promtool: str, tmp_path: Path, limits: list[str], expected: int
) -> None:
    rules = {"groups": [{"name": "autoscaler", "rules": [{"record": "seconds", "expr": query_of_the_autoscaler()}]}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), "utf-8")
    lag = 'streamer_consumer_lag_seconds{job="streamer",instance="a",integration="sprig",partition="0"}'
    every = [limited(number, by, limit) for number, limit in enumerate(limits) for by in Limit]
    case: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": lag, "values": "600x20"}, *every],
        "promql_expr_test": [
            {"expr": "sum(seconds)", "eval_time": "15m", "exp_samples": [{"labels": "{}", "value": expected}]}
        ],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}), "utf-8")

    run(promtool, "check", "rules", "rules.yaml", cwd=tmp_path)
    run(promtool, "test", "rules", "tests.yaml", cwd=tmp_path)
