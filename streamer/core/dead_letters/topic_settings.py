"""The settings of dead-letter topics: of those that streamer creates, and remarks on those that others created.

A dead letter is worth something as long as it can be looked at and redriven: it must stay at least as long as its
record stays in the source topic, whole, and beside other dead letters with the same key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CLEANUP_POLICY: Final = "cleanup.policy"
RETENTION_MS: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
MAX_MESSAGE_BYTES: Final = "max.message.bytes"
MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"
TIMESTAMP_TYPE: Final = "message.timestamp.type"
TIME_LIMITS: Final = (
    "message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms",
    "message.timestamp.difference.max.ms",  # up to Kafka 3.9; the other two exist since 3.6
)

NAMES: Final = (
    *(CLEANUP_POLICY, RETENTION_MS, RETENTION_BYTES, MAX_MESSAGE_BYTES, MIN_INSYNC_REPLICAS, TIMESTAMP_TYPE),
    *TIME_LIMITS,
)
"""The settings that are asked for."""

RETENTION_DAYS: Final = 30
"""How long a dead-letter topic that streamer creates keeps dead letters, if its source topics keep records no longer:
people look at dead letters days or weeks later."""

HEADERS_BYTES: Final = 16 << 10
"""Room for the headers of a dead letter, which its record does not have: some 3 kB with the longest names and texts."""

MIN_TIME_LIMIT_MS: Final = 5 * 60_000
"""With less, a dead letter may be refused: clocks differ, and writing it may take until the second attempt."""

_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_MAX_INT32: Final = (1 << 31) - 1
_UNLIMITED: Final = -1
_ACKNOWLEDGED_COPIES: Final = 2
"""How many replicas have a dead letter when it counts as written: its record is then committed as done with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """A topic as its brokers describe it."""

    topic: str
    partitions: int
    """How many; 0: not known."""
    replicas: int
    """How many the partition with the fewest has; 0: not known."""
    values: Mapping[str, str] | None
    """The settings in force, also those that are the brokers' defaults; None: they may not be looked at."""

    def number(self, name: str) -> int | None:
        """The value of a setting; None: it is not known, or the broker does not have this setting."""
        try:
            return int((self.values or {})[name])
        except (KeyError, ValueError):
            return None

    @property
    def is_compacted(self) -> bool:
        """Whether only the newest record of each key stays."""
        return "compact" in self._policies

    @property
    def retention_ms(self) -> int | None:
        """How long records stay in any case, -1: for ever; None: not known, or only compaction deletes records."""
        retention = self.number(RETENTION_MS) if "delete" in self._policies else None
        return retention if retention is None or retention >= 0 else _UNLIMITED

    @property
    def lacks_replicas(self) -> bool:
        """Whether its brokers confirm no record with ``acks=all``: it can never have enough replicas in sync."""
        return 0 < self.replicas < (self.number(MIN_INSYNC_REPLICAS) or 0)

    @property
    def _policies(self) -> list[str]:
        return [policy.strip() for policy in (self.values or {}).get(CLEANUP_POLICY, "delete").split(",")]

    def __str__(self) -> str:
        texts = [f"{name}={value}" for name, value in (self.values or {}).items()]
        partitions = "1 partition" if self.partitions == 1 else f"{self.partitions} partitions"
        replication = f"replication factor {self.replicas}" if self.replicas else "the default replication factor"
        return ", ".join([partitions, replication, *texts])


def settings_for(topic: str, sources: Sequence[TopicSettings]) -> TopicSettings:
    """What a dead-letter topic is to be created with.

    Settings that decide how long dead letters stay, and whether they can be written, are not left to the defaults of
    the brokers.

    Args:
        topic: its name.
        sources: the topics whose dead letters it gets; at least one. What is not known of them is left out.
    """
    values = {
        CLEANUP_POLICY: "delete",
        RETENTION_MS: str(_longest([source.retention_ms for source in sources])),
        RETENTION_BYTES: str(_UNLIMITED),
        # The broker's clock decides when dead letters are deleted, so it also sets their time. And then there is no
        # limit on times that could refuse them; the names of these limits depend on the version of the broker.
        TIMESTAMP_TYPE: "LogAppendTime",
    }
    sizes = [size for source in sources if (size := source.number(MAX_MESSAGE_BYTES)) is not None]
    if sizes:
        values[MAX_MESSAGE_BYTES] = str(min(max(sizes) + HEADERS_BYTES, _MAX_INT32))
    replicas = max(source.replicas for source in sources)
    if replicas:
        # One broker may be away, unless the source topic does not allow that either.
        copies = max(1, min(_ACKNOWLEDGED_COPIES, replicas - 1))
        of_sources = [min(source.number(MIN_INSYNC_REPLICAS) or 1, replicas) for source in sources]
        values[MIN_INSYNC_REPLICAS] = str(max(copies, *of_sources))
    return TopicSettings(
        topic=topic, partitions=max(source.partitions for source in sources) or 1, replicas=replicas, values=values
    )


def _longest(retentions: Sequence[int | None]) -> int:
    known = [retention for retention in retentions if retention is not None]
    return _UNLIMITED if _UNLIMITED in known else max(RETENTION_DAYS * _DAY_MS, *known, 0)


def fault_of(letters: TopicSettings) -> str | None:
    """Why no dead letter can ever be written to a topic; None: nothing is known that prevents it."""
    if not letters.lacks_replicas:
        return None
    return (
        f"{letters.topic} has a replication factor of {letters.replicas}, and min.insync.replicas is"
        f" {letters.number(MIN_INSYNC_REPLICAS)}: the brokers confirm no dead letter, so the records of dead letters"
        " stay open and positions stand still; lower min.insync.replicas or add replicas"
    )


def remarks_on(letters: TopicSettings, sources: Sequence[TopicSettings]) -> Iterator[str]:
    """What may delete or spoil the dead letters in a topic: a text for each setting, with what to do.

    Args:
        letters: the dead-letter topic.
        sources: the topics whose dead letters it gets.
    """
    if letters.is_compacted:
        yield (
            f"{letters.topic} is compacted: of several dead letters with the same key, all but the newest are deleted;"
            f" set {CLEANUP_POLICY} of {letters.topic} to delete"
        )
    if letters.retention_ms is not None:
        yield from _early_deletion(letters, letters.retention_ms, sources)
    yield from _too_large(letters, sources)
    if (letters.values or {}).get(TIMESTAMP_TYPE) != "LogAppendTime":
        yield from _refused_times(letters)


def _early_deletion(letters: TopicSettings, retention: int, sources: Sequence[TopicSettings]) -> Iterator[str]:
    longer = [
        source
        for source in sources
        if retention >= 0 and (kept := source.retention_ms) is not None and (kept == _UNLIMITED or kept > retention)
    ]
    if longer:
        source = max(longer, key=_retention_order)
        wanted = source.retention_ms
        yield (
            f"{letters.topic} keeps dead letters for {_span(retention)}, and {source.topic} keeps records"
            f" {'for ever' if wanted == _UNLIMITED else f'for {_span(wanted or 0)}'}: dead letters are deleted before"
            f" the records around them, and cannot be redriven any more; set {RETENTION_MS} of {letters.topic} to"
            f" {wanted}{'' if wanted == _UNLIMITED else ' or more'}"
        )
    if (most := letters.number(RETENTION_BYTES) or _UNLIMITED) >= 0:
        yield (
            f"{letters.topic} deletes its oldest dead letters, however young they are, when one of its partitions has"
            f" more than {most} bytes; set {RETENTION_BYTES} of {letters.topic} to -1"
        )


def _retention_order(source: TopicSettings) -> float:
    kept = source.retention_ms
    return float("inf") if kept == _UNLIMITED else kept or 0


def _too_large(letters: TopicSettings, sources: Sequence[TopicSettings]) -> Iterator[str]:
    size = letters.number(MAX_MESSAGE_BYTES)
    source = max(sources, key=lambda source: source.number(MAX_MESSAGE_BYTES) or 0)
    largest = source.number(MAX_MESSAGE_BYTES)
    if size is not None and largest is not None and size < largest:
        yield (
            f"{letters.topic} accepts records of at most {size} bytes, and {source.topic} of {largest}: a larger dead"
            " letter is written without key and value, which are then only in the source topic; set"
            f" {MAX_MESSAGE_BYTES} of {letters.topic} to {min(largest + HEADERS_BYTES, _MAX_INT32)} or more"
        )


def _refused_times(letters: TopicSettings) -> Iterator[str]:
    for name in TIME_LIMITS:
        limit = letters.number(name)
        if limit is not None and limit < MIN_TIME_LIMIT_MS:
            yield (
                f"{letters.topic} refuses records whose time is more than {_span(limit)} away from the broker's"
                f" ({name}): when clocks differ or a write is slow, a dead letter gets the time of its record and is"
                f" deleted early, or cannot be written and keeps its record open; set {TIMESTAMP_TYPE} of"
                f" {letters.topic} to LogAppendTime, or {name} to {_HOUR_MS} or more"
            )


def _span(milliseconds: int) -> str:
    for unit, length in (("d", _DAY_MS), ("h", _HOUR_MS), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= length:
            return f"{milliseconds / length:.4g} {unit}"
    return f"{milliseconds} ms"
