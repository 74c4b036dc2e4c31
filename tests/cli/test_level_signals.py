"""Signals change the level of the log, from the first moment of the process to its last."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from streamer.level_signals import LevelSignals, Wish
from tests.cli.processes import catches
from tests.service.harness import eventually

CONFIGURATION: Final = """\
kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}
state_dir: {state_dir}
server: {{port: 0}}
log: {{level: error}}
destinations: {{local: {{write_key: key, endpoint: "http://127.0.0.1:1"}}}}
integrations: {{sprig: {{dialect: sprig, topics: [a], destination: local}}}}
"""
WAIT_SECONDS: Final = 60.0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this machine has no /proc")
async def test_the_level_follows_signals_from_the_start_to_the_drain(tmp_path: Path, closed_port: int) -> None:
    """A service whose broker is away, on its own event loop: lines are written that it would not write at `error`."""
    config, log = tmp_path / "streamer.yaml", tmp_path / "log"
    config.write_text(CONFIGURATION.format(closed_port=closed_port, state_dir=tmp_path / "state"))

    def levels() -> list[str]:
        lines = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
        return [line["written_from"] for line in lines if line["event_name"] == "log.level_changed"]

    with log.open("wb") as file:
        arguments = [sys.executable, "-m", "streamer", "run", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*arguments, stdout=file, stderr=subprocess.PIPE)
        try:
            await eventually(lambda: catches(process.pid, signal.SIGTERM), WAIT_SECONDS)
            process.send_signal(signal.SIGUSR1)  # nothing is loaded yet
            await eventually(lambda: levels() == ["debug"], WAIT_SECONDS)
            await eventually(lambda: b"service.started" in log.read_bytes(), WAIT_SECONDS)
            process.send_signal(signal.SIGUSR2)
            await eventually(lambda: levels() == ["debug", "error"], WAIT_SECONDS)
            process.send_signal(signal.SIGUSR1)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WAIT_SECONDS):
                _, err = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert (process.returncode, err) == (0, b"")
    assert levels() == ["debug", "error", "debug"]
    assert b"service.stopped" in log.read_bytes()


class TestLevelSignals:
    @pytest.fixture
    def signals(self) -> Iterator[LevelSignals]:
        signals = LevelSignals()
        with signals.caught():
            yield signals

    def test_the_last_one_that_came_early_is_passed_on(self, signals: LevelSignals) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        told: list[Wish] = []
        with signals.passed_to(told.append):
            assert told == [Wish.CONFIGURED]
            os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert told == [Wish.CONFIGURED, Wish.DEBUG]

    def test_handlers_are_given_back(self) -> None:
        before = signal.getsignal(signal.SIGUSR1)
        with LevelSignals().caught():
            assert signal.getsignal(signal.SIGUSR1) != before
        assert signal.getsignal(signal.SIGUSR1) == before
