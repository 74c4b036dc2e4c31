"""SIGHUP has the configuration read again, and never kills: not at the start, not while the service ends."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from streamer.reload_signal import ReloadSignal
from tests.cli.processes import catches
from tests.service.harness import eventually

CONFIGURATION: Final = """\
kafka: {{bootstrap_servers: "127.0.0.1:1"}}
state_dir: {state_dir}
server: {{port: 0}}
log: {{format: json}}
destinations: {{local: {{write_key: key, endpoint: "http://127.0.0.1:1"}}}}
integrations: {{sprig: {{dialect: sprig, topics: [a], destination: local}}}}
"""
WAIT_SECONDS: Final = 60.0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this machine has no /proc")
async def test_the_signal_is_harmless_at_any_time_and_followed_while_the_service_runs(tmp_path: Path) -> None:
    config, log = tmp_path / "streamer.yaml", tmp_path / "log"
    good = CONFIGURATION.format(state_dir=tmp_path / "state")
    config.write_text(good)

    def told(name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
        return [line for line in lines if line["event_name"] == name]

    with log.open("wb") as file:
        arguments = [sys.executable, "-m", "streamer", "run", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*arguments, stdout=file, stderr=subprocess.PIPE)
        try:
            await eventually(lambda: catches(process.pid, signal.SIGHUP), WAIT_SECONDS)
            process.send_signal(signal.SIGHUP)  # nothing is loaded yet
            await eventually(lambda: told("config.reloaded"), WAIT_SECONDS)
            config.write_text(good.replace("dialect: sprig", "dialect: unknown"))
            process.send_signal(signal.SIGHUP)
            await eventually(lambda: told("config.rejected"), WAIT_SECONDS)
            config.write_text(good.replace("format: json", "format: json, level: debug"))  # noticed without a signal
            await eventually(lambda: len(told("config.reloaded")) == 2, WAIT_SECONDS)
            process.send_signal(signal.SIGTERM)
            for _ in range(20):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(WAIT_SECONDS):
                _, err = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    assert (process.returncode, err) == (0, b"")


class TestReloadSignal:
    @pytest.fixture
    def reload_signal(self) -> Iterator[ReloadSignal]:
        reload_signal = ReloadSignal()
        with reload_signal.caught():
            yield reload_signal

    def test_one_that_came_early_is_passed_on(self, reload_signal: ReloadSignal) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        told: list[None] = []
        with reload_signal.passed_to(lambda: told.append(None)):
            assert len(told) == 1
            os.kill(os.getpid(), signal.SIGHUP)
            assert len(told) == 2

    def test_one_that_comes_after_the_service_is_harmless(self, reload_signal: ReloadSignal) -> None:
        told: list[None] = []
        with reload_signal.passed_to(lambda: told.append(None)):
            pass
        os.kill(os.getpid(), signal.SIGHUP)
        assert not told

    @pytest.mark.parametrize("is_closed", [False, True])
    def test_a_terminal_that_is_closed_ends_the_process(self, *, is_closed: bool) -> None:
        terminal, ours = os.openpty()
        ended: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
        try:
            with ReloadSignal().caught([ours]):
                if is_closed:
                    os.close(terminal)
                os.kill(os.getpid(), signal.SIGHUP)
        finally:
            signal.signal(signal.SIGTERM, before)
            os.close(ours)
            if not is_closed:
                os.close(terminal)
        assert ended == ([signal.SIGTERM] if is_closed else [])

    def test_it_is_caught_only_while_the_context_lasts(self) -> None:
        before = signal.getsignal(signal.SIGHUP)
        with ReloadSignal().caught():
            assert signal.getsignal(signal.SIGHUP) != before
        assert signal.getsignal(signal.SIGHUP) == before
