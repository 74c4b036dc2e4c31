"""A person on call: sees the page and the log, and types commands."""

import asyncio
import contextlib
import html
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from playwright.async_api import Page

from tests.browser.kit import Chromium, picture
from tests.service.harness import Process, eventually

NOTICED_SECONDS: Final = 15.0
"""So soon after a fault began, the first line of the page and the log must say it."""

_FIRST_LINE: Final = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)
_TAG: Final = re.compile(r"<[^>]+>")
_SPACE: Final = re.compile(r"\s+")


class Ended(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Operator:
    """Looks at one instance."""

    def __init__(self, process: Process, configuration: Path, page: Page | None) -> None:
        self._process = process
        self._configuration = configuration
        self._page = page

    async def first_line(self) -> str:
        """The first line of the page as it is now; in a browser, without having loaded it again."""
        if self._page is not None:
            return _plain(await self._page.inner_text("h1"))
        url = await self._process.url()
        async with aiohttp.ClientSession() as session, session.get(f"{url}/") as response:
            match = _FIRST_LINE.search(await response.text())
        assert match is not None, "the page has a first line"
        return _plain(html.unescape(_TAG.sub("", match[1])))

    async def reads(self, *words: str, seconds: float = NOTICED_SECONDS) -> str:
        """Wait until the first line has all these words; returns it."""
        began, line = time.monotonic(), ""
        while time.monotonic() - began < seconds:
            line = await self.first_line()
            if all(word in line for word in words):
                return line
            await asyncio.sleep(0.1)
        raise AssertionError(f"after {seconds:g} s the first line of the page is {line!r}; it lacks some of {words}")

    async def finds_in_log(self, event_name: str, seconds: float = NOTICED_SECONDS) -> dict[str, Any]:
        """Wait for a line with this event name; returns the first one."""
        await eventually(lambda: self._process.log_events(event_name), seconds)
        line: dict[str, Any] = self._process.log_events(event_name)[0]
        return line

    async def types(self, *arguments: str) -> Ended:
        """Run ``streamer`` with these arguments and the configuration."""
        command = ("-m", "streamer", *arguments, "--config", str(self._configuration))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def takes_picture(self, name: str) -> None:
        """Take a picture for the docs, if pictures are wanted."""
        if self._page is not None:
            await picture(self._page, name)


@contextlib.asynccontextmanager
async def on_call(process: Process, configuration: Path, chromium: Chromium | None) -> AsyncIterator[Operator]:
    """A person who has opened the page of an instance."""
    if chromium is None:
        yield Operator(process, configuration, None)
        return
    async with chromium.page() as page:
        await page.goto(await process.url())
        yield Operator(process, configuration, page)


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
