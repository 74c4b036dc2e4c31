"""The page as a person has it: in a browser, on a phone, by keyboard, in the dark, while it changes."""

import re
import time
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, expect

from streamer.page import document
from streamer.page import page as served
from tests.browser.kit import PHONE_HEIGHT, PHONE_WIDTH, Chromium, Scheme, axe, picture, scrolls_sideways
from tests.page import stories
from tests.page.serving import serving, url_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_UPDATE_SECONDS: Final = 2.0
"""Longest time from a change to the page that shows it."""

GONE: Final = "ERR_|status of 503"
"""What Chromium logs of a server that does not answer, or has no room."""

LEFT: Final = "page/events net::ERR_ABORTED"
"""Who leaves a page ends its stream."""

STATES: Final = [
    (stories.held, "sprig", "Held", "act"),
    (stories.guarded, "feedback", "Guarded", "act"),
    (stories.backing_off, "sprig", "Backing off", "watch"),
    (stories.paused, "product-fruits", "Paused", "watch"),
    (stories.silent_kafka, "sprig", "No broker answers", "act"),
]

ALL: Final = [
    stories.well,
    stories.held,
    stories.guarded,
    stories.many_partitions,
    stories.with_way_back,
    stories.hostile,
]


async def open_live(page: Page, url: str) -> None:
    """Open the page, and wait until it is told of changes."""
    await page.goto(url)
    await expect(page.locator("#live")).to_have_text("Live")


async def test_it_opens_with_the_state_and_keeps_up_with_it(chromium: Chromium) -> None:
    """Each state appears within 2 s, in the open page: in words, in colour, in the tab."""
    story = stories.well()
    waits = []
    async with serving(story) as server, chromium.page() as page:
        await open_live(page, url_of(server))
        await expect(page.locator("h1")).to_have_text("All 3 integrations deliver. Nothing is at risk.")
        await expect(page).to_have_title("✓ Well · streamer")
        well_icon = await page.get_attribute("#icon", "href")
        await picture(page, "page-well")
        for tell, integration, word, level in STATES:
            changed_at = time.monotonic()
            story.told = tell().told
            row = page.locator(f'#integrations [data-key="{integration}"] [data-label="State"]')
            await expect(row).to_contain_text(word)
            waits.append(time.monotonic() - changed_at)
            await expect(page.locator("html")).to_have_attribute("data-level", level)
            await expect(page).to_have_title(re.compile("^[!✕] "))
            assert await page.get_attribute("#icon", "href") != well_icon
            assert await page.text_content("#announcement") != ""
            assert not await scrolls_sideways(page)
    assert min(waits) < MAX_UPDATE_SECONDS  # the best of them, because machines are busy


@pytest.mark.parametrize(
    ("scheme", "tell"), [("light", stories.held), ("dark", stories.guarded), ("light", stories.with_way_back)]
)
async def test_nobody_is_shut_out(chromium: Chromium, tell: stories.Tell, scheme: Scheme) -> None:
    """axe-core: contrast, names, headings, tables, in both colour schemes."""
    async with serving(tell()) as server, chromium.page(scheme=scheme) as page:
        await open_live(page, url_of(server))
        await axe(page)
        colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        is_dark = max(int(part) for part in re.findall(r"\d+", colour)) < 60
        assert is_dark == (scheme == "dark")


async def test_a_phone_need_not_scroll_sideways(chromium: Chromium) -> None:
    story = stories.well()
    async with serving(story) as server, chromium.page(width=PHONE_WIDTH, height=PHONE_HEIGHT, tolerated=LEFT) as page:
        for tell in ALL:
            story.told = tell().told
            await page.goto(url_of(server))
            assert not await scrolls_sideways(page)


async def test_pictures_of_the_states(chromium: Chromium) -> None:
    """What docs/page.md shows; without `make pictures` it looks whether the headline is seen without scrolling."""
    async with serving(stories.held()) as server:
        async with chromium.page(scheme="dark") as page:
            await open_live(page, url_of(server))
            await expect(page.locator("h1 .do")).to_be_in_viewport(ratio=1)
            await picture(page, "page-held-dark")
        async with chromium.page() as page:
            await open_live(page, url_of(server))
            await picture(page, "page-held")
        async with chromium.page(width=PHONE_WIDTH, height=PHONE_HEIGHT) as page:
            await open_live(page, url_of(server))
            await expect(page.locator("h1 .do")).to_be_in_viewport(ratio=1)
            await picture(page, "page-phone")
    async with serving(stories.guarded()) as server, chromium.page() as page:
        await open_live(page, url_of(server))
        await page.click("#letters summary >> nth=0")
        await page.evaluate("document.getElementById('faults').scrollIntoView()")
        await picture(page, "page-dead-letters")


async def test_what_the_reader_did_stays_while_the_page_changes(chromium: Chromium) -> None:
    """Selection, scroll position, focus and what is open; the selected text itself does not change."""
    story = stories.guarded()
    async with serving(story) as server, chromium.page(height=500) as page:
        await open_live(page, url_of(server))
        await page.click("#letters summary >> nth=0")
        await page.focus("#letters summary >> nth=0")
        await page.evaluate(
            """() => {
                const range = document.createRange();
                range.selectNodeContents(document.querySelector("#letters li p"));
                getSelection().removeAllRanges();
                getSelection().addRange(range);
            }"""
        )
        before = await page.evaluate("[getSelection().toString(), scrollY]")
        assert before[0]
        assert before[1] > 0
        newest = stories.letter(1_204_999, time.time())
        story.change_integration("feedback", recent_letters=[*story.told.integrations[2].recent_letters, newest])
        await expect(page.locator("#letters")).to_contain_text("1204999")
        assert await page.evaluate("getSelection().toString()") == before[0]
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        assert await page.evaluate("document.querySelectorAll('#letters details[open]').length") == 1
        assert abs(await page.evaluate("scrollY") - before[1]) < 200  # the row that came in above is kept out of sight
        await expect(page.locator("#letters details[open] pre >> nth=0")).to_be_visible()


async def test_selected_text_stays_until_it_is_let_go(chromium: Chromium) -> None:
    story = stories.well()
    async with serving(story) as server, chromium.page() as page:
        await open_live(page, url_of(server))
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        story.told = stories.held().told
        await expect(page.locator("#connection")).to_contain_text("Selected text stays as it was")
        assert await page.evaluate("getSelection().toString()") == "All 3 integrations deliver. Nothing is at risk."
        await page.evaluate("getSelection().removeAllRanges()")
        await expect(page.locator("h1")).to_contain_text("held for")
        await expect(page.locator("#connection")).to_be_hidden()


async def test_without_javascript_it_is_complete_and_loads_itself_again(
    chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "RELOAD_SECONDS", 1)
    story = stories.guarded()
    async with serving(story) as server, chromium.page(javascript=False) as page:
        await page.goto(url_of(server))
        assert "Guarded" in await page.inner_text("#integrations")
        assert "Without JavaScript this page reloads" in await page.inner_text("body")
        assert await page.locator("#charts svg[role=img]").count() == 11
        story.told = stories.held().told
        await expect(page.locator("h1")).to_contain_text("held for")


async def test_a_keyboard_is_enough(chromium: Chromium) -> None:
    async with serving(stories.guarded()) as server, chromium.page() as page:
        await open_live(page, url_of(server))
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the state"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Integrations"
        await page.focus("#letters summary >> nth=0")
        await page.keyboard.press("Enter")
        await expect(page.locator("#letters details[open] pre >> nth=0")).to_contain_text("kafka-console-consumer.sh")


async def test_two_people_see_the_same(chromium: Chromium) -> None:
    story = stories.well()
    async with serving(story) as server, chromium.page() as first, chromium.page() as second:
        await open_live(first, url_of(server))
        await open_live(second, url_of(server))
        story.told = stories.paused().told
        for page in (first, second):
            await expect(page.locator("h1")).to_contain_text("product-fruits: paused")
        assert server.page.viewers == 2


async def test_a_lost_connection_is_told_and_comes_back_by_itself(chromium: Chromium) -> None:
    story = stories.well()
    async with chromium.page(tolerated=GONE) as page:
        async with serving(story) as server:
            port = server.port
            await open_live(page, url_of(server))
        notice = page.locator("#connection")
        await expect(notice).to_contain_text("No connection to streamer since")
        await axe(page)
        await picture(page, "page-disconnected")
        async with serving(story, port=port):
            await expect(notice).to_be_hidden()
            await expect(page.locator("#live")).to_have_text("Live")


async def test_an_upgraded_server_brings_its_own_page(chromium: Chromium) -> None:
    """Its style and script may be others than those that an open page has."""
    story = stories.well()
    async with serving(story) as server, chromium.page(tolerated=LEFT) as page:
        await open_live(page, url_of(server))
        await page.evaluate("document.body.dataset.loaded = 'before'")
        story.change(version="1.2.4")
        await expect(page.locator("body[data-loaded]")).to_have_count(0)
        await expect(page.locator("#foot")).to_contain_text("1.2.4")


async def test_where_there_is_no_room_the_page_is_loaded_again(
    chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "MAX_VIEWERS", 0)
    story = stories.well()
    async with serving(story) as server, chromium.page(tolerated=GONE) as page:
        await page.goto(url_of(server))
        await expect(page.locator("#connection")).to_contain_text("This page reloads itself every 5 s")
        story.told = stories.held().told
        await expect(page.locator("h1")).to_contain_text("held for")


async def test_a_browser_gives_the_token_as_a_password(chromium: Chromium, tmp_path: Path) -> None:
    """For the stream as well: a script cannot give it a header."""
    file = tmp_path / "token"
    file.write_text("s3cret")
    async with (
        serving(stories.well(), token_file=file) as server,
        chromium.page(credentials=("anyone", "s3cret"), tolerated="status of 401") as page,
    ):
        await open_live(page, url_of(server))


async def test_hostile_names_run_nothing(chromium: Chromium) -> None:
    story = stories.well()
    async with serving(story) as server, chromium.page() as page:
        page.on("dialog", lambda _: pytest.fail("a name was run as a script"))
        await open_live(page, url_of(server))
        story.told = stories.hostile().told
        await expect(page.locator("#integrations")).to_contain_text("<script>alert(1)</script>")
        assert await page.evaluate("document.scripts.length") == 1
        assert await page.evaluate("document.images.length") == 0
