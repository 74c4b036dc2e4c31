"""Which topics have nothing to deliver any more: all their latest records end as ``not_in_stream``.

The rule is meant for a few records of a stream. When it takes all of them, the configuration is probably wrong, or the
topic is. Nothing is stopped for that: such a topic may be in order, and its records have their outcome.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from streamer.core.model import FilterReason
from streamer.core.records.account import Account

MIN_FILTERED: Final = 200
"""With fewer records in sequence nothing is said."""


class FilteredOut:
    """The topics of one integration, looked at now and then. Costs nothing for a record: the accounts say it all."""

    def __init__(self) -> None:
        self._others: Counter[str] = Counter()
        """By topic: how many records were not filtered when it was last looked at."""
        self._settled: Counter[str] = Counter()
        """By topic: how many had ended as ``not_in_stream`` when another one was last seen."""
        self.topics: dict[str, int] = {}
        """The topics, and how many records of each were filtered without another one between them."""

    def look(self, accounts: Mapping[tuple[str, int], Account]) -> set[str]:
        """Look at the accounts of all partitions; returns the topics that began or ceased to be filtered out.

        Records that other rules filter count as neither: a tombstone or a test says nothing about the configuration.
        """
        others: Counter[str] = Counter()
        filtered: Counter[str] = Counter()
        for (topic, _), account in accounts.items():
            others[topic] += account.consumed - account.filtered.total()
            filtered[topic] += account.filtered[FilterReason.NOT_IN_STREAM]
        before = self.topics.keys()
        for topic, number in others.items():
            if number != self._others[topic]:
                self._settled[topic] = filtered[topic]
        self._others = others
        latest = {topic: number - self._settled[topic] for topic, number in filtered.items()}
        self.topics = {topic: number for topic, number in latest.items() if number >= MIN_FILTERED}
        return set(before ^ self.topics.keys())
