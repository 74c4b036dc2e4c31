"""``deploy/systemd/streamer@.service``: it is valid, hardened, and fits to streamer. Nothing is started."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

from streamer.__main__ import EXIT_SETTINGS, _parser
from streamer.settings import Settings, load
from streamer.settings.remarks import unknown_variables
from streamer.timings import PRODUCTION
from tests.deploy.manifests import ROOT

UNIT: Final = ROOT / "deploy" / "systemd" / "streamer@.service"
MAX_EXPOSURE: Final = 1.4
"""Of 10, as ``systemd-analyze security`` counts. It finds 1.2, most of it for the network, which streamer needs."""


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """The settings of the unit; one may be given several times."""
    settings: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings[key].append(value)
    return settings


@pytest.fixture
def analyze(tmp_path: Path) -> str:
    """The program that checks units; the unit, with a program that exists on this machine, is in the directory."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine")
    text = UNIT.read_text("utf-8").replace("/opt/streamer/bin/streamer", shutil.which("true") or "/bin/true")
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    return program


def environ_of(unit: dict[str, list[str]], instance: str) -> dict[str, str]:
    """The environment of an instance, as far as the unit sets it."""
    environ = dict(entry.split("=", 1) for entry in unit["Environment"])
    values = {"CREDENTIALS_DIRECTORY": f"/run/credentials/streamer@{instance}.service"}
    for name, value in environ.items():
        values[name] = value.replace("%S", "/var/lib").replace("%i", instance)
    return values


def settings_of(unit: dict[str, list[str]], instance: str, tmp_path: Path) -> Settings:
    """What an instance makes of a configuration that all of them share; its comment about the key is followed."""
    [example] = re.findall(r"^#   destinations: (.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    path = tmp_path / "streamer.yaml"
    path.write_text(
        "kafka: {bootstrap_servers: kafka:9092}\nstate_dir: /srv/shared\nserver: {port: 8080}\n"
        f"destinations: {example}\n"
        "integrations: {sprig: {dialect: sprig, topics: [surveys.sprig], destination: production}}\n",
        "utf-8",
    )
    return load(path, environ_of(unit, instance))


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Unknown" not in done.stderr, done.stderr


def test_systemd_accepts_the_unit(analyze: str, tmp_path: Path) -> None:
    run(analyze, "verify", "--man=no", str(tmp_path / UNIT.name), cwd=tmp_path)


def test_the_unit_is_hardened(analyze: str, tmp_path: Path) -> None:
    threshold = f"--threshold={MAX_EXPOSURE * 10:.0f}"
    run(analyze, "security", "--offline=true", "--no-pager", threshold, str(tmp_path / UNIT.name), cwd=tmp_path)


def test_the_command_is_one_of_streamer(unit: dict[str, list[str]]) -> None:
    [command] = unit["ExecStart"]
    program, *args = command.split()

    assert Path(program).name == "streamer"
    assert _parser().parse_args(args).run


def test_every_instance_has_a_state_directory_and_a_port_of_its_own(unit: dict[str, list[str]], tmp_path: Path) -> None:
    """Although all of them read one file, which names others."""
    one, other = settings_of(unit, "8081", tmp_path), settings_of(unit, "8082", tmp_path)

    assert (one.server.port, other.server.port) == (8081, 8082)
    assert one.state_dir != other.state_dir
    [writable] = unit["StateDirectory"]
    assert one.state_dir.is_relative_to(Path("/var/lib") / writable.replace("%i", "8081"))


def test_the_variables_of_the_unit_are_settings(unit: dict[str, list[str]], tmp_path: Path) -> None:
    assert list(unknown_variables(settings_of(unit, "8081", tmp_path), environ_of(unit, "8081"))) == []
    assert unit["EnvironmentFile"] == ["-/etc/streamer/%i.env"]


def test_the_write_key_is_a_credential(unit: dict[str, list[str]], tmp_path: Path) -> None:
    [credential] = unit["LoadCredential"]
    name, _, source = credential.partition(":")

    key_file = settings_of(unit, "8081", tmp_path).destinations["production"].write_key_file

    assert key_file == Path("/run/credentials/streamer@8081.service") / name
    assert f" {source}\n" in UNIT.read_text("utf-8"), "the comment says how to put it there"


def test_a_stop_has_the_time_of_a_drain_and_ten_seconds(unit: dict[str, list[str]]) -> None:
    assert unit["TimeoutStopSec"] == [f"{PRODUCTION.drain + 10:.0f}"]
    assert unit["KillSignal"] == ["SIGTERM"]
    assert unit["Type"] == ["exec"]


def test_what_another_start_cannot_cure_is_not_started_again(unit: dict[str, list[str]]) -> None:
    assert unit["Restart"] == ["on-failure"]
    assert str(EXIT_SETTINGS) in unit["RestartPreventExitStatus"][0].split()


def test_receipts_can_see_when_the_machine_was_started(unit: dict[str, list[str]]) -> None:
    """Without its boot id, every kill would look like a loss of power, and receipts would be set aside."""
    assert unit["ProcSubset"] == []
