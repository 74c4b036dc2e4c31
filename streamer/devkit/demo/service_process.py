"""The service of the demo: a process of its own, started as a user starts it, and asked over HTTP as a user asks it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from streamer.core.errors import UnavailableError
from streamer.core.records.account import Totals
from streamer.devkit import child_process

START_SECONDS: Final = 60.0
"""Longest wait until it can work; a second or two on an idle machine."""

STOP_SECONDS: Final = 10.0
"""Longest orderly end."""

ASK_SECONDS: Final = 5.0
"""Longest wait for one answer."""

LOOK_SECONDS: Final = 0.1
"""Pause between two questions."""

MAX_LOG_LINES_SHOWN: Final = 15

_OK: Final = 200
_SETTING: Final = "STREAMER_"
"""How the names of environment variables begin that override settings."""


class ServiceProcess:
    """``streamer run`` as a child process; it may be killed and started again."""

    def __init__(self, config: Path, port: int, session: aiohttp.ClientSession) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            config: its configuration file.
            port: where it serves its status, as the file says.
            session: asks it.
        """
        self.url: Final = f"http://127.0.0.1:{port}"
        self.log_path: Final = config.with_name("streamer.log")
        """What all its runs have printed."""
        self._config = config
        self._session = session
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    @property
    def process_id(self) -> int:
        """The id of the running process."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def spawn(self) -> None:
        """Start the process; it cannot work yet."""
        command = [sys.executable, "-m", "streamer", "run", "--config", str(self._config)]
        # The file alone decides how the demo runs.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTING)}
        self._process = child_process.spawn(self, command, output=self.log_path, environment=environment)

    async def until_ready(self) -> None:
        """Wait until all of it works.

        Raises:
            UnavailableError: it has ended, or does not get ready; the text shows the end of its log.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._is_ready():  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise self._unavailable(f"is not ready after {START_SECONDS:.0f} s") from None

    async def status(self) -> dict[str, Any]:
        """Its status document.

        Raises:
            UnavailableError: it does not answer; the text shows the end of its log.
        """
        answer = await self._get("/status")
        if answer is None:
            raise self._unavailable("does not answer")
        if answer[0] != _OK:
            raise self._unavailable(f"answers {answer[0]} at /status")
        document: dict[str, Any] = orjson.loads(answer[1])
        return document

    async def totals(self) -> dict[str, Totals]:
        """What became of its records, by integration. Raises as `status` does."""
        integrations = (await self.status())["integrations"]
        return {name: totals_of(integration["account"]) for name, integration in integrations.items()}

    def new_log_lines(self) -> list[dict[str, Any]]:
        """What it has logged since the last call: a document for each line."""
        with self.log_path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = [_document_of(line) for line in whole.splitlines()]
        return [line for line in lines if line]

    def log_tail(self) -> list[str]:
        """The last lines that it has printed."""
        return self.log_path.read_text("utf-8", errors="replace").splitlines()[-MAX_LOG_LINES_SHOWN:]

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        assert self._process is not None, "it is not running"
        self._process.kill()
        self._process.wait()
        self._process = None

    async def stop(self) -> None:
        """Let it drain and end, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            await child_process.end(process, timeout_seconds=STOP_SECONDS)

    async def _is_ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            code = None if self._process is None else self._process.returncode
            raise self._unavailable(f"ended with exit code {code}")
        answer = await self._get("/readyz")
        return answer is not None and answer[0] == _OK and b"degraded" not in answer[1]

    async def _get(self, path: str) -> tuple[int, bytes] | None:
        timeout = aiohttp.ClientTimeout(total=ASK_SECONDS)
        try:
            async with self._session.get(f"{self.url}{path}", timeout=timeout) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _unavailable(self, what: str) -> UnavailableError:
        text = "\n".join(f"  {line}" for line in self.log_tail())
        return UnavailableError(f"the service of the demo {what}. The end of {self.log_path}:\n{text}")


def totals_of(account: Mapping[str, Any]) -> Totals:
    """An account of the status document. Before the first assignment it has no terms."""

    def term(name: str) -> int:
        value = account.get(name, 0)
        return sum(value.values()) if isinstance(value, dict) else int(value)

    return Totals(
        consumed=term("consumed"),
        delivered=term("delivered"),
        duplicate=term("duplicate"),
        filtered=term("filtered"),
        dead_lettered=term("dead_lettered"),
        handed_back=term("handed_back"),
        in_flight=term("in_flight"),
    )


def _document_of(line: bytes) -> dict[str, Any]:
    """A line of the log; empty if it is none, as the warning of a library."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
