"""Producing an operator's records: order, bounds, and what is said of them when something ends it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from streamer.core.errors import UnavailableError
from streamer.kafka import Place
from streamer.kafka.sender import Confirmation
from streamer.operations import sending
from streamer.operations.sending import Destiny, Sent, send_all

DESTINY = Destiny(topic="answers")


class Topic:
    """A sender whose confirmations the test gives."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.given: list[asyncio.Future[Any]] = []
        self.changed = asyncio.Event()

    async def send(
        self, topic: str, value: bytes, *, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Confirmation:
        assert (topic, key, headers) == (DESTINY.topic, None, ())
        self.values.append(value)
        confirmation: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.given.append(confirmation)
        self.changed.set()
        return confirmation

    async def confirmed(self, confirmation: Confirmation, *, timeout_seconds: float) -> Place:
        async with asyncio.timeout(timeout_seconds):
            return Place("answers", 0, await asyncio.shield(confirmation))

    async def until_sent(self, number: int) -> None:
        """Wait until so many records were handed over."""
        while len(self.values) < number:
            self.changed.clear()
            async with asyncio.timeout(10):
                await self.changed.wait()


async def these(number: int, *, then_wait: bool = False) -> AsyncIterator[bytes]:
    for value in range(number):
        yield b"%d" % value
    if then_wait:
        await asyncio.Event().wait()  # as a terminal on which nobody types


class Run:
    """One run, with what it tells."""

    def __init__(self, topic: Topic, values: AsyncIterator[bytes]) -> None:
        self.sent, self.stop, self.places = Sent(), asyncio.Event(), list[Place]()
        self.task = asyncio.create_task(
            send_all(topic, values, DESTINY, self.sent, on_confirmed=self.places.append, stop=self.stop)
        )

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self.task


async def test_records_are_told_in_their_order_whatever_is_confirmed_first() -> None:
    topic = Topic()
    run = Run(topic, these(3))
    await topic.until_sent(3)
    for offset in (2, 0, 1):
        topic.given[offset].set_result(offset)
    await run.end()

    assert [place.offset for place in run.places] == [0, 1, 2]
    assert (run.sent.confirmed, run.sent.unconfirmed, run.sent.offsets) == (3, 0, {0: (0, 2)})


async def test_a_record_is_told_as_soon_as_it_is_confirmed() -> None:
    """Whoever types a line sees where it is before typing the next one."""
    topic = Topic()
    run = Run(topic, these(1, then_wait=True))
    await topic.until_sent(1)
    topic.given[0].set_result(7)
    while not run.places:  # noqa: ASYNC110 - the task under test goes on meanwhile
        await asyncio.sleep(0)
    run.stop.set()
    await run.end()


async def test_no_more_than_a_number_of_records_is_unconfirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_UNCONFIRMED", 2)
    topic = Topic()
    run = Run(topic, these(3))
    await topic.until_sent(2)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(topic.values) == 2

    topic.given[0].set_result(0)
    await topic.until_sent(3)
    topic.given[1].set_result(1)
    topic.given[2].set_result(2)
    await run.end()


async def test_an_interruption_counts_what_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the brokers are away, it does not keep the command from ending."""
    monkeypatch.setattr(sending, "LAST_CONFIRM_SECONDS", 0.01)
    topic = Topic()
    run = Run(topic, these(3, then_wait=True))
    await topic.until_sent(3)
    topic.given[0].set_result(0)
    run.stop.set()
    await run.end()

    assert (run.sent.confirmed, run.sent.unconfirmed) == (1, 2)


async def test_a_failure_ends_it_although_more_could_be_read() -> None:
    topic = Topic()
    run = Run(topic, these(2, then_wait=True))
    await topic.until_sent(2)
    topic.given[0].set_result(0)
    topic.given[1].set_exception(UnavailableError("the brokers are away"))
    with pytest.raises(UnavailableError, match="the brokers are away"):
        await run.end()

    assert (run.sent.confirmed, run.sent.unconfirmed) == (1, 1)


async def test_a_rate_spaces_records() -> None:
    """0, 1 and 2 twentieths of a second after the start."""
    topic = Topic()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    slow = Destiny(topic="answers", per_second=20.0)
    sender = asyncio.create_task(
        send_all(topic, these(3), slow, Sent(), on_confirmed=lambda _: None, stop=asyncio.Event())
    )
    await topic.until_sent(3)
    assert loop.time() - begun >= 0.1
    for confirmation in topic.given:
        confirmation.set_result(0)
    async with asyncio.timeout(10):
        await sender
