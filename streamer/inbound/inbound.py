"""The way back in one process: webhooks are received, the directory of users is kept, or both.

Inbound             starts and stops both halves
|-- Listener      receives webhooks, and writes their calls to Kafka (`inbound.listen`)
`-- Keeper        owns the directory, its relay, and what outlives pipelines (`directory`)
`-- Runner  runs one pipeline after the other, whose worker applies the calls
"""

import asyncio
from typing import TYPE_CHECKING

from streamer.inbound.listener import Listener
from streamer.kafka import Publisher
from streamer.settings import Settings
from streamer.timings import Timings

if TYPE_CHECKING:
    from streamer.inbound.keeper import Keeper


class Inbound:
    """Both halves, as far as the configuration has them."""

    def __init__(self, settings: Settings, timings: Timings) -> None:
        """Prepare; nothing is connected before `start`.

        Args:
            settings: the whole configuration; the way back is on.
            timings: how long to wait for what.
        """
        inbound = settings.inbound
        assert inbound is not None, "made only where the way back is on"
        self.environment = inbound.environment
        self.publisher: Publisher | None = None
        self.listener: Listener | None = None
        if inbound.listen is not None:
            self.publisher = Publisher(settings.kafka, timings)
            self.listener = Listener(inbound, self.publisher, timings)
        self.keeper = None if settings.directory is None else _keeper(settings, timings)

    def follow(self, settings: Settings) -> None:
        """The integrations of the configuration have changed: the loop guard has to know what they call events now."""
        if self.keeper is not None:
            self.keeper.follow(settings.inbound_rules())

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: a secret cannot be read, or the address cannot be listened on.
        """
        if self.listener is not None:
            await self.listener.start()

    async def run(self, stop: asyncio.Event) -> None:
        """Receive and apply until ``stop`` is set. Then no more webhooks are accepted, and both halves drain.

        Raises:
            SettingsError: a broker and our set-up refuse each other, and they never worked together before.
        """
        last = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            publishing = None
            if self.publisher is not None:
                publishing = tasks.create_task(self.publisher.run(), name="publish calls")
            keeping = None
            if self.keeper is not None:
                keeping = tasks.create_task(self.keeper.run(last), name="keep the directory")
            await stop.wait()
            if self.listener is not None:
                await self.listener.drain()
            last.set()
            if keeping is not None:
                await asyncio.wait({keeping})
            if publishing is not None:
                publishing.cancel()

    async def stop(self) -> None:
        """Stop listening."""
        if self.listener is not None:
            await self.listener.stop()


def _keeper(settings: Settings, timings: Timings) -> "Keeper":
    from streamer.inbound.keeper import Keeper  # noqa: PLC0415 - it needs the extra ``inbound``

    return Keeper(settings, timings)
