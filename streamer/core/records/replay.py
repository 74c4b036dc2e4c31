"""A replay: records of a time are read again by a group of its own, and go through the same mapping once more.

Here is what is decided about one: its name, which offsets it takes, and whether its account adds up at the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from streamer.core.records import statement as statements
from streamer.core.records.account import Totals

Partition = tuple[str, int]
Bounds = Mapping[Partition, tuple[int, int]]
"""By topic and partition: the first offset, and the one after the last."""


@dataclass(slots=True)
class Forecast:
    """What would become of the records of one partition."""

    records: int = 0
    to_send: int = 0
    known: int = 0
    """Delivered before, as receipts say, or the same messageId comes before it in the range."""
    filtered: int = 0
    refused: int = 0
    """They would be dead-lettered: they cannot be mapped."""


def name_of(integration: str, since: float, until: float, destination: str = "") -> str:
    """The name of a replay: the same for the same command, so that it goes on where it was interrupted.

    Args:
        integration: whose records.
        since: from this time on, in seconds since the epoch.
        until: to before this time.
        destination: where they go, if it is not where the integration delivers to.
    """
    name = f"{integration}.{_stamp(since)}-{_stamp(until)}"
    return f"{name}.{destination}" if destination else name


def group_of(name: str) -> str:
    """The consumer group of a replay."""
    return f"streamer.replay.{name}"


def _stamp(epoch_seconds: float) -> str:
    milliseconds = round(epoch_seconds * 1000)
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{moment}.{milliseconds % 1000:03}Z" if milliseconds % 1000 else f"{moment}Z"


def passed(bounds: Bounds, stored: Mapping[Partition, tuple[int | None, str]]) -> dict[Partition, tuple[int, int]]:
    """The part of a range that the integration itself has passed: what lies behind that, it will still deliver.

    Args:
        bounds: the range.
        stored: for each partition, the position that the integration's group has stored (None: none) and its metadata.

    Returns:
        All of the range for topics of which the group has stored nothing: then nobody else delivers them.
    """
    entered = {topic for (topic, _), (offset, _) in stored.items() if offset is not None}
    found: dict[Partition, tuple[int, int]] = {}
    for partition, (first, end) in bounds.items():
        if partition[0] in entered:
            offset, metadata = stored[partition]
            reached = 0 if offset is None else _horizon(offset, metadata)
            end = max(first, min(end, reached))  # noqa: PLW2901 - what is left of it
        found[partition] = first, end
    return found


def _horizon(offset: int, metadata: str) -> int:
    """Up to where a group has read: one event that waits for hours keeps the position, but not what comes after it."""
    stated = statements.decode(metadata, offset)
    return offset if stated is None else max(offset, stated.horizon)


def size_of(bounds: Bounds) -> int:
    """How many offsets lie within the bounds: at least as many as there are records."""
    return sum(end - first for first, end in bounds.values())


def shortfall(account: Totals, *, records: int, settled_before: int | None, lost: int) -> str:
    """What does not add up in a replay that has come to its end; "": it does.

    Args:
        account: of this run.
        records: that are to be settled, all in all.
        settled_before: by earlier runs of the same replay; None: one of them was killed, and nobody knows.
        lost: offsets that retention or a new topic of the same name took away before they were read.
    """
    if not account.adds_up() or account.in_flight:
        return (
            f"of {account.consumed:,} records read, {account.settled:,} have an outcome, {account.handed_back:,} were"
            f" handed back and {account.in_flight:,} are open: report this as a bug"
        )
    if lost:
        return f"{lost:,} records were deleted from the topic before they were read: they were not sent"
    # More may be settled than there are: after a fault, some are read again.
    if settled_before is not None and settled_before + account.settled < records:
        return (
            f"only {settled_before + account.settled:,} of {records:,} records were there when they were read:"
            " compaction has removed the others meanwhile, or they were never read; run the command again to see"
        )
    return ""
