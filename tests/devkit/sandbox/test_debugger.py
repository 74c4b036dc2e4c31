"""The debugger over HTTP: the page, its live tail, and the endpoints of its buttons."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import ClientResponse

from streamer.devkit.sandbox.debugger import call_views, routes, tail
from streamer.devkit.sandbox.debugger.finding import Found
from streamer.devkit.sandbox.debugger.presets import PRESETS
from streamer.devkit.sandbox.debugger.query import Query
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox

Ask = Callable[..., Coroutine[Any, Any, ClientResponse]]
TIMEOUT_SECONDS = 20.0
HOSTILE = "<script>alert(1)</script>\"'&amp;\u202e$rows"


def batch(*ids: str, **members: Any) -> dict[str, Any]:
    return {"batch": [{"type": "track", "userId": "u", "event": "e", "messageId": given, **members} for given in ids]}


class Viewer:
    """A viewer of the live tail."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer

    async def next(self, name: str) -> Any:
        """The data of the next event with this name."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            current = ""
            async for line in self.answer.content:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    current = value
                elif field == "data" and current == name:
                    return orjson.loads(value)
        raise AssertionError("the tail ended")

    async def rows(self) -> list[str]:
        """The messageIds of the next calls, newest first."""
        return re.findall(r'<td class="id" title="([^"]*)"', (await self.next("calls"))["rows"])


@asynccontextmanager
async def watching(sandbox: Sandbox, query: str = "", **headers: str) -> AsyncIterator[Viewer]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{sandbox.url}/_sandbox/page/events{query}", headers=headers) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield Viewer(answer)


async def page(ask: Ask, sandbox: Sandbox, query: str = "") -> str:
    answer = await ask("GET", f"{sandbox.url}/{query}")
    assert answer.status == 200
    return await answer.text()


async def test_the_page_shows_counts_and_calls_without_a_script(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await post("/v1/batch", batch("pf_1", "pf_1"))
    shown = await page(ask, sandbox)
    assert '<span class="tag duplicate">duplicate</span></th><td class="number">1</td>' in shown
    assert shown.count('title="pf_1"') == 2
    assert 'datetime="2025-03-04T05:06:09.000Z"' in shown
    assert "The latest 2 of 2 calls." in shown
    assert "No fault runs" in shown


async def test_a_search_is_a_link(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await post("/v1/batch", batch("pf_1", "sprig_2", event="Survey Shown"))
    shown = await page(ask, sandbox, "?message_id=PF&event=shown&verdict=accepted")
    assert 'title="pf_1"' in shown
    assert "sprig_2" not in shown
    assert 'value="PF"' in shown
    assert "<option selected>accepted</option>" in shown
    assert "1 of the latest 2 calls matches" in shown
    assert (await ask("GET", f"{sandbox.url}/?verdict=lost")).status == 400


async def test_an_opened_call_is_a_link(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    """As a page for readers without a script, and as a part of it for the script."""
    await post("/v1/batch", batch("pf_1", "pf_2"))
    sandbox.tell_source("pf_1", "surveys.pf", 2, 4_711, {"id": "of the record"})
    call_id = f"{sandbox.record.run}.1"
    for path in (f"?call={call_id}", f"_sandbox/page/call/{call_id}"):
        shown = await page(ask, sandbox, path)
        assert "<dt>offset</dt><dd>4711</dd>" in shown
        assert "of the record" in shown
        assert "&quot;messageId&quot;</span>: " in shown
    assert f'data-id="{call_id}" aria-current="true"' in await page(ask, sandbox, f"?call={call_id}")
    assert "not here any more" in await page(ask, sandbox, "?call=nonsense")
    assert "not here any more" in await page(ask, sandbox, "_sandbox/page/call/0.1")


async def test_nothing_of_a_call_or_an_address_is_markup(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await post("/v1/batch", batch(HOSTILE, event=HOSTILE, properties={HOSTILE: HOSTILE}))
    sandbox.tell_source(HOSTILE, HOSTILE, 0, 0, HOSTILE)
    for query in ("", f"?call={sandbox.record.run}.1", '?event="><script>x', "?call=<script>x"):
        shown = await page(ask, sandbox, query)
        assert shown.count("<script") == 1
        assert '<script src="/_sandbox/page/page.js" defer></script>' in shown
        assert "\u202e" not in shown


async def test_the_browser_runs_and_loads_only_what_is_the_sandboxs_own(sandbox: Sandbox, ask: Ask) -> None:
    shown = await page(ask, sandbox)
    loaded = re.findall(r'(?:src|href|action)="([^"]*)"', shown)
    assert all(path.startswith(("/", "data:image/svg+xml,")) and not path.startswith("//") for path in loaded)
    assert not re.search(r"\sstyle=|<style|\son\w+=|@import", shown)
    for path in ("/", "/_sandbox/page/page.css", "/_sandbox/page/page.js"):
        answer = await ask("GET", sandbox.url + path)
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_tail_tells_what_is_there_and_then_what_is_new(sandbox: Sandbox, post: Ask) -> None:
    await post("/v1/batch", batch("a", "b"))
    async with watching(sandbox) as viewer:
        first = await viewer.next("calls")
        assert (first["replace"], first["calls"]) == (True, 2)
        assert "answers as Segment does" in (await viewer.next("state"))["running"]
        await post("/v1/batch", batch("c"))
        assert await viewer.rows() == ["c"]


async def test_the_tail_goes_on_where_a_viewer_was(sandbox: Sandbox, post: Ask) -> None:
    await post("/v1/batch", batch("a", "b", "c"))
    async with watching(sandbox, f"?since={sandbox.record.run}.2") as viewer:
        assert await viewer.rows() == ["c"]
    # The browser's own word is the later one when it connects again.
    async with watching(
        sandbox, f"?since={sandbox.record.run}.0", **{"Last-Event-ID": f"{sandbox.record.run}.1"}
    ) as viewer:
        assert await viewer.rows() == ["c", "b"]


async def test_the_tail_searches(sandbox: Sandbox, post: Ask) -> None:
    async with watching(sandbox, "?message_id=pf") as viewer:
        await viewer.next("state")
        await post("/v1/batch", batch("sprig_1", "pf_1"))
        assert await viewer.rows() == ["pf_1"]


@pytest.mark.parametrize("since", ["nonsense", "", "00000000.5"])
async def test_a_viewer_of_an_earlier_run_begins_again(sandbox: Sandbox, post: Ask, since: str) -> None:
    await post("/v1/batch", batch("a"))
    async with watching(sandbox, f"?since={since}") as viewer:
        assert (await viewer.next("calls"))["replace"]


async def test_the_tail_tells_of_a_reset(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await post("/v1/batch", batch("a"))
    sandbox.tell_source("a", "t", 0, 0)
    async with watching(sandbox) as viewer:
        await viewer.next("calls")
        await ask("POST", f"{sandbox.url}/_sandbox/reset")
        news = await viewer.next("calls")
    assert (news["replace"], news["rows"], news["found"]) == (True, "", "No call has come yet.")
    assert not sandbox.sources.of("a")


async def test_viewers_are_bounded_and_leave_room_when_they_go(
    sandbox: Sandbox, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_VIEWERS", 1)
    url = f"{sandbox.url}/_sandbox/page/events"
    async with watching(sandbox) as viewer:
        await viewer.next("state")
        answer = await ask("GET", url)
        assert (answer.status, "1 pages watch" in await answer.text()) == (503, True)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                if answer.status == 200:
                    break
            await asyncio.sleep(0.05)


async def test_all_viewers_of_one_search_are_served_by_one_rendering(
    sandbox: Sandbox, post: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = list[Found]()

    def show_rows(found: Found, query: Query) -> str:
        rendered.append(found)
        return call_views.show_rows(found, query)

    monkeypatch.setattr(tail, "show_rows", show_rows)
    async with watching(sandbox) as first, watching(sandbox) as second:
        await first.next("state")
        await second.next("state")
        rendered.clear()
        await post("/v1/batch", batch("a"))
        assert await first.rows() == await second.rows() == ["a"]
    assert len(rendered) == 1


async def test_a_viewer_does_not_keep_the_sandbox_from_stopping(sandbox: Sandbox) -> None:
    async with watching(sandbox) as viewer:
        await viewer.next("state")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await sandbox.stop()
            await viewer.answer.content.read()


@pytest.mark.parametrize("name", PRESETS)
async def test_a_button_plays_its_fault_and_another_ends_it(sandbox: Sandbox, ask: Ask, name: str) -> None:
    sandbox.faults.add(Fault(action=Action(latency_seconds=0.001)))
    answer = await ask("POST", f"{sandbox.url}/_sandbox/faults/play", {"fault": name, "seconds": 30})
    number = (await answer.json())["number"]
    played = sandbox.faults.running[0]
    assert (played.number, played.fault.action, played.fault.for_seconds) == (number, PRESETS[name].action, 30)
    assert (await ask("POST", f"{sandbox.url}/_sandbox/faults/end", {"number": number})).status == 200
    assert sandbox.faults.in_force == [Fault(action=Action(latency_seconds=0.001))]
    assert (await ask("POST", f"{sandbox.url}/_sandbox/faults/end", {"number": number})).status == 404


async def test_a_played_fault_meets_the_sender_and_is_counted(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await ask("POST", f"{sandbox.url}/_sandbox/faults/play", {"fault": "429"})
    answer = await post("/v1/batch", batch("a"))
    assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
    shown = await page(ask, sandbox)
    assert "hit 1 request, does not end by itself" in shown
    assert re.search(r'data-end="\d+"', shown)


async def test_only_the_marked_are_refused(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    await ask("POST", f"{sandbox.url}/_sandbox/faults/play", {"fault": "marked"})
    assert (await post("/v1/batch", batch("a"))).status == 200
    assert (await post("/v1/batch", batch("b", properties={"sandbox": "refuse"}))).status == 400


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("play", {"fault": "lunch"}),
        ("play", {"fault": "503", "seconds": 0}),
        ("play", {"fault": "503", "seconds": 1e9}),
        ("play", {"fault": "503", "minutes": 1}),
        ("play", b"{"),
        ("end", {}),
        ("end", {"number": "x"}),
    ],
)
async def test_what_cannot_be_played_or_ended_changes_nothing(
    sandbox: Sandbox, ask: Ask, path: str, document: Any
) -> None:
    answer = await ask("POST", f"{sandbox.url}/_sandbox/faults/{path}", document)
    assert answer.status == 400
    assert await answer.text()
    assert not sandbox.faults.in_force


async def test_records_are_told_over_http(sandbox: Sandbox, ask: Ask) -> None:
    records = [{"messageId": f"m-{n}", "topic": "t", "partition": 0, "offset": n} for n in range(3)]
    answer = await ask("POST", f"{sandbox.url}/_sandbox/sources", records)
    assert await answer.json() == {"told": 3}
    assert sandbox.sources.of("m-2")[0].offset == 2
    answer = await ask("POST", f"{sandbox.url}/_sandbox/sources", [*records, {}])
    assert (answer.status, "3.messageId" in await answer.text()) == (400, True)


async def test_stand_ins_show_what_they_were_sent(sandbox: Sandbox, post: Ask, ask: Ask) -> None:
    user = {"userId": "u-1", "attributes": {}, "events": [{"event": HOSTILE, "timestamp": 1}]}
    await post("/sprig/v2/users", user, headers={"Authorization": "Bearer key"})
    shown = await page(ask, sandbox)
    assert "1 user, 1 event kept. Requests by answer: 202: 1." in shown
    assert "&lt;script&gt;alert" in shown
