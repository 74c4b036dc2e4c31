"""What a pipeline consumes, and within which bounds: all that it knows of the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streamer.core.records.window import EVERYTHING, Window
from streamer.settings import Settings
from streamer.settings.inbound import INBOUND

MAX_OPEN_CALLS: Final = 20_000
MAX_OPEN_BYTES: Final = 32 << 20
"""Calls that are read and have no outcome yet, and bytes of them; at one of the limits, the next ones wait on Kafka."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Topics that are read with one consumer group, and what holds for their records."""

    name: str
    """In logs, metrics and the headers of dead letters: that of the integration."""
    group_id: str
    topics: tuple[str, ...]
    start: str | datetime
    """``earliest``, ``latest`` or an instant: where to begin with a topic of which the group has stored nothing."""
    dead_letter_topics: Mapping[str, str]
    """By topic."""
    destination: str
    """Where the records go, as the headers of dead letters name it."""
    max_open_records: int
    max_open_bytes: int
    max_ratio: float
    """Of the mass guard; 1: there is none."""
    is_paused: bool
    """Whether the configuration lets nothing be read, although the group is joined."""
    create_topics: bool
    """Whether missing dead-letter topics are created."""
    rebalance_timeout_seconds: float
    has_calls: bool = False
    """Whether its records are calls of webhooks, and no events: the log names them so."""
    window: Window = EVERYTHING
    """What is read of each partition."""
    replay: str = ""
    """Names the replay that this is, in the headers of dead letters; "": it is none."""


def subscription_of(name: str, settings: Settings) -> Subscription:
    """What the integration ``name`` consumes."""
    integration = settings.integrations[name]
    return Subscription(
        name=name,
        group_id=integration.group_id,
        topics=integration.topics,
        start=integration.start,
        dead_letter_topics={topic: integration.dead_letter_topic(topic) for topic in integration.topics},
        destination=integration.destination,
        max_open_records=integration.limits.max_open_records,
        max_open_bytes=integration.limits.max_open_bytes,
        max_ratio=integration.dead_letters.max_ratio,
        is_paused=integration.is_paused,
        create_topics=settings.kafka.create_topics,
        rebalance_timeout_seconds=settings.kafka.rebalance_timeout_ms / 1000,
    )


def subscription_to_calls(settings: Settings) -> Subscription:
    """What the way back consumes: calls of webhooks. It has no mass guard, because one webhook serves many sources."""
    inbound = settings.inbound
    assert inbound is not None, "asked only where the way back is on"
    return Subscription(
        name=INBOUND,
        group_id=inbound.group_id,
        topics=(inbound.topic,),
        start="earliest",
        dead_letter_topics={inbound.topic: inbound.dead_letters.topic},
        destination="directory",
        max_open_records=MAX_OPEN_CALLS,
        max_open_bytes=MAX_OPEN_BYTES,
        max_ratio=1.0,
        is_paused=False,
        create_topics=settings.kafka.create_topics,
        rebalance_timeout_seconds=settings.kafka.rebalance_timeout_ms / 1000,
        has_calls=True,
    )


def fetch_share_of(settings: Settings) -> float:
    """The part of ``kafka.fetch_max_bytes`` that is each pipeline's; what applies calls of webhooks is one of them."""
    applies_calls = settings.inbound is not None and settings.directory is not None
    return 1 / max(len(settings.integrations) + applies_calls, 1)
