"""What is asked of Segment about a write key. The brokers' part is tried on a real one, in test_check_connect.py."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamer.core.errors import UnavailableError
from streamer.operations.connection_check import ask_for_source

KEY = "hidden-write-key"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def segment() -> AsyncIterator[TestServer]:
    """Answers with the status that stands in the path, as a redirect too."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), headers={"Location": "/200/moved"})

    app = web.Application()
    app.router.add_get("/{status}/{key}", answer)
    server = TestServer(app)
    async with server:
        yield server


async def test_a_known_source_is_in_order(session: aiohttp.ClientSession, segment: TestServer) -> None:
    await ask_for_source(session, str(segment.make_url(f"/200/{KEY}")))


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (404, "Segment has no source with this write key; copy the key again"),
        (503, "Segment answered 503 when asked about the write key; run the check again later"),
        (302, "Segment answered 302"),
    ],
)
async def test_anything_else_is_a_problem_that_does_not_show_the_key(
    session: aiohttp.ClientSession, segment: TestServer, status: int, problem: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        await ask_for_source(session, str(segment.make_url(f"/{status}/{KEY}")))
    assert str(caught.value).startswith(problem)
    assert KEY not in repr(caught.value)


async def test_no_answer_is_a_problem_that_does_not_show_the_key(
    session: aiohttp.ClientSession, segment: TestServer
) -> None:
    """Neither does what it is raised from, which would show in a traceback."""
    url = str(segment.make_url(f"/200/{KEY}"))
    await segment.close()
    with pytest.raises(UnavailableError, match="Segment cannot be asked about the write key") as caught:
        await ask_for_source(session, url)
    assert KEY not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
