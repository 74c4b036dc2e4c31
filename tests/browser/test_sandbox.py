"""The sandbox's debugger as a person meets it, in a real browser."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page
from playwright.async_api import TimeoutError as TooLate

from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox
from tests.browser.kit import PHONE_HEIGHT, PHONE_WIDTH, WIDTH, Chromium, axe, picture, scrolls_sideways

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIVE_SECONDS: Final = 2.0
"""Within how long the page shows a call."""

PICTURE_WIDTH: Final = 1000
PICTURE_HEIGHT: Final = 600

TAIL_ENDED: Final = r"page/events.*ERR_ABORTED"
"""A page that searches closes its live tail and opens another; the browser calls that a failed request."""

KEY: Final = {"Authorization": "Basic " + base64.b64encode(b"streamer_test_write_key_000000001:").decode()}
HOSTILE: Final = "<img src=x onerror=alert(1)>\u202e"


class Clock:
    """The time, or some seconds before it."""

    def __init__(self) -> None:
        self.seconds_behind = 0.0

    def __call__(self) -> float:
        return time.time() - self.seconds_behind


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(clock: Clock) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(clock=clock)
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def filled(sandbox: Sandbox, clock: Clock) -> Sandbox:
    """What a user sees after a minute of trying: all verdicts, a record that was told, and a fault that runs."""
    for second in range(40):
        clock.seconds_behind = 45.0 - second
        numbers = range(10 * second, 10 * second + 6 + second % 5)
        await post(sandbox, *(call(number) for number in numbers))
    await post(sandbox, call(400), call(5), call(401, userId=None))
    sandbox.faults.play(Fault(action=Action(status=503), for_seconds=300))
    for seconds_behind in (4.0, 3.0, 2.0, 0.0):
        clock.seconds_behind = seconds_behind
        await post(sandbox, call(402), call(403))
    value = {"id": "pf-403", "user": {"username": "user-0012"}, "survey": {"id": "nps-2026", "answers": [{"q-1": 7}]}}
    sandbox.tell_source(call(403)["messageId"], "surveys.product_fruits", 1, 4_711, value)
    return sandbox


def call(number: int, **members: Any) -> dict[str, Any]:
    properties = {
        "survey_id": "nps-2026",
        "survey_name": "How likely are you to recommend us to a friend or colleague?",
        "question_id": "q-1",
        "answer": number % 11,
        "is_final": number % 2 == 0,
        "comment": None,
    }
    return {
        "type": "track",
        "userId": f"user-{number % 17:04}",
        "event": ("Survey Shown", "Survey Answered", "Survey Closed")[number % 3],
        "messageId": f"pf_{number:05}_0c4f7a9be1d24e86",
        "timestamp": "2026-11-28T17:00:00.000Z",
        "properties": properties,
        "context": {"integration": {"name": "product_fruits"}},
    } | members


async def post(sandbox: Sandbox, *calls: dict[str, Any]) -> int:
    """Send a batch; the status of the answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}/v1/batch", json={"batch": calls}, headers=KEY) as answer,
    ):
        return answer.status


async def open_page(page: Page, sandbox: Sandbox, query: str = "") -> None:
    await page.goto(f"{sandbox.url}/{query}")
    await page.wait_for_selector("#live.on")


def row(message_id: str) -> str:
    return f'#rows tr:has(td.id[title^="{message_id}"])'


async def soon(page: Page, sandbox: Sandbox) -> None:
    """Send calls until the page shows one in time: on a busy machine, one may be late for other reasons."""
    for number in (101, 102, 103):
        assert await post(sandbox, call(number)) == 200
        with contextlib.suppress(TooLate):
            await page.wait_for_selector(row(f"pf_00{number}"), state="attached", timeout=LIVE_SECONDS * 1000)
            return
    pytest.fail(f"no call was on the page within {LIVE_SECONDS} s")


async def test_the_tail_is_live_and_takes_nothing_from_a_reader(chromium: Chromium, sandbox: Sandbox) -> None:
    """An opened call, a selection, open details and the place in the list all stay while calls come in."""
    for first in range(1, 90, 30):
        await post(sandbox, *(call(number) for number in range(first, first + 30)))
    async with chromium.page() as page:
        await open_page(page, sandbox)
        await page.click("summary:has-text('What these mean')")
        await page.click(f"{row('pf_00085')} a")
        await page.wait_for_selector("#call h2")
        selected = await page.evaluate(
            """() => { const key = document.querySelector("#call pre .string"); getSelection().selectAllChildren(key);
                       document.querySelector(".list").scrollTop = 700; return String(getSelection()); }"""
        )
        reading = f"document.querySelector('{row('pf_00070')}').getBoundingClientRect().top"
        before = await page.evaluate(reading)
        await soon(page, sandbox)
        assert await page.evaluate(reading) == pytest.approx(before, abs=2)
        assert await page.evaluate("String(getSelection())") == selected
        assert "pf_00085" in await page.inner_text("#call .facts")
        assert await page.get_attribute(row("pf_00085"), "aria-current") == "true"
        assert await page.is_visible("#verdicts")
        await page.wait_for_selector(f"#counts td:text-is('{sandbox.record.received}')")


async def test_a_pause_holds_the_list_and_continue_brings_what_came(chromium: Chromium, sandbox: Sandbox) -> None:
    await post(sandbox, call(1))
    async with chromium.page(tolerated=TAIL_ENDED) as page:
        await open_page(page, sandbox)
        await page.click("#pause")
        await post(sandbox, call(2), call(3))
        await page.wait_for_selector("#live:has-text('paused: 2 new calls')")
        assert await page.locator("#rows tr").count() == 1
        await page.click("#pause")
        await page.wait_for_selector(row("pf_00003"))
        assert await page.locator("#rows tr").count() == 3


async def test_search_follows_what_is_typed_and_makes_a_link(chromium: Chromium, filled: Sandbox) -> None:
    async with chromium.page(tolerated=TAIL_ENDED) as page:
        await open_page(page, filled)
        await page.fill("input[name=message_id]", "PF_0000")
        await page.wait_for_selector("#found:has-text('7 of the latest 331 calls match')")
        await page.select_option("select[name=verdict]", "duplicate")
        await page.wait_for_selector("#found:has-text('1 of the latest 331')")
        link = page.url
        await post(filled, call(999))
        async with chromium.page() as another:
            await another.goto(link)
            assert await another.input_value("input[name=message_id]") == "PF_0000"
            assert await another.locator("#rows tr").count() == 1
        await page.click("#clear")
        await page.wait_for_selector(row("pf_00999"))


async def test_a_call_opens_beside_its_record_by_keyboard_alone(chromium: Chromium, filled: Sandbox) -> None:
    async with chromium.page(width=WIDTH, height=PICTURE_HEIGHT) as page:
        await open_page(page, filled)
        await page.focus(f"{row('pf_00402')} a")
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#call h2:focus")
        shown = await page.inner_text("#call")
        assert all(text in shown for text in ("surveys.product_fruits", "4711", '"username": "user-0012"', "refused"))
        assert "call=" in page.url
        await axe(page)
        assert not await scrolls_sideways(page)
        await picture(page, "sandbox-call")
        await page.keyboard.press("Escape")
        assert await page.is_hidden("#call")
        assert (
            await page.evaluate("document.activeElement.closest('tr').dataset.id")
            == f"{filled.record.run}.{filled.record.received}"
        )


async def test_a_fault_begins_and_ends_by_a_button(chromium: Chromium, sandbox: Sandbox) -> None:
    async with chromium.page() as page:
        await open_page(page, sandbox)
        await page.select_option("#duration", "5 min")
        await page.click("button[data-play='503']")
        await page.wait_for_selector("#running:has-text('answers 503')")
        assert await post(sandbox, call(1)) == 503
        await page.wait_for_selector("#running:has-text('hit 1 request, ends in')")
        await page.click("button[data-end]")
        await page.wait_for_selector("#running:has-text('No fault runs')")
        assert await post(sandbox, call(1)) == 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_readable(chromium: Chromium, filled: Sandbox, scheme: Any) -> None:
    async with chromium.page(width=PICTURE_WIDTH, height=PICTURE_HEIGHT, scheme=scheme) as page:
        await open_page(page, filled)
        if scheme == "light":
            await picture(page, "sandbox")
        await post(filled, call(1, event=HOSTILE, messageId=HOSTILE))
        await page.wait_for_selector("#rows tr:has-text('onerror')")
        await axe(page)
        assert not await scrolls_sideways(page)


async def test_it_is_readable_on_a_phone(chromium: Chromium, filled: Sandbox) -> None:
    await post(filled, call(1, event="x" * 300, messageId="y" * 300, userId="z" * 300))
    async with chromium.page(width=PHONE_WIDTH, height=PHONE_HEIGHT) as page:
        await open_page(page, filled)
        assert not await scrolls_sideways(page)
        for opened in ("pf_00403", "yyy"):
            await page.click(f"{row(opened)} a")
            await page.wait_for_selector(f"#call:has-text('{opened}')")
            assert not await scrolls_sideways(page)
            await axe(page)


async def test_without_javascript_it_is_a_table_as_of_now(chromium: Chromium, filled: Sandbox) -> None:
    async with chromium.page(javascript=False) as page:
        await page.goto(filled.url)
        assert "pf_00403" in await page.inner_text("#rows")
        assert await page.is_hidden("#controls")
        await page.fill("input[name=event]", "answered")
        await page.click("#submit")
        await page.click(f"{row('pf_00403')} a")
        assert "4711" in await page.inner_text("#call")


async def test_a_sandbox_that_starts_again_is_found_again(chromium: Chromium, sandbox: Sandbox) -> None:
    await post(sandbox, call(1))
    port = int(sandbox.url.rpartition(":")[2])
    async with chromium.page(tolerated="page/events|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE") as page:
        await open_page(page, sandbox)
        await sandbox.stop()
        await page.wait_for_selector("#live.off:has-text('not live')")
        sandbox.record.clear()
        async with asyncio.timeout(20):
            await sandbox.start(port=port)
        await post(sandbox, call(2))
        await page.wait_for_selector("#live.on")
        await page.wait_for_selector(row("pf_00002"))
        assert await page.locator("#rows tr").count() == 1
