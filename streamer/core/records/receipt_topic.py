"""The settings of the topic of receipts: of one that streamer creates, and remarks on one that others created."""

from collections.abc import Iterator, Mapping
from typing import Final

from streamer.core.records.receipt_record import MAX_RECORD_BYTES

_HOUR_MS: Final = 3_600_000
_MIN_RETENTION_MS: Final = 60_000


def values_for(window_seconds: float) -> Mapping[str, str]:
    """What a topic of receipts is created with: it keeps them as long as they count, and not much longer.

    Brokers delete whole segments, so that what is kept beyond the window is as much as one segment.
    """
    window_ms = max(int(window_seconds * 1000), _MIN_RETENTION_MS)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(window_ms),
        "retention.bytes": "-1",
        "segment.ms": str(min(_HOUR_MS, window_ms)),
    }


def remarks_on(
    topic: str, window_seconds: float, *, is_compacted: bool, retention_ms: int | None, max_message_bytes: int | None
) -> Iterator[str]:
    """Why a topic may not keep the receipts that count: a text for each setting, with what to do.

    Args:
        topic: its name.
        window_seconds: how long receipts count.
        is_compacted: whether only the newest record of each key stays.
        retention_ms: how long it keeps records, -1: for ever; None: not known.
        max_message_bytes: its largest record; None: not known.
    """
    window_ms = int(window_seconds * 1000)
    if is_compacted:
        yield (
            f"{topic} is compacted: of the receipts of a partition all but the newest are deleted; set cleanup.policy"
            f" of {topic} to delete"
        )
    if retention_ms is not None and 0 <= retention_ms < window_ms:
        yield (
            f"{topic} keeps receipts for {retention_ms} ms, and receipts.window is {window_ms} ms: an instance that"
            " restores its receipts from the topic does not get the older ones, and sends copies of their events again;"
            f" set retention.ms of {topic} to {window_ms}"
        )
    if max_message_bytes is not None and max_message_bytes < MAX_RECORD_BYTES:
        yield (
            f"{topic} accepts records of at most {max_message_bytes} bytes, and one with receipts may have"
            f" {MAX_RECORD_BYTES}: the receipts of large batches would be missing; set max.message.bytes of {topic} to"
            f" {MAX_RECORD_BYTES} or more"
        )
