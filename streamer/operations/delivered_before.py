"""Which events were delivered before, as far as that can be known outside of the service: from the topic of receipts.

Every answer comes with its doubt: receipts do not reach back for ever, and what they do not tell of may have been
delivered nevertheless.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streamer.core.records.receipt_record import decode
from streamer.kafka.topic_reader import TopicReader

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Delivered:
    """What is known of deliveries."""

    digests: set[bytes] = field(default_factory=set)
    """Of messageIds that were delivered."""
    doubt: str = ""
    """Why others may have been delivered, too; "": nothing else was."""


async def from_topic(
    reader: TopicReader,
    topic: str,
    destination: str,
    *,
    wanted: Collection[bytes],
    since: float,
    on_progress: Progress,
) -> Delivered:
    """Read all receipts of a destination.

    Args:
        reader: reads the topic to its present end.
        topic: of the receipts.
        destination: fingerprint of it; receipts of others prove nothing.
        wanted: the digests that are asked about, quick to look into.
        since: when the records that are asked about begin, in seconds since the epoch.
        on_progress: called after each batch.

    Raises:
        UnavailableError: the brokers do not answer.
    """
    known = Delivered()
    bounds = await reader.bounds([topic])
    total, done = sum(end - first for first, end in bounds.values()), 0
    oldest: float | None = None
    async for records in reader.read(bounds):
        for record in records:
            batch = decode(record.key, record.value)
            if batch is None or batch.destination != destination:
                continue
            oldest = batch.delivered_at if oldest is None else min(oldest, batch.delivered_at)
            known.digests.update([digest for digest in batch.digests if digest in wanted])
        done += len(records)
        on_progress(done, total)
    if oldest is None:
        known.doubt = f"the topic {topic} has no receipt of this destination"
    elif oldest > since:
        known.doubt = (
            f"the oldest receipt of this destination in {topic} is of {_utc(oldest)}, and the range begins earlier"
        )
    return known


def _utc(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
