"""Whatever a server answers becomes an `Answer`: an error outside of it would end a pipeline."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.core.delivery.answers import Answer, AnswerKind
from streamer.destinations.segment import SegmentClient
from streamer.settings import DestinationSettings

CALL = orjson.dumps({"type": "track", "event": "Seen", "userId": "user_1", "messageId": "evt_1"})
TIMEOUT_SECONDS = 0.5


@contextlib.asynccontextmanager
async def server(answers: Sequence[bytes]) -> AsyncIterator[str]:
    """Gives one answer on each connection, closes it, and yields its URL."""
    left = iter(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"]}")
            writer.write(next(left))
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield "http://{}:{}".format(*listening.sockets[0].getsockname())


async def answers_to(said: Sequence[bytes]) -> list[Answer]:
    """What the client makes of each of these."""
    async with server(said) as url:
        client = SegmentClient(
            DestinationSettings.model_validate({"write_key": "key_1", "endpoint": url, "timeout": TIMEOUT_SECONDS})
        )
        try:
            return [(await client.send([CALL], resend_count=0)).answer for _ in said]
        finally:
            await client.close()


NAMES = st.sampled_from(
    [
        *(b"Retry-After", b"Date", b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"Content-Encoding"),
        *(b"Set-Cookie", b"Location", b"Connection", b"Link", b"Upgrade", b"Keep-Alive", b"X-\xe9"),
    ]
)
WORDS = st.sampled_from(
    [
        *(b"0", b"7", b"1.5", b"12, 17", b"-1", b"9" * 5_000, b"chunked", b"gzip", b"close", b"upgrade", b"websocket"),
        *(b"Fri, 31 Dec 9999 23:59:59 -0500", b"Mon, 01 Jan 0100 00:00:00 -0000", b"Sun, 01 Mar 2026 12:01:30 +9999"),
        b"Sun, 01 Mar 99999999999999999999 12:00:00 GMT",
        *(b"a=b; expires=Never; max-age=x", b"=", b"http://[", b"//", b"text/html; charset=\xff", b"\x00", b"\xff\xfe"),
    ]
)
LINES = st.tuples(NAMES, WORDS | st.binary(max_size=20)).map(b": ".join)
STATUS_LINES = st.one_of(
    st.integers(100, 999).map(lambda status: b"HTTP/1.1 %d Reason" % status),
    st.sampled_from([b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/9.9 200 OK", b"HTTP/1.1 0200 OK", b"HTTP/1.1 -1 No"]),
    st.binary(max_size=20),
)
SAID = st.builds(
    lambda status, lines, body: b"\r\n".join([status, *lines, b"", body]),
    STATUS_LINES,
    st.lists(LINES, max_size=4),
    st.binary(max_size=40),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(SAID, min_size=10, max_size=10))
def test_no_answer_of_any_shape_is_an_error(said: list[bytes]) -> None:
    for text, answer in zip(said, asyncio.run(answers_to(said)), strict=True):
        assert answer.kind is not AnswerKind.ACCEPTED or b" 2" in text.partition(b"\r\n")[0] or b" 02" in text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (b"Retry-After: 1.5", 1.5),
        (b"Retry-After: 12\r\nRetry-After: 17", 17.0),
        (b"Retry-After: 12, 17", 17.0),
        (b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
        (b"Retry-After: Sun, 01 Mar 12026 12:00:00 GMT", 300.0),
        (b"Date: Mon, 01 Jan 0100 00:00:00 -0000\r\nRetry-After: 7", 7.0),
        (b"Date: Fri, 31 Dec 9999 23:59:59 -0500\r\nRetry-After: Sun, 01 Mar 2099 12:00:00 GMT", 300.0),
        (b"Date: Sun, 01 Mar 99999999999999999999 12:00:00 GMT\r\nRetry-After: 7", 7.0),
        (b"Retry-After: \xff\xfe", None),
        (b"Retry-After: ", None),
        (b"X-Other: 1", None),
    ],
)
async def test_a_wait_is_understood_in_every_form(headers: bytes, seconds: float | None) -> None:
    said = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n" + headers + b"\r\n\r\n"
    (answer,) = await answers_to([said])
    assert (answer.error, answer.retry_after_seconds) == ("503", seconds)


@pytest.mark.parametrize("wrong_by", [timedelta(0), timedelta(hours=5), timedelta(days=-40)])
async def test_a_date_to_wait_for_is_by_the_clock_of_whoever_names_it(wrong_by: timedelta) -> None:
    now = datetime.now(UTC) + wrong_by
    dates = (format_datetime(moment, usegmt=True).encode() for moment in (now, now + timedelta(seconds=30)))
    said = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nDate: %b\r\nRetry-After: %b\r\n\r\n" % tuple(
        dates
    )
    (answer,) = await answers_to([said])
    assert answer.retry_after_seconds == 30
