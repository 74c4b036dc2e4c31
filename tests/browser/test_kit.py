"""The browser kit itself: what it lets pass, and what it does not."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from streamer.listening import listen_on
from tests.browser.kit import Chromium, axe, scrolls_sideways

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = """<!doctype html><html lang="en"><title>Fine</title><link rel="icon" href="data:,">
<main><h1>All is well</h1></main></html>"""
BAD = """<!doctype html><html><link rel="icon" href="data:,"><img src="/missing.png">
<script>console.error("broken")</script><div style="width: 5000px">wide</div></html>"""


@pytest_asyncio.fixture(loop_scope="module")
async def url() -> AsyncIterator[str]:
    async def good(_request: web.Request) -> web.Response:
        return web.Response(text=GOOD, content_type="text/html")

    async def bad(_request: web.Request) -> web.Response:
        return web.Response(text=BAD, content_type="text/html")

    application = web.Application()
    application.router.add_get("/good", good)
    application.router.add_get("/bad", bad)
    runner = web.AppRunner(application)
    port = await listen_on(runner, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


async def test_a_sound_page_passes(chromium: Chromium, url: str) -> None:
    async with chromium.page() as page:
        await page.goto(f"{url}/good")
        assert await page.inner_text("h1") == "All is well"
        await axe(page)
        assert not await scrolls_sideways(page)


async def test_what_fails_on_a_page_fails_the_test(chromium: Chromium, url: str) -> None:
    async def look() -> None:
        async with chromium.page() as page:
            await page.goto(f"{url}/bad")

    with pytest.raises(AssertionError, match=r"(?s)(404.*broken|broken.*404)"):
        await look()


async def test_what_is_tolerated_does_not(chromium: Chromium, url: str) -> None:
    async with chromium.page(tolerated="404|broken") as page:
        await page.goto(f"{url}/bad")
        assert await scrolls_sideways(page)
        with pytest.raises(AssertionError, match="image-alt"):
            await axe(page)
