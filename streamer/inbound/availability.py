"""Whether the database of the directory can be used, as told by everything that uses it."""

import time
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.logs import Event, logger

FIRST_WAIT_SECONDS: Final = 1.0


class Availability:
    """Outlives pipelines. A user of the database that failed is in trouble until it succeeds or has nothing to do.

    Whether one can read says nothing about another one that writes, so each of them counts by itself.
    """

    def __init__(self) -> None:
        self._troubled: dict[str, UnavailableError] = {}
        self._since = 0.0
        self._said: set[str] = set()
        """Reasons that were said since it is away: those of several users may take turns."""
        self.was_up = False
        """Whether it could ever be used."""

    @property
    def is_up(self) -> bool:
        """Whether it can be used, as far as is known."""
        return self.was_up and not self._troubled

    @property
    def reason(self) -> str:
        """Why it cannot be used, and what to do; empty: it can."""
        for error in self._troubled.values():
            return str(error)
        return "" if self.was_up else "the directory was not opened yet"

    def failed(self, user: str, error: UnavailableError) -> None:
        """``user`` could not use it. That is said once for each reason while it lasts."""
        if not self._troubled:
            self._since, self._said = time.monotonic(), set()
        self._troubled[user] = error
        kind = str(getattr(error, "reason", type(error).__name__))
        if kind not in self._said:
            self._said.add(kind)
            logger().emit(Event.DIRECTORY_UNAVAILABLE, reason=kind, detail=str(error))

    def worked(self, user: str) -> None:
        """``user`` could use it."""
        self.was_up = True
        self.rests(user)

    def rests(self, user: str) -> None:
        """``user`` has nothing to do with it for now, so its trouble is over."""
        if self._troubled.pop(user, None) is not None and not self._troubled:
            logger().emit(Event.DIRECTORY_RECOVERED, away_seconds=round(time.monotonic() - self._since, 1))


class Backoff:
    """How long to wait before the next attempt of one user: 1, 2, 4 .. seconds."""

    def __init__(self, longest_seconds: float) -> None:
        self._longest = longest_seconds
        self._failures = 0

    def next_seconds(self) -> float:
        """The wait after one more consecutive failure."""
        self._failures += 1
        return min(FIRST_WAIT_SECONDS * 2.0 ** min(self._failures - 1, 10), self._longest)

    def reset(self) -> None:
        """It worked."""
        self._failures = 0
