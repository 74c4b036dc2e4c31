"""A transactional producer in memory: the newest one with an id publishes, older ones are fenced."""

import asyncio
from collections.abc import Callable, Sequence

from streamer.core.dead_letters.letter import Refusal
from streamer.core.errors import UnavailableError
from streamer.core.inbound.directory import Outgoing
from streamer.kafka import FencedError, RefusedWriteError


class MemoryTopics:
    """What was published, in order. Public attributes are its faults."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.fault: UnavailableError | None = None
        """Why no broker can be used."""
        self.loses_answers = 0
        """How many of the next transactions count, although nobody hears of it."""
        self.refuse: Callable[[Outgoing], Refusal | None] = lambda _record: None
        self.open = asyncio.Event()
        """While it is clear, transactions wait before their commit."""
        self.open.set()
        self.epoch = 0
        self.stopped = 0

    def producer(self) -> "MemoryProducer":
        """One that is not started."""
        return MemoryProducer(self)

    def keys(self) -> list[str]:
        """The keys of what was published, in order."""
        return [record.key for record in self.records]


class MemoryProducer:
    """A `streamer.inbound.ports.Producer`."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._epoch = 0

    async def start(self) -> None:
        await asyncio.sleep(0)
        if self._topics.fault is not None:
            raise self._topics.fault
        self._topics.epoch += 1
        self._epoch = self._topics.epoch

    async def publish(self, records: Sequence[Outgoing]) -> None:
        await asyncio.sleep(0)
        topics = self._topics
        await topics.open.wait()
        if topics.fault is not None:
            raise topics.fault
        if self._epoch != topics.epoch:
            raise FencedError("another instance publishes now")
        for record in records:
            refusal = topics.refuse(record)
            if refusal is not None:
                raise RefusedWriteError(refusal, "MessageSizeTooLargeError")
        topics.records += records
        if topics.loses_answers:
            topics.loses_answers -= 1
            raise UnavailableError("no answer")

    async def stop(self) -> None:
        self._topics.stopped += 1
        await asyncio.sleep(0)
