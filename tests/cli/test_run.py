"""``streamer run``: what it does before anything is connected."""

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
