"""``streamer run``: what it does before anything is connected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from streamer.pipeline.guard_memory import GuardMemory
from streamer.service import Service
from streamer.settings import load


@pytest.fixture
def config(tmp_path: Path) -> Path:
    document = {
        "state_dir": str(tmp_path / "state"),
        "kafka": {"bootstrap_servers": "127.0.0.1:1"},
        "destinations": {"segment": {"write_key": "write-key-of-the-test", "endpoint": "http://127.0.0.1:1"}},
        "integrations": {
            name: {"dialect": "getuserfeedback", "topics": [name], "destination": "segment"}
            for name in ("answers", "surveys")
        },
    }
    path = tmp_path / "streamer.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_an_integration_to_release_that_does_not_exist_is_a_fault(config: Path) -> None:
    command = [sys.executable, "-m", "streamer", "run", "--config", str(config), "--release-guard", "nobody"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 78
    assert "--release-guard nobody: there is no integration of this name" in ended.stderr


def test_the_variables_of_opentelemetry_turn_traces_on(config: Path) -> None:
    """And a collector that is away, as the brokers are, keeps it neither from starting nor from ending."""
    command = [sys.executable, "-m", "streamer", "run", "--config", str(config)]
    text = config.read_text().replace("state_dir", "server: {port: 0}\nstate_dir")
    config.write_text(text)
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:hunter2@127.0.0.1:1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "service.started" in line:
                process.terminate()
    [started] = [line for line in lines if "traces.started" in line]
    assert "http://REDACTED@127.0.0.1:1/v1/traces" in started
    assert process.returncode == 0
    assert "hunter2" not in "".join(lines)


async def test_a_guard_is_released_for_the_named_integration_alone(config: Path) -> None:
    settings = load(config)

    def memory(name: str) -> GuardMemory:
        return GuardMemory(settings.state_dir / name, fingerprint=settings.fingerprint())

    for name in settings.integrations:
        memory(name).remember()
    service = Service(settings)
    try:
        service.release_guard(["surveys"])
    finally:
        for integration in service.integrations.values():
            integration.receipts.close()

    assert {name: memory(name).is_guarded() for name in settings.integrations} == {"answers": True, "surveys": False}
