"""Receipts of calls that never come: what a store holds before a row begins."""

import os
import time
from pathlib import Path
from typing import Final

from streamer.receipts import Deliveries, Receipts
from streamer.settings.sections import ReceiptsSettings

AT_ONCE: Final = 100_000

DIGEST_BYTES: Final = 16


def open_receipts(directory: Path) -> Receipts:
    """Open a store as the service does."""
    settings = ReceiptsSettings()
    return Receipts.open(directory, window_seconds=settings.window, max_bytes=settings.max_bytes, now=time.time())


def write_receipts(directory: Path, number: int) -> None:
    """Make a store of so many receipts, and close it."""
    receipts = open_receipts(directory)
    fill(receipts, number)
    receipts.close()


def fill(receipts: Receipts, number: int) -> None:
    """Add so many receipts."""
    for start in range(0, number, AT_ONCE):
        receipts.add([strangers(min(AT_ONCE, number - start), first_offset=start)], time.time())


def strangers(number: int, *, first_offset: int = 0) -> Deliveries:
    """Deliveries of messageIds that no event has: drawn at random, as digests look to a store anyway."""
    return Deliveries("earlier", 0, range(first_offset, first_offset + number), random_digests(number))


def random_digests(number: int) -> list[bytes]:
    """What stands for so many messageIds that nobody has."""
    drawn = os.urandom(number * DIGEST_BYTES)
    return [drawn[start : start + DIGEST_BYTES] for start in range(0, len(drawn), DIGEST_BYTES)]
