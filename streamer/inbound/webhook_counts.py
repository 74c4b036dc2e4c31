"""What the listener counts: requests by their result, their durations, and the calls in them."""

import enum
from collections import Counter
from collections.abc import Iterable
from typing import Final

from streamer.status.histogram import DURATION_SECONDS, Histogram

OTHER: Final = "_other"
"""Stands for a webhook that does not exist: a name from a request never becomes a label or a field of the log."""


class Result(enum.StrEnum):
    """How a request can end. The list is complete."""

    ACCEPTED = "accepted"
    UNKNOWN_WEBHOOK = "unknown_webhook"
    BAD_METHOD = "bad_method"
    BUSY = "busy"
    TIMEOUT = "timeout"
    BAD_ENCODING = "bad_encoding"
    TOO_LARGE = "too_large"
    BAD_SIGNATURE = "bad_signature"
    BAD_TYPE = "bad_type"
    BAD_JSON = "bad_json"
    KAFKA_UNAVAILABLE = "kafka_unavailable"


class WebhookCounts:
    """The numbers of all webhooks since the process started, for metrics and `/status`."""

    def __init__(self, webhooks: Iterable[str]) -> None:
        self.webhooks = tuple(webhooks)
        self.requests: Counter[tuple[str, Result]] = Counter()
        """By webhook (`OTHER`: one that does not exist) and result."""
        self.calls: Counter[tuple[str, bool]] = Counter()
        """Accepted calls by webhook, and whether they are authenticated."""
        self.duration_seconds = {webhook: Histogram(DURATION_SECONDS) for webhook in (*self.webhooks, OTHER)}
        """From the first byte of a request to its answer."""

    def note(self, webhook: str, result: Result, duration_seconds: float) -> None:
        """Count one request."""
        self.requests[webhook, result] += 1
        self.duration_seconds[webhook].observe(duration_seconds)
