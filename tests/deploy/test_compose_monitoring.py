"""The profile ``monitoring`` of docker-compose.yml: its services find streamer, each other and their files."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from streamer.settings import load
from tests.deploy.manifests import IMAGE_ENVIRON, ROOT, read

COMPOSE: Final = read(ROOT / "docker-compose.yml")
MONITORING: Final = {
    name: service for name, service in COMPOSE["services"].items() if "monitoring" in service.get("profiles", ())
}
FILES: Final = ROOT / "deploy" / "compose"


def mounts(service: str) -> dict[str, Path]:
    """The file of this repository by its path in the container."""
    return {
        target: ROOT / source
        for source, target, *_ in (volume.split(":") for volume in MONITORING[service].get("volumes", ()))
        if source.startswith("./")
    }


def test_only_those_who_ask_for_the_monitoring_get_it() -> None:
    assert set(MONITORING) == {"prometheus", "grafana"}
    for name, service in COMPOSE["services"].items():
        assert name in MONITORING or not set(service.get("depends_on", ())) & set(MONITORING)


@pytest.mark.parametrize("service", MONITORING)
def test_every_file_that_is_mounted_exists(service: str) -> None:
    """Docker would make a directory of what is missing."""
    assert {str(file): file.is_file() for file in mounts(service).values()} == {
        str(file): True for file in mounts(service).values()
    }


@pytest.mark.parametrize("service", MONITORING)
def test_images_are_pinned_and_confined(service: str) -> None:
    definition = MONITORING[service]

    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", definition["image"])
    assert definition["read_only"]
    assert definition["cap_drop"] == ["ALL"]


def test_prometheus_scrapes_streamer_under_the_name_that_the_alerts_expect() -> None:
    [job] = read(FILES / "prometheus.yaml")["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    [configuration] = [
        ROOT / volume.split(":")[0]
        for volume in COMPOSE["services"][name]["volumes"]
        if volume.endswith("/etc/streamer/streamer.yaml:ro")
    ]

    assert job["job_name"] == "streamer"
    assert int(port) == load(configuration, IMAGE_ENVIRON).server.port


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on this machine; Debian's package prometheus has it")
    for file in mounts("prometheus").values():
        shutil.copy(file, tmp_path)

    done = subprocess.run(
        [promtool, "check", "config", "prometheus.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    [source] = read(FILES / "grafana" / "datasources.yaml")["datasources"]
    [provider] = read(FILES / "grafana" / "dashboards.yaml")["providers"]
    environment = MONITORING["grafana"]["environment"]
    [dashboard] = [path for path in mounts("grafana") if path.endswith(".json")]

    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    assert provider["options"]["path"] == str(Path(dashboard).parent)
    assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard
    scraped = read(FILES / "prometheus.yaml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_every_panel_uses_a_data_source_that_is_provisioned() -> None:
    """Grafana replaces ``${DS_...}`` when a dashboard is imported, and not when it is provisioned from a file."""
    [file] = [file for target, file in mounts("grafana").items() if target.endswith(".json")]
    dashboard = json.loads(file.read_text("utf-8"))
    variables = {one["name"] for one in dashboard["templating"]["list"] if one["type"] == "datasource"}
    known = {f"${{{name}}}" for name in variables} | {"prometheus", "-- Grafana --", "grafana"}

    assert variables
    assert set(sources_of(dashboard.get("panels", []))) <= known


def sources_of(part: Any) -> list[str]:
    """The ids of all data sources that a part of a dashboard names."""
    if isinstance(part, list):
        return [source for entry in part for source in sources_of(entry)]
    if not isinstance(part, dict):
        return []
    own = part.get("datasource")
    found = [str(own["uid"] if isinstance(own, dict) else own)] if own else []
    return found + [source for key, entry in part.items() if key != "datasource" for source in sources_of(entry)]
