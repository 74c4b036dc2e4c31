"""How far a group is behind in one partition, from what the brokers store: no instance has to run for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streamer.core.records.statement import decode, is_ours

NOTHING_STORED: Final = "nothing committed yet"
NO_METADATA: Final = "committed without metadata: by another tool, or before anything was read"
FOREIGN_METADATA: Final = "committed by another tool"
DAMAGED_METADATA: Final = "metadata cannot be read: it is damaged, or was carried over from another position"
PAST_END: Final = "the position is past the end: the topic was probably created anew"
OTHER_RECORD: Final = "another record is at the position than when it was committed: the topic was created anew"


@dataclass(slots=True, kw_only=True)
class PartitionLag:
    """One partition of one group.

    Offsets are counted as records, also those that compaction or transactions left without one.
    """

    topic: str
    partition: int
    first: int
    """The first offset that the broker still has."""
    end: int
    """The offset after the last."""
    committed: int | None
    """The position: every record below it has its outcome. None: nothing is stored."""
    settled_above: int | None = None
    """Records at or above the position that have their outcome. None: the position does not say."""
    open_above: int | None = None
    """Records above the position that were being delivered when it was committed; what was not read yet is not one."""
    retried: int | None = None
    """How many of them have failed attempts."""
    max_attempts: int | None = None
    """Most failed attempts of one of them; 255 stands for more."""
    age_seconds: float | None = None
    """Age of the oldest record that has no outcome; 0: there is none. None: not known."""
    headroom_seconds: float | None = None
    """How long until retention may delete that record. None: never, or not known."""
    notes: list[str] = field(default_factory=list)
    """What is unusual about the position."""
    fingerprint: int | None = None
    """The timestamp of the record at the position when that was committed, in milliseconds since the epoch."""

    @property
    def begin(self) -> int:
        """Where reading goes on: at the position, or where the partition begins if the position cannot be used."""
        position = self.first if self.committed is None else self.committed
        return position if self.first <= position <= self.end else self.first

    @property
    def lag(self) -> int:
        """Records from the position to the end that still exist, whether they have their outcome or not."""
        return max(self.end - self.begin, 0)

    def note_oldest(self, offset: int, timestamp_ms: int, *, now: float, retention_seconds: float | None) -> None:
        """Take in the oldest record without an outcome.

        Args:
            offset: its place.
            timestamp_ms: its time in milliseconds since the epoch; negative: it has none.
            now: seconds since the epoch.
            retention_seconds: how long the topic keeps records; None: without limit, or not known.
        """
        if offset == self.committed and self.fingerprint not in {None, timestamp_ms}:
            self.notes.append(OTHER_RECORD)
        if timestamp_ms < 0:
            return
        self.age_seconds = max(now - timestamp_ms / 1000, 0.0)
        if retention_seconds is not None:
            self.headroom_seconds = retention_seconds - self.age_seconds


def partition_lag(place: tuple[str, int], bounds: tuple[int, int], position: int | None, metadata: str) -> PartitionLag:
    """What a stored position says.

    Args:
        place: topic and partition.
        bounds: the first offset that still exists, and the one after the last.
        position: as stored; None: nothing is stored.
        metadata: as stored.
    """
    (topic, partition), (first, end) = place, bounds
    found = PartitionLag(topic=topic, partition=partition, first=first, end=end, committed=position)
    if position is None:
        found.notes.append(NOTHING_STORED)
    else:
        _read_metadata(found, position, metadata)
        if position > end:
            found.notes.append(PAST_END)
        if position < first:
            found.notes.append(f"retention deleted {first - position:,} records from the position on")
    if not found.lag:
        found.age_seconds = 0.0
    return found


def _read_metadata(found: PartitionLag, position: int, metadata: str) -> None:
    statement = decode(metadata, position)
    if statement is None:
        found.notes.append(DAMAGED_METADATA if is_ours(metadata) else FOREIGN_METADATA if metadata else NO_METADATA)
        return
    found.fingerprint = statement.fingerprint
    found.open_above = sum(run.end - run.first for run in statement.open)
    found.settled_above = statement.horizon - position - found.open_above
    found.retried = sum(run.attempts > 0 for run in statement.open)
    found.max_attempts = max((run.attempts for run in statement.open), default=0)
    if position < statement.replay_until:
        # Also while a new group is on its first way through the topic: nobody had delivered for it before.
        found.notes.append(
            f"older receipts do not count below offset {statement.replay_until:,}: the group is new, or was reset"
        )


@dataclass(slots=True, kw_only=True)
class GroupLag:
    """One consumer group."""

    integration: str
    """The integration whose group it is; empty: none in the configuration."""
    group: str
    partitions: list[PartitionLag]
    members: list[str]
    """Client id, host and number of partitions of each member; empty: nothing runs."""
    missing_topics: list[str] = field(default_factory=list)
    """Topics of the integration that do not exist."""

    @property
    def lag(self) -> int:
        """Records that the group is behind in all its partitions."""
        return sum(partition.lag for partition in self.partitions)


def excesses(groups: Iterable[GroupLag], *, max_lag: int | None, max_age_seconds: float | None) -> list[str]:
    """In which groups and partitions a limit is exceeded: for people.

    Args:
        groups: what was found.
        max_lag: most records that a group may be behind; None: any number.
        max_age_seconds: greatest age of a record without an outcome; None: any. An unknown age exceeds it.

    What is not known must not pass for well, so a group without partitions exceeds each limit.
    """
    found = []
    for group in groups:
        if (max_lag, max_age_seconds) != (None, None):
            found += [f"{group.group}: the topic {topic} does not exist" for topic in group.missing_topics]
            if not (group.partitions or group.missing_topics):
                found.append(f"{group.group}: it has no position in a configured topic")
        if max_lag is not None and group.lag > max_lag:
            found.append(f"{group.group} is {group.lag:,} records behind; allowed are {max_lag:,}")
        for one in group.partitions if max_age_seconds is not None else ():
            assert max_age_seconds is not None, "see above"
            place = f"{group.group}, {one.topic} partition {one.partition}"
            if one.age_seconds is None:
                found.append(f"{place}: the age of its oldest record without an outcome is not known")
            elif one.age_seconds > max_age_seconds:
                age = f"its oldest record without an outcome is {one.age_seconds:,.0f} s old"
                found.append(f"{place}: {age}; allowed are {max_age_seconds:,.0f} s")
    return found
