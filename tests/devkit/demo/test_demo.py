"""``streamer demo`` as a user runs it: the whole of it, the place to play, and Ctrl-C while it works."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from streamer.devkit.broker import Broker
from streamer.devkit.demo import showing
from tests.conftest import ExternalCluster

pytestmark = pytest.mark.kafka

STREAMER: Final = [sys.executable, "-m", "streamer"]
WAIT_SECONDS: Final = 120.0


class Demo:
    """A running demo, and what it has printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def until(self, text: str) -> None:
        """Read until a line has this text."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not (self.lines and text in self.lines[-1]):
                await self._read_line()

    async def end(self) -> int:
        """Read to the end; the exit code."""
        async with asyncio.timeout(WAIT_SECONDS):
            while await self._read_line():
                pass
            return await self.process.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    async def _read_line(self) -> bool:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line or self.process.stdout.at_eof(), self.text
        if line:
            self.lines.append(line.decode().rstrip("\n"))
        return bool(line)


@contextlib.asynccontextmanager
async def demo(*options: str, servers: str | None = None) -> AsyncIterator[Demo]:
    """Start it; its two streams are one, as on a terminal. Without ``servers``, it starts a Kafka of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    if servers:
        environment["STREAMER_KAFKA__BOOTSTRAP_SERVERS"] = servers
    process = await asyncio.create_subprocess_exec(
        *STREAMER,
        "demo",
        *options,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    try:
        yield Demo(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_shows_events_survives_both_faults_and_adds_up(broker: Broker | ExternalCluster) -> None:
    async with demo("--once", "--events", "60", servers=broker.bootstrap_servers) as shown:
        assert await shown.end() == 0, shown.text

    assert "FAIL" not in shown.text
    assert shown.text.count("the record on Kafka") == shown.text.count("the call that Segment received") == 3
    assert '"event": "SDK - Submitted - Survey Response"' in shown.text
    assert "every expected messageId was received exactly once" in shown.text
    assert "warn destination.backing_off (503), data at risk: no" in shown.text
    assert "info destination.resumed" in shown.text
    assert "each event was accepted by Segment exactly once (300 of 300)" in shown.text
    assert re.search(r"kill -9 of process \d+, with \d+ records in flight", shown.text)
    assert re.search(r"Sent again after the restart: \d+ of 180 calls|No call was sent again", shown.text)
    assert "each event was accepted by Segment exactly once (180 of 180)" in shown.text
    assert "every user of the app is published as expected (40)" in shown.text
    assert all(len(line) <= showing.COLUMNS for line in shown.lines), max(shown.lines, key=len)


async def test_the_place_to_play_takes_the_commands_that_it_names(broker: Broker | ExternalCluster) -> None:
    async with demo("--keep", servers=broker.bootstrap_servers) as playing:
        await playing.until("Everything runs until Ctrl-C")
        export, *commands = [line.strip() for line in playing.lines if line.startswith("  ")]
        name, _, config = export.removeprefix("export ").partition("=")
        assert len(commands) == 5
        for command in commands:
            words = shlex.split(command)
            ours = [*STREAMER, *words[1:]] if words[0].endswith("streamer") else ["curl", "-fsS", *words[1:]]
            done = await asyncio.to_thread(
                subprocess.run, ours, env={**os.environ, name: config}, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, (command, done)
        assert exists(config)

        playing.process.send_signal(signal.SIGINT)
        assert await playing.end() == 0
        assert not exists(config)


def exists(path: str) -> bool:
    return Path(path).exists()


@pytest.mark.parametrize(
    ("reached", "own_kafka"),
    [
        ("demo: starting Apache Kafka", True),
        ("Segment answers 503 to each request", False),
    ],
)
async def test_ctrl_c_is_an_interruption_and_leaves_nothing_running(
    broker: Broker | ExternalCluster, reached: str, own_kafka: bool
) -> None:
    """Never a check that fails because the demo did not get that far."""
    async with demo("--once", "--events", "10", servers=None if own_kafka else broker.bootstrap_servers) as interrupted:
        await interrupted.until(reached)
        async with asyncio.timeout(WAIT_SECONDS):
            while not interrupted.children():  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.01)
        children = interrupted.children()
        interrupted.process.send_signal(signal.SIGINT)
        assert await interrupted.end() == 130

    assert interrupted.lines[-1] == "demo: interrupted"
    assert "FAIL" not in interrupted.text
    assert "Traceback" not in interrupted.text
    assert not any(child.is_running() for child in children)
