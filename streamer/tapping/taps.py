"""The taps that are open: delivery shows them its batches, and `streamer.tapping.route` sends the lines."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from streamer.core.delivery.answers import Answer
from streamer.core.records.open_record import OpenRecord
from streamer.core.tapping import AnsweredBatch, Tap, TapRequest
from streamer.logs.observing import observing

MAX_TAPS: Final = 4
"""Most taps at a time."""


class Listener:
    """One reader: its tap, and what wakes it."""

    def __init__(self, request: TapRequest) -> None:
        self.tap = Tap(request, time.monotonic())
        self.has_lines = asyncio.Event()


class Taps:
    """All taps of this process. Its methods do not wait, and raise nothing because of a tap."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []
        """Delivery asks before each batch whether there is one."""

    @property
    def is_full(self) -> bool:
        """Whether no further one is taken."""
        return len(self.listeners) >= MAX_TAPS

    def open(self, request: TapRequest) -> Listener:
        """Begin to show batches to one more reader, until `close`."""
        assert not self.is_full, "the caller has asked"
        listener = Listener(request)
        self.listeners.append(listener)
        return listener

    def close(self, listener: Listener) -> None:
        """End that."""
        self.listeners.remove(listener)

    def show(
        self,
        records: Sequence[OpenRecord],
        answer: Answer,
        *,
        integration: str,
        destination: str,
        result: str,
        began: float,
    ) -> None:
        """Show the calls of a request whose answer has come, before anything is made of it.

        Args:
            records: its calls.
            answer: how it ended.
            integration: whose calls they are.
            destination: where they went.
            result: what becomes of the batch.
            began: when the request began, in seconds since the epoch.
        """
        now = time.time()
        batch = AnsweredBatch(
            records=records,
            integration=integration,
            destination=destination,
            status=answer.error if answer.status is None else answer.status,
            result=result,
            answered_at=now,
            duration_seconds=now - began,
        )
        with observing("tap", integration=integration):
            for listener in self.listeners:
                if listener.tap.offer(batch, time.monotonic()):
                    listener.has_lines.set()
