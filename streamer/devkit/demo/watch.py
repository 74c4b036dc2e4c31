"""Tells second by second what happens while an act of the demo lasts."""

import asyncio
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


class Watch:
    """Tells what happens while an act lasts."""

    def __init__(self, ground: Playground, producer: Producer, accepted: int) -> None:
        self._ground = ground
        self._producer = producer
        self._accepted = accepted
        self._produced = producer.confirmed
        self._begun = asyncio.get_running_loop().time()
        self._headline_about: tuple[str, ...] | None = None
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
        tell_at = self._begun + TELL_SECONDS
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._tell_log_lines()
            if loop.time() >= tell_at:
                await self.tell_headline()
                record = self._ground.sandbox.record
                delivered = record.accepted - self._accepted
                produced = self._producer.confirmed - self._produced
                self.tell(f"{produced} events arrived, {delivered} are delivered, {produced - delivered} wait.")
                tell_at += TELL_SECONDS

    async def tell_headline(self) -> None:
        """Print the first line of the service's page if it is about something else than before."""
        verdict = (await self._ground.service.status()).get("verdict")
        if verdict is None:
            return
        about = (verdict["level"], *(problem["subject"] for problem in verdict["problems"]))
        if about != self._headline_about:
            self._headline_about = about
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
