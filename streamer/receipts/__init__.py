"""Receipts: the durable notes of which messageIds were delivered, and from where."""

from streamer.receipts.chunks import Deliveries, digest_of
from streamer.receipts.destination import destination_fingerprint
from streamer.receipts.none import NoReceipts
from streamer.receipts.receipts import MIN_BYTES, Place, Problem, ProblemKind, Receipts

__all__ = [
    "MIN_BYTES",
    "Deliveries",
    "NoReceipts",
    "Place",
    "Problem",
    "ProblemKind",
    "Receipts",
    "destination_fingerprint",
    "digest_of",
]
