"""Asks about the write key of a destination: at the start, when the key changes, and hourly.

What follows from an answer is decided in `streamer.core.delivery.key_watch`. This only looks: whatever fails here
counts as a question without an answer.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from streamer import cancelling
from streamer.core.delivery.answers import NetworkFault
from streamer.core.delivery.key_watch import KeyFinding, KeyWatch
from streamer.core.errors import UnavailableError
from streamer.destinations.source_settings import KeyAnswer
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.timings import Timings

OUTER_TIMEOUT_FACTOR: Final = 2
"""A question that takes so many times its own time limit is given up from outside."""

Ask = Callable[[float], Awaitable[KeyAnswer]]
"""Asks about the key in use, at most so many seconds."""


class Barred(Protocol):
    """A destination, as far as its key is concerned."""

    @property
    def name(self) -> str:
        """In the configuration."""

    def bar(self, reason: str) -> None:
        """Let nothing be sent until `unbar`; "": whether there is a reason is not known yet."""

    def unbar(self) -> None:
        """End that."""

    def reread_credentials(self) -> None:
        """Read the key again; call the listeners of `on_key_changed` if it is another one."""

    def on_key_changed(self, listener: Callable[[], None]) -> object:
        """Call ``listener`` when another key was read."""


class KeyCheck:
    """Asks about the key of one destination, and bars the destination while it must not be sent to."""

    def __init__(self, destination: Barred, ask: Ask, timings: Timings) -> None:
        """Bar the destination until there is a first answer. Nobody is asked before `run`.

        Args:
            destination: whose key it is.
            ask: asks about the key.
            timings: how long to wait.
        """
        self._destination = destination
        self._ask = ask
        self._timings = timings
        self._watch = KeyWatch(max_wrong_seconds=timings.held_probe, recheck_seconds=timings.key_check_every)
        self._key_changed = asyncio.Event()
        self._subject = f"write key of the destination {destination.name}"
        destination.on_key_changed(self._on_key_changed)
        destination.bar("")

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                with observing(self._subject):
                    await self._check()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._watch.wait_seconds):
                        await self._key_changed.wait()
        finally:
            if not self._watch.is_wrong:
                self._destination.unbar()  # nobody would find out any more whether it has to be barred

    def ask_now(self) -> None:
        """Ask without waiting for the time to come; an answer that is awaited now is asked for again."""
        self._key_changed.set()

    async def _check(self) -> None:
        if self._watch.is_wrong:
            with observing(self._subject):
                self._destination.reread_credentials()
        self._key_changed.clear()
        answer = await self._asked()
        if not self._key_changed.is_set():  # if it is, the answer is about the former key
            self._learn(answer)

    async def _asked(self) -> KeyAnswer:
        limit = self._timings.key_check_timeout
        with observing(self._subject):
            try:
                async with asyncio.timeout(limit * OUTER_TIMEOUT_FACTOR):
                    return await self._ask(limit)
            except TimeoutError:
                return KeyAnswer(KeyFinding.UNCLEAR, NetworkFault.TIMEOUT)
            except UnavailableError as error:
                return KeyAnswer(KeyFinding.UNCLEAR, str(error))
            except asyncio.CancelledError:
                if cancelling.is_asked_for():
                    raise  # otherwise it is one more question without an answer
        return KeyAnswer(KeyFinding.UNCLEAR, "internal_error")

    def _learn(self, answer: KeyAnswer) -> None:
        was_unverified = self._watch.is_unverified
        self._watch.learn(answer.finding)
        if self._watch.bar is None:
            self._destination.unbar()
        else:
            self._destination.bar(self._watch.bar)
        if self._watch.is_unverified and not was_unverified:
            logger().emit(Event.DESTINATION_KEY_UNVERIFIED, destination=self._destination.name, detail=answer.error)

    def _on_key_changed(self) -> None:
        self._watch.key_changed()
        assert self._watch.bar is not None, "nothing is known about the new key"
        self._destination.bar(self._watch.bar)
        self._key_changed.set()
