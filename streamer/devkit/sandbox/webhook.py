"""The sandbox's webhook destination: accepted calls go on to a URL, signed, as Segment's own webhooks send them.

Like Segment, it promises neither order nor that a call is sent only once. An answer of 408, 429 or 5xx, or none within
10 s, is tried again with the same calls; any other refusal is final, and its calls are dropped. Source: Segment docs,
"Webhooks (Actions)" and Segment's open source for it.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

import aiohttp
import orjson

from streamer.core.inbound import signature

ANSWER_SECONDS: Final = 10.0
"""How long an answer may take."""

MIN_RETRY_SECONDS: Final = 0.5
MAX_RETRY_SECONDS: Final = 60.0

GIVE_UP_SECONDS: Final = 4 * 3600.0
"""How long a request is tried again; then its calls are dropped."""

MAX_WAITING: Final = 100_000
"""Most calls that wait to be sent; further ones are dropped and counted."""

_RETRIED: Final = frozenset({408, 429})
_FIRST_SERVER_ERROR: Final = 500
_FINAL_SERVER_ERRORS: Final = frozenset({501, 505})


class WebhookDestination:
    """Forwards calls to one URL, from `start` to `stop`."""

    def __init__(self, url: str, secret: str, *, max_calls: int = 1) -> None:
        """Prepare; nothing is sent before `start`.

        Args:
            url: where to send to.
            secret: the shared secret that signs requests.
            max_calls: most calls of a request. With more than one, the body is a list, and the signature covers its
                first call only.
        """
        self.url = url
        self._secret = secret
        self._max_calls = max_calls
        self._waiting: deque[bytes] = deque()
        self._work = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()
        self._task: asyncio.Task[None] | None = None
        self.forwarded = 0
        """Calls that the other side has accepted."""
        self.dropped = 0
        """Calls that were refused for good, given up, or too many."""
        self.answers: Counter[str] = Counter()
        """Requests by status, or by the name of the error."""
        self.last_answer = ""

    @property
    def waiting(self) -> int:
        """Calls that are not accepted yet."""
        return len(self._waiting)

    def take(self, path: str, calls: Iterable[Mapping[str, Any]], now: float) -> None:
        """Forward calls that a source has accepted.

        Args:
            path: of the request that brought them; it tells the type of a single call.
            calls: as they were received.
            now: seconds since the epoch.
        """
        for call in calls:
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                continue
            self._waiting.append(orjson.dumps(_as_forwarded(path, call, now)))
            self._all_sent.clear()
        self._work.set()

    async def until_sent(self) -> None:
        """Wait until no call waits to be sent. Set a timeout outside."""
        await self._all_sent.wait()

    async def start(self) -> None:
        """Begin to send."""
        assert self._task is None, "started twice"
        self._task = asyncio.create_task(self._run(), name="webhook destination of the sandbox")

    async def stop(self) -> None:
        """Send no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                while not self._waiting:
                    self._all_sent.set()
                    self._work.clear()
                    await self._work.wait()
                await self._send(session, min(len(self._waiting), self._max_calls))

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        """Send the calls that wait longest, until they are accepted or refused for good."""
        calls = [self._waiting[place] for place in range(number)]
        body = calls[0] if self._max_calls == 1 else b"[" + b",".join(calls) + b"]"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Segment (Actions)",
            signature.HEADER: signature.sign(self._secret, body),
        }
        wait, give_up_at = MIN_RETRY_SECONDS, time.monotonic() + GIVE_UP_SECONDS
        while True:
            status = await self._post(session, body, headers)
            is_final = status is not None and not _is_retried(status)
            if is_final or time.monotonic() > give_up_at:
                break
            await asyncio.sleep(wait)
            wait = min(2 * wait, MAX_RETRY_SECONDS)
        for _ in calls:
            self._waiting.popleft()
        if status is not None and 200 <= status < 300:  # noqa: PLR2004 - HTTP's own range
            self.forwarded += number
        else:
            self.dropped += number

    async def _post(self, session: aiohttp.ClientSession, body: bytes, headers: Mapping[str, str]) -> int | None:
        """The status of the answer; None: there is none."""
        try:
            async with session.post(self.url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                status, self.last_answer = response.status, str(response.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status, self.last_answer = None, type(error).__name__
        self.answers[self.last_answer] += 1
        return status


def _is_retried(status: int) -> bool:
    return status in _RETRIED or (status >= _FIRST_SERVER_ERROR and status not in _FINAL_SERVER_ERRORS)


def _as_forwarded(path: str, call: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A call as Segment's sources hand it on: with its type, and the times that Segment adds."""
    received_at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
    forwarded = {"version": 1, "type": path.rpartition("/")[2], "channel": "server", **call}
    forwarded.pop("writeKey", None)
    forwarded.setdefault("timestamp", received_at)
    forwarded["originalTimestamp"] = forwarded["timestamp"]
    forwarded["receivedAt"] = received_at
    return forwarded
