"""What the service knows of the way back: the directory and the webhooks, as parts of `streamer.status.snapshot`."""

from collections.abc import Mapping
from dataclasses import dataclass

from streamer.status.histogram import Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryStatus:
    """The directory of users, and its outbox. What is not known now is None."""

    is_up: bool
    reason: str
    """Why it cannot be used."""
    users: int | None
    devices: int | None
    transaction_seconds: Histogram
    outbox_records: int | None
    outbox_oldest_at: float | None
    """When the oldest record of the outbox was stored, in seconds since the epoch; None: it has none."""
    is_publishing: bool
    """Whether this process is the one that publishes the outbox."""
    published: int
    """Records published by this process."""
    skipped: int
    """Records left out by this process, because the brokers refuse them."""
    publishing_fault: str
    """Why nothing can be published now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhooksStatus:
    """What Segment's webhooks brought."""

    requests: Mapping[tuple[str, str], int]
    """By webhook and result."""
    calls: Mapping[tuple[str, bool], int]
    """By webhook, and whether they are authenticated."""
    request_seconds: Mapping[str, Histogram]
    """By webhook."""
    publishing_fault: str = ""
    """Why their calls cannot be written to Kafka now."""
