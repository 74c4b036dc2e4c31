"""The system's Chromium, for tests that look at streamer's pages as a person does.

    async with browsing() as chromium, chromium.page(width=PHONE_WIDTH) as page:
        await page.goto(url)

A test fails if its page logs an error or if one of its requests fails. Where there is no Chromium, or where it does not
start, the test is skipped with the reason. ``STREAMER_PICTURES=1`` (`make pictures`): tests write the docs' pictures.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Request, async_playwright, expect

WIDTH: Final = 1080
HEIGHT: Final = 720
PHONE_WIDTH: Final = 360
PHONE_HEIGHT: Final = 740

Scheme = Literal["light", "dark"]

MAX_WAIT_MS: Final = 20_000
"""Longest wait for something to appear on a page: generous, because machines are busy."""

expect.set_options(timeout=MAX_WAIT_MS)

PICTURES: Final = Path(__file__).parents[2] / "docs" / "pictures"
MAX_PICTURE_BYTES: Final = 150_000

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser() -> str | None:
    """The path of a Chromium; None: there is none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def browsing() -> AsyncIterator["Chromium"]:
    """A running Chromium; skips the test where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip(f"there is no browser here: none of {', '.join(_NAMES)} is installed")
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        except Error as error:
            pytest.skip(f"{path} does not start: {error.message.splitlines()[0]}")
        try:
            yield Chromium(browser)
        finally:
            await browser.close()


@dataclass(frozen=True, slots=True)
class Chromium:
    """A running browser."""

    _browser: Browser

    @asynccontextmanager
    async def page(
        self,
        *,
        width: int = WIDTH,
        height: int = HEIGHT,
        scheme: Scheme = "light",
        javascript: bool = True,
        tolerated: str = "(?!)",
        credentials: tuple[str, str] | None = None,
    ) -> AsyncIterator[Page]:
        """An empty page of its own, without cookies and cache; fails at the end if something on it failed.

        Args:
            width: of the window, in pixels.
            height: of the window, in pixels.
            scheme: whether the person prefers light or dark pages.
            javascript: whether scripts run.
            tolerated: a pattern; errors in which it is found do not fail the test.
            credentials: user and password for HTTP Basic.
        """
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            java_script_enabled=javascript,
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
            http_credentials=None if credentials is None else {"username": credentials[0], "password": credentials[1]},
        )
        context.set_default_timeout(MAX_WAIT_MS)
        page, faults = await context.new_page(), list[str]()

        def on_console(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                faults.append(f"console: {message.text}")

        def on_failed(request: Request) -> None:
            faults.append(f"request: {request.url} {request.failure}")

        page.on("console", on_console)
        page.on("requestfailed", on_failed)
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        try:
            yield page
            failed = [fault for fault in faults if not re.search(tolerated, fault)]
        finally:
            await context.close()
        assert not failed, "\n".join(failed)


async def axe(page: Page) -> None:
    """Fail if axe-core finds a serious or critical barrier for keyboards and screen readers."""
    found = (await Axe().run(page)).response["violations"]
    serious = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {[node['html'][:200] for node in rule['nodes'][:3]]}"
        for rule in found
        if rule["impact"] in {"serious", "critical"}
    ]
    assert not serious, "\n".join(serious)


async def scrolls_sideways(page: Page) -> bool:
    """Whether the page is wider than its window."""
    return bool(await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


async def picture(page: Page, name: str, *, is_whole: bool = False) -> None:
    """Write ``docs/pictures/NAME.png``, if asked for by ``STREAMER_PICTURES=1``.

    Args:
        page: what to take a picture of.
        name: of the file.
        is_whole: the whole page, and not only what the window shows.
    """
    if os.environ.get("STREAMER_PICTURES") != "1":
        return
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    await page.screenshot(path=path, full_page=is_whole, animations="disabled", scale="css")
    assert path.stat().st_size <= MAX_PICTURE_BYTES, f"{path} is too large for the repository"
