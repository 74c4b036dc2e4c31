"""An event loop whose time jumps to the next thing that is due: an hour passes in seconds."""

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any

import pytest


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: what would be waited for, has come."""

    def __init__(self, clock: "Clock") -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            assert timeout is not None, "everything waits for something that will never come"
            self._clock.seconds += max(timeout, 0.0)
        return found


class Clock:
    """The time of the process: monotonic seconds, and seconds since the epoch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, epoch: float) -> None:
        self.seconds = 0.0
        began = epoch
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)
        monkeypatch.setattr(time, "time", lambda: began + self.seconds)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run to the end. Nothing in it may wait for a thread or the network: time would run past them."""
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector(self))) as runner:
            runner.run(main)
