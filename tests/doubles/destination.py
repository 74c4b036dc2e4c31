"""A client of a destination in memory: it takes batches without a network, and answers as a test decides.

`tests/contract/test_destination_client.py` holds it to the real client.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import orjson

from streamer.core.delivery.answers import Answer, AnswerKind, NetworkFault, answer_of_fault, answer_of_status
from streamer.core.errors import UnavailableError
from streamer.destinations import Exchange

ACCEPTED: Final = answer_of_status(200, None)
BROKEN: Final = answer_of_fault(NetworkFault.RESET)

Decide = Callable[[Sequence[str]], Answer | Awaitable[Answer]]
"""The messageIds of a batch -> its answer, at once or later."""


def status(code: int, retry_after: float | None = None) -> Answer:
    """The answer that an HTTP status stands for."""
    return answer_of_status(code, retry_after)


def accept(_message_ids: Sequence[str]) -> Answer:
    """Accept every batch."""
    return ACCEPTED


class MemoryClient:
    """A `streamer.destinations.client.Client`. What it was asked and what it took is kept."""

    envelope_bytes = 256

    def __init__(self, decide: Decide = accept) -> None:
        self.decide = decide
        self.batches: list[list[str]] = []
        """The messageIds of each request, as it came."""
        self.resend_counts: list[int] = []
        self.taken: list[str] = []
        """The messageIds that were answered with a 2xx."""
        self.key = "one"
        self.key_is_readable = True
        self.keys_read = 0
        self.renewals = 0
        self.is_closed = False
        self._key_in_use = self.key

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        message_ids = [orjson.loads(body)["messageId"] for body in bodies]
        self.batches.append(message_ids)
        self.resend_counts.append(resend_count)
        answer = self.decide(message_ids)
        await asyncio.sleep(0)
        if not isinstance(answer, Answer):
            answer = await answer
        if answer.kind is AnswerKind.ACCEPTED:
            self.taken += message_ids
        return Exchange(answer, seconds=0.001, sent_bytes=sum(map(len, bodies)))

    def reread_credentials(self) -> bool:
        self.keys_read += 1
        if not self.key_is_readable:
            raise UnavailableError("write_key_file cannot be read")
        has_changed, self._key_in_use = self.key != self._key_in_use, self.key
        return has_changed

    def renew_connections(self) -> None:
        self.renewals += 1

    async def close(self) -> None:
        self.is_closed = True
