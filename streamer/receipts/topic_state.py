"""Whether the topic of receipts can be used: said once when it cannot, and once when it can again."""

import time
from typing import Final

from streamer.core.errors import StreamerError
from streamer.logs import Event, logger, place_of

FIRST_WAIT_SECONDS: Final = 1.0


class TopicState:
    """What those who write to the topic and who read it have met."""

    def __init__(self, topic: str, longest_wait_seconds: float) -> None:
        """Begin with a topic that nobody has used.

        Args:
            topic: its name.
            longest_wait_seconds: before it is tried again.
        """
        self.topic = topic
        self._faults: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._longest_wait_seconds = longest_wait_seconds
        self._since = 0.0

    @property
    def fault(self) -> str:
        """Why the topic cannot be used; empty: nothing is known to be wrong."""
        return next(iter(self._faults.values()), "")

    def has_failed(self, user: str) -> bool:
        """Whether the last attempt of one of them has failed."""
        return user in self._faults

    def failed(self, user: str, error: Exception) -> float:
        """An attempt has failed; returns how many seconds to wait before the next one."""
        failures = self._failures[user] = self._failures.get(user, 0) + 1
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 10), self._longest_wait_seconds)
        if not self._faults:
            self._since = time.monotonic()
        detail = (
            str(error)
            if isinstance(error, StreamerError)
            else f"a bug in streamer: {type(error).__name__} at {place_of(error)}"
        )
        if user not in self._faults:
            logger().emit(Event.RECEIPTS_TOPIC_UNAVAILABLE, topic=self.topic, reason=user, detail=detail)
        self._faults[user] = detail
        return wait

    def worked(self, user: str) -> None:
        """The topic could be used."""
        self._failures.pop(user, None)
        if self._faults.pop(user, None) is not None and not self._faults:
            away = round(time.monotonic() - self._since, 1)
            logger().emit(Event.RECEIPTS_TOPIC_AVAILABLE, topic=self.topic, away_seconds=away)
