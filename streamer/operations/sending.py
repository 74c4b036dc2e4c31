"""Produces the records of an operator to a topic: paced, in order, and each one confirmed or counted as unconfirmed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from streamer.kafka import Place
from streamer.kafka.sender import Confirmation
from streamer.pipeline.runner import root_of

MAX_UNCONFIRMED: Final = 1_000
"""Most records that are handed to the client and not confirmed; further ones wait."""

CONFIRM_SECONDS: Final = 30.0
"""Longest wait for the next confirmation; after it, the brokers count as unavailable."""

LAST_CONFIRM_SECONDS: Final = 5.0
"""The same after an interruption."""


class Sends(Protocol):
    """Writes records; `streamer.kafka.Sender` is the real one, and says what is raised."""

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Confirmation:
        """Hand a record over."""

    async def confirmed(self, confirmation: Confirmation, *, timeout_seconds: float) -> Place:
        """Wait until a record is confirmed."""


@dataclass(slots=True)
class Sent:
    """What became of the records."""

    confirmed: int = 0
    unconfirmed: int = 0
    """Handed over and not confirmed: each may be written or not."""
    offsets: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition -> the first and the last offset."""

    def add(self, place: Place) -> None:
        """Count a record as confirmed."""
        self.confirmed += 1
        self.unconfirmed -= 1
        first, _ = self.offsets.get(place.partition, (place.offset, 0))
        self.offsets[place.partition] = (first, place.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destiny:
    """Where records go, and what all of them have."""

    topic: str
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    per_second: float | None = None
    """Most records a second; None: as fast as it goes."""


async def send_all(
    sender: Sends,
    values: AsyncIterator[bytes],
    destiny: Destiny,
    sent: Sent,
    *,
    on_confirmed: Callable[[Place], None],
    stop: asyncio.Event,
) -> None:
    """Produce values until there is none left, or ``stop`` is set.

    Args:
        sender: a connected one.
        values: of the records.
        destiny: where they go.
        sent: counts what becomes of them, up to date also when this raises.
        on_confirmed: called for each record, in the order of ``values``.
        stop: set to end early; what was handed over has `LAST_CONFIRM_SECONDS` to be confirmed.

    Raises:
        UnavailableError: the brokers do not confirm.
        RefusedWriteError: they do not take a record.
        OSError: a value cannot be read.
    """
    handed_over: asyncio.Queue[Confirmation | None] = asyncio.Queue()
    room = asyncio.Semaphore(MAX_UNCONFIRMED)

    async def confirm() -> None:
        while (confirmation := await handed_over.get()) is not None:
            place = await sender.confirmed(confirmation, timeout_seconds=CONFIRM_SECONDS)
            room.release()
            sent.add(place)
            on_confirmed(place)

    async def feed() -> None:
        loop = asyncio.get_running_loop()
        begun, number = loop.time(), 0
        async for value in values:
            if destiny.per_second is not None:
                await asyncio.sleep(begun + number / destiny.per_second - loop.time())
            await room.acquire()
            number += 1
            sent.unconfirmed += 1
            handed_over.put_nowait(await sender.send(destiny.topic, value, key=destiny.key, headers=destiny.headers))

    try:
        async with asyncio.TaskGroup() as tasks:
            confirming, feeding = tasks.create_task(confirm()), tasks.create_task(feed())
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({feeding, stopping}, return_when=asyncio.FIRST_COMPLETED)
            feeding.cancel()
            await asyncio.wait({feeding})
            handed_over.put_nowait(None)
            await asyncio.wait({confirming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            await asyncio.wait({confirming}, timeout=LAST_CONFIRM_SECONDS)
            confirming.cancel()
    except ExceptionGroup as group:
        raise root_of(group) from None
