"""What ``streamer replay`` shows: its plan, how far it is, and its account."""

import time
from collections.abc import Mapping
from typing import Final

from streamer.cli.output import Row
from streamer.cli.progress import ProgressBar
from streamer.cli.replay_words import say
from streamer.core.records.account import Account
from streamer.operations.replay_survey import Survey
from streamer.replay import Replay


class ReplayBar:
    """Shows how far a replay is, and says now and then what it waits for."""

    TELL_SECONDS: Final = 60.0

    def __init__(self, replay: Replay, total: int, again: str) -> None:
        self._replay = replay
        self._total = total
        self._again = again
        self._bar = ProgressBar("replaying")
        self._began: int | None = None
        """How much was done when it began: the rate is that of this run."""
        self._told_at = time.monotonic()

    def look(self) -> None:
        """Draw it anew."""
        done = self._replay.done
        if self._began is None and done:
            self._began = done if done < self._total else 0
        began = self._began or 0
        self._bar.show(done - began, self._total - began)
        parked = self._replay.parked
        if parked and time.monotonic() - self._told_at >= self.TELL_SECONDS:
            self._told_at = time.monotonic()
            self.clear()
            say(
                f"{parked:,} events have failed and wait for their next attempt, up to six hours. Ctrl-C ends this, and"
                f" the same command goes on: {self._again}"
            )

    def clear(self) -> None:
        """Remove it."""
        self._bar.clear()


def account_rows(accounts: Mapping[tuple[str, int], Account]) -> list[Row]:
    """What became of the records, one row a partition."""
    return [
        {
            "topic": topic,
            "partition": partition,
            "consumed": account.consumed,
            "delivered": account.delivered,
            "duplicate": account.duplicate,
            "filtered": account.filtered.total(),
            "dead_lettered": account.dead_lettered.total(),
            "handed_back": account.handed_back,
            "lost": account.lost.total(),
        }
        for (topic, partition), account in accounts.items()
    ]


def plan_rows(survey: Survey) -> list[Row]:
    """What would become of the records, one row a partition."""
    return [
        {
            "topic": topic,
            "partition": partition,
            "first": survey.bounds[topic, partition][0],
            "end": survey.bounds[topic, partition][1],
            "records": forecast.records,
            "to_send": forecast.to_send,
            "known": forecast.known,
            "filtered": forecast.filtered,
            "refused": forecast.refused,
        }
        for (topic, partition), forecast in survey.forecasts.items()
    ]
