"""A signal that asks the process to end may come while it starts: before it can be handled well, as process 1 too."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from streamer.stop_signals import STOP_SIGNALS, StopSignals
from tests.cli.processes import catches
from tests.service.harness import eventually

CONFIGURATION: Final = """\
kafka: {{bootstrap_servers: "127.0.0.1:{closed_port}"}}
state_dir: {state_dir}
server: {{port: 0}}
destinations: {{local: {{write_key: key, endpoint: "http://127.0.0.1:1"}}}}
integrations: {{sprig: {{dialect: sprig, topics: [a], destination: local}}}}
"""
MAX_AT_A_TIME: Final = 4
END_SECONDS: Final = 30.0

Configure = Callable[[str], Path]

AS_PROCESS_1: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
can_be_process_1: Final = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*AS_PROCESS_1, "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine gives no process namespaces",
)


@pytest.fixture
def configure(tmp_path: Path, closed_port: int) -> Configure:
    """A function that writes the configuration of a service whose broker is away: it is always on its way up."""

    def configure(name: str) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(CONFIGURATION.format(closed_port=closed_port, state_dir=tmp_path / name))
        return path

    return configure


def child_of(pid: int) -> int | None:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


async def end_of(arguments: Sequence[str], after_ms: int, number: signal.Signals) -> tuple[int | None, str]:
    """Start the service, send a signal after a time, and return exit code and standard error.

    The time counts from the moment at which the signal is caught. Before, for some hundredths of a second, there is
    only Python itself, and the kernel's default holds: a process dies, and process 1 does not notice.
    """
    process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def service() -> int | None:
        pid = child_of(process.pid) if arguments[0] == AS_PROCESS_1[0] else process.pid
        # That of SIGINT is set before it.
        return pid if pid is not None and catches(pid, signal.SIGTERM) else None

    try:
        async with asyncio.timeout(END_SECONDS):
            await eventually(service, END_SECONDS)
            pid = service()
            assert pid is not None
            await asyncio.sleep(after_ms / 1_000)
            os.kill(pid, number)
            _, err = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.returncode, err.decode()


@pytest.mark.parametrize(
    ("prefix", "number", "moments_ms"),
    [
        pytest.param((), signal.SIGTERM, range(0, 1_001, 200), id="SIGTERM"),
        pytest.param((), signal.SIGINT, range(0, 1_001, 500), id="SIGINT"),
        pytest.param(AS_PROCESS_1, signal.SIGTERM, range(0, 1_001, 500), id="process 1", marks=can_be_process_1),
    ],
)
async def test_at_any_moment_of_the_start_it_ends_with_0(
    configure: Configure, prefix: Sequence[str], number: signal.Signals, moments_ms: Sequence[int]
) -> None:
    at_a_time = asyncio.Semaphore(MAX_AT_A_TIME)

    async def end_after(after_ms: int) -> tuple[int | None, str]:
        config = configure(f"{after_ms}")
        async with at_a_time:
            arguments = [*prefix, sys.executable, "-m", "streamer", "run", "--config", str(config)]
            return await end_of(arguments, after_ms, number)

    ends = await asyncio.gather(*map(end_after, moments_ms))
    assert dict(zip(moments_ms, ends, strict=True)) == dict.fromkeys(moments_ms, (0, ""))


def test_signals_are_caught_before_anything_slow_is_loaded() -> None:
    """Each of these takes longer to load than all that comes before."""
    program = (
        "import sys, streamer.__main__ as start\n"
        "slow = {'argparse', 'asyncio', 'importlib.metadata', 'logging', 'pydantic', 'aiokafka', 'aiohttp'}\n"
        "print(*sorted(slow.intersection(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


class TestStopSignals:
    @pytest.fixture
    def signals(self) -> Iterator[StopSignals]:
        signals = StopSignals()
        with signals.caught():
            yield signals

    def test_one_that_came_early_is_passed_on(self, signals: StopSignals) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        told: list[int] = []
        with signals.passed_to(told.append):
            assert told == [1]
            os.kill(os.getpid(), signal.SIGINT)
            assert told == [1, 2]
        assert signals.count == 2

    def test_handlers_are_given_back(self) -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with STOP_SIGNALS.caught():
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) != before
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    def test_a_second_one_ends_a_process_that_still_loads(self) -> None:
        program = (
            "import os, signal\n"
            "from streamer.stop_signals import StopSignals\n"
            "with StopSignals().caught():\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 143
