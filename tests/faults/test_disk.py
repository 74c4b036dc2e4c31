"""The state directory cannot be written: receipts are an index and not the truth, so events flow on, and it is told."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka

DISK_BYTES = 1 << 20


@pytest.fixture
def small_disk(deployment: Deployment) -> Iterator[Path]:
    """The state directory, on a disk of its own."""
    disk = deployment.directory / "state"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Leave no room at all."""
    with contextlib.suppress(OSError), (disk / "other people's files").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4_096)


async def test_a_disk_that_fills_up_stops_no_event(deployment: Deployment, small_disk: Path) -> None:
    """Nor does it after a restart, with what is left on it. Without receipts, only records read again go again."""
    deployment.hurry(summary_every=0.1)
    [topic] = await deployment.integrate()
    with capture_logs() as lines:
        async with deployment.running() as running:
            await deployment.produce(topic, survey_events(100, "before"))
            await deployment.settled()
            fill(small_disk)
            for number in range(20):
                await deployment.produce(topic, [*survey_events(1_000, f"full_{number}"), b"not JSON"])
            await deployment.settled()
            await eventually(lambda: any(line["event"] == "receipts.unusable" for line in lines))
            assert running.integrations["surveys"].runner.restarts == 0
        async with deployment.running():
            await deployment.produce(topic, survey_events(100, "restarted"))
            await deployment.settled()

    await deployment.verify()


async def test_a_state_directory_that_is_none_stops_no_event(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    (deployment.directory / "state").mkdir()
    (deployment.directory / "state" / "surveys").write_text("in the way")
    with capture_logs() as lines:
        async with deployment.running():
            await deployment.produce(topic, [*survey_events(100), b"not JSON"])
            await deployment.settled()

    assert any(line["event"] == "receipts.unusable" for line in lines)
    await deployment.verify()
