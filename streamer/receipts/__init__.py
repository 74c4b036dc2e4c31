"""Receipts: the durable notes of which messageIds were delivered, and from where."""

from streamer.receipts.receipts import MIN_BYTES, Place, Problem, ProblemKind, Receipts

__all__ = ["MIN_BYTES", "Place", "Problem", "ProblemKind", "Receipts"]
