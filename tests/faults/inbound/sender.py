"""Sends requests as Segment does: signed, and again with the same calls until they are answered with 200.

It remembers which calls were accepted. A call that was never accepted may be on the inbound topic all the same: its
sender gave up waiting, or the listener was killed before it could answer.
"""

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final

import aiohttp

from tests.faults.inbound.traffic import Traffic

ANSWER_SECONDS: Final = 8.0
"""Longer than the listener takes to say that Kafka did not confirm."""

ACCEPTED_SECONDS: Final = 120.0
"""Longest wait for a 200, whatever goes wrong meanwhile."""

HURRIED_SECONDS: Final = 0.01
"""So long waits a sender who does not learn what became of the request."""

MAX_WAIT_SECONDS: Final = 0.3
UNHAPPY: Final = frozenset({408, 429})
OK: Final = 200
FIRST_SERVER_ERROR: Final = 500


class RefusedForGoodError(AssertionError):
    """An answer after which Segment drops the calls. No request here deserves one."""


class Sender:
    """Sends to several listeners, as through a load balancer."""

    def __init__(self, addresses: Sequence[str], webhooks: Mapping[str, str], chance: random.Random) -> None:
        """Prepare.

        Args:
            addresses: of listeners, such as ``http://127.0.0.1:8081``.
            webhooks: name -> secret. Each request goes to any of them.
            chance: draws which.
        """
        self._addresses = addresses
        self._webhooks = webhooks
        self._chance = chance
        self.accepted = Counter[bytes]()
        """Bytes of a call -> how often a request with it was answered with 200."""
        self.sent = set[bytes]()
        """Bytes of all calls that were sent."""
        self.answers = Counter[str]()
        """Requests by status, or by the name of the error."""

    async def more_accepted(self, calls: int) -> None:
        """Wait until so many more calls are accepted."""
        enough = self.accepted.total() + calls
        async with asyncio.timeout(ACCEPTED_SECONDS):
            while self.accepted.total() < enough:  # noqa: ASYNC110 - cheap to look at
                await asyncio.sleep(0.02)

    async def deliver(self, session: aiohttp.ClientSession, calls: Sequence[bytes]) -> None:
        """Send a request until it is accepted; now and then once more, as if the answer had been lost.

        Raises:
            RefusedForGoodError: it was refused.
            TimeoutError: nobody accepted it for `ACCEPTED_SECONDS`.
        """
        self.sent.update(calls)
        async with asyncio.timeout(ACCEPTED_SECONDS):
            await self._insist(session, calls)

    async def _insist(self, session: aiohttp.ClientSession, calls: Sequence[bytes]) -> None:
        repeats = 1 + (self._chance.random() < 0.03)
        while repeats:
            status = await self._attempt(session, calls)
            self.answers[str(status)] += 1
            if status == OK:
                self.accepted.update(calls)
                repeats -= 1
            elif isinstance(status, int) and status not in UNHAPPY and status < FIRST_SERVER_ERROR:
                raise RefusedForGoodError(f"{status} for a request of {len(calls)} calls")
            else:
                await asyncio.sleep(self._chance.uniform(0.02, MAX_WAIT_SECONDS))

    async def _attempt(self, session: aiohttp.ClientSession, calls: Sequence[bytes]) -> int | str:
        """Send a request once; returns the status, or the name of the error."""
        name, secret = self._chance.choice(list(self._webhooks.items()))
        is_single = len(calls) == 1 and self._chance.random() < 0.8
        body = calls[0] if is_single else b"[" + b",".join(calls) + b"]"
        headers = {
            "Content-Type": "application/json",
            "X-Signature": hmac.new(secret.encode(), calls[0], hashlib.sha1).hexdigest(),
        }
        if self._chance.random() < 0.2:
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        seconds = HURRIED_SECONDS if self._chance.random() < 0.03 else ANSWER_SECONDS
        url = f"{self._chance.choice(self._addresses)}/webhooks/segment/{name}"
        try:
            async with asyncio.timeout(seconds), session.post(url, data=body, headers=headers) as response:
                answer = await response.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            return type(error).__name__
        if response.status == OK:
            assert json.loads(answer) == {"accepted": len(calls)}
        return response.status


@contextlib.asynccontextmanager
async def flow(
    sender: Sender, traffic: Traffic, *, senders: int = 4, pace_seconds: float = 0.02
) -> AsyncIterator[None]:
    """Send requests while the block lasts. At its end every request that was begun is brought to its 200."""
    stop = asyncio.Event()

    async def send_all(session: aiohttp.ClientSession, leavers: bool) -> None:
        while not stop.is_set():
            for calls in traffic.leaver() if leavers else (traffic.request(),):
                await sender.deliver(session, calls)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pace_seconds)

    async with new_session() as session:
        await sender.deliver(session, traffic.first_calls())
        async with asyncio.TaskGroup() as tasks:
            for number in range(senders):
                tasks.create_task(send_all(session, leavers=number == 0), name=f"sender {number}")
            try:
                yield
            finally:
                stop.set()


def new_session() -> aiohttp.ClientSession:
    """A session for `Sender.deliver`. Connections are kept, as Segment keeps them."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


def new_sender(listeners: Iterable[int], webhooks: Mapping[str, str], seed: int) -> Sender:
    """A sender to listeners on these ports of this machine."""
    return Sender([f"http://127.0.0.1:{port}" for port in listeners], webhooks, random.Random(seed))
