"""Tells second by second what happens while an act of the demo lasts."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from streamer.devkit.demo.playground import Playground
from streamer.devkit.demo.producing import Producer
from streamer.devkit.demo.showing import show_moment

LOOK_SECONDS: Final = 0.1
"""How often it is looked whether something has moved."""

TELL_SECONDS: Final = 1.0
"""How often a line says how far it is."""

HEADLINE_SECONDS: Final = 4.0
"""When the first line of the page is told: the service asks the brokers every 3 s how many records wait."""


class Watch:
    """Tells what happens while an act lasts."""

    def __init__(self, ground: Playground, producer: Producer, accepted: int) -> None:
        self._ground = ground
        self._producer = producer
        self._accepted = accepted
        self._produced = producer.confirmed
        self._begun = asyncio.get_running_loop().time()
        ground.service.new_log_lines()  # what it has said before belongs to no act

    def tell(self, text: str) -> None:
        """Print what happened now."""
        show_moment(asyncio.get_running_loop().time() - self._begun, text)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """While the context lasts, print what the service says about its destination, and how far it is."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            yield
            self._tell_log_lines()
            watching.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        tell_at, headline_at = self._begun + TELL_SECONDS, self._begun + HEADLINE_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._tell_log_lines()
            if loop.time() >= headline_at:
                await self._tell_headline()
                headline_at = math.inf
            if loop.time() >= tell_at:
                record = self._ground.sandbox.record
                delivered = record.accepted - self._accepted
                produced = self._producer.confirmed - self._produced
                self.tell(f"{produced} events arrived, {delivered} are delivered, {produced - delivered} wait.")
                tell_at += TELL_SECONDS

    async def _tell_headline(self) -> None:
        """Print the first line of the service's page."""
        verdict = (await self._ground.service.status()).get("verdict")
        if verdict is not None:
            self.tell(f"The page of the service says: {verdict['headline']}")

    def _tell_log_lines(self) -> None:
        for line in self._ground.service.new_log_lines():
            if str(line.get("event_name", "")).startswith("destination."):
                self.tell(f"The service logs: {_said(line)}")


def _said(line: dict[str, Any]) -> str:
    """A line of the log, as far as a reader of the demo needs it."""
    reason = line.get("error.type") or line.get("reason")
    risk = line.get("data_at_risk")
    parts = [
        f"{str(line.get('severity_text', '')).lower()} {line['event_name']}",
        f" ({reason})" if reason else "",
        f", data at risk: {risk}" if risk else "",
        f". {line['next_step']}" if line.get("next_step") else "",
    ]
    return "".join(parts)
