"""Typing commands on a terminal: what a person sees, how long it takes, and the exit code."""

import asyncio
import os
import pty
import re
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.questions import transcripts

ANSWERED_SECONDS: Final = 60.0
"""So soon each question must be answered."""

COLUMNS: Final = 150

_ESCAPES: Final = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str
    seconds: float

    def rows(self) -> list[dict[str, Any]]:
        """The JSON lines that it printed."""
        return [orjson.loads(line) for line in self.out.splitlines()]


@dataclass(slots=True)
class Person:
    """Types commands beside the configuration."""

    directory: Path
    replaced: dict[str, str] = field(default_factory=dict)
    """What stands on the page instead of addresses of this machine."""

    async def types(self, *arguments: str, expect: int = 0) -> Answer:
        """Run ``streamer`` with its output in pipes, as a script does."""
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "streamer", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.directory,
        )
        async with asyncio.timeout(ANSWERED_SECONDS):
            out, err = await process.communicate()
        assert process.returncode is not None
        answer = Answer(process.returncode, out.decode(), err.decode(), time.monotonic() - began)
        assert answer.code == expect, f"{shlex.join(arguments)} ended with {answer.code}: {answer.out}{answer.err}"
        return answer

    async def shows(self, name: str, *commands: tuple[str, ...]) -> None:
        """Put commands and what they print on a terminal into the page, if that is wanted."""
        if not transcripts.are_wanted():
            return
        transcripts.write(name, "".join([await self._seen(arguments) for arguments in commands]))

    async def _seen(self, arguments: tuple[str, ...]) -> str:
        """What a person sees: the command, and its output on a terminal at the end."""
        ours, theirs = pty.openpty()
        environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "xterm"}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "streamer", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=self.directory,
            env=environment,
        )
        os.close(theirs)
        seen = await asyncio.to_thread(_read_all, ours)
        await process.wait()
        text = f"$ streamer {shlex.join(arguments)}\n{_settled(seen)}\n"
        for here, there in self.replaced.items():
            text = text.replace(here, there)
        return text


def _read_all(descriptor: int) -> bytes:
    seen = b""
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # the last program with the terminal has ended
            break
        if not part:
            break
        seen += part
    os.close(descriptor)
    return seen


def _settled(seen: bytes) -> str:
    """What is left on the screen: lines that were drawn over, as progress bars are, are not."""
    lines = seen.replace(b"\r\n", b"\n").split(b"\n")
    return _ESCAPES.sub(b"", b"\n".join(line.rpartition(b"\r")[2] for line in lines)).decode().rstrip()
