"""Which events were delivered before, as far as that can be known outside of the service.

The topic of receipts tells it, or the running instances do. Every answer comes with its doubt: receipts do not reach
back for ever, and what they do not tell of may have been delivered nevertheless.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from streamer.core.records.receipt_record import decode
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.instances import Instances

MAX_ASKED: Final = 200
"""Most digests of one question to an instance; it takes no more."""

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


async def from_instances(
    instances: Instances, integration: str, *, wanted: Collection[bytes], since: float, on_progress: Progress
) -> Delivered:
    """Ask the running instances, each about everything. What an instance delivered that no longer runs, nobody tells.

    Args:
        instances: whom to ask.
        integration: whose receipts.
        wanted: the digests that are asked about.
        since: when the records that are asked about begin, in seconds since the epoch.
        on_progress: called after each question.
    """
    known = Delivered(doubt="; ".join(instances.problems))
    if not instances.addresses:
        known.doubt = known.doubt or "no instance runs"
    waiting = iter(wanted)
    done, is_heard = 0, True
    while is_heard and (digests := list(islice(waiting, MAX_ASKED))):
        asked = {"digests": ",".join(digest.hex() for digest in digests)}
        for answer in await instances.get(f"/receipts/{integration}", asked):
            is_heard = is_heard and answer.document is not None
            doubt = _note_answer(known, answer.instance, answer.document, answer.error, since)
            known.doubt = known.doubt or doubt
        done += len(digests)
        on_progress(done, len(wanted))
    return known


def _note_answer(known: Delivered, instance: str, document: Any, error: str, since: float) -> str:
    """Note what an instance knows; returns why that is not enough, or nothing."""
    if document is None:
        return f"{instance}: {error}"
    try:
        known_since = float(document["known_since"])
        known.digests.update(bytes.fromhex(digest) for digest in document["receipts"])
    except (KeyError, TypeError, ValueError):
        return f"{instance}: its answer cannot be understood; is it of another version?"
    if known_since > since:
        return f"{instance} has receipts since {_utc(known_since)}, and the range begins earlier"
    return ""


def _utc(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
