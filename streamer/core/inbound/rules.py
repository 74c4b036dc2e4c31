"""Everything that decides what becomes of a call: the configuration, as the rules need it."""

from dataclasses import dataclass
from typing import Final

MAX_CALL_BYTES: Final = 512 << 10
"""Largest call that is read, whatever the webhook lets through."""

OWN_EVENTS: Final = frozenset(
    {
        "SDK - Submitted - Survey Response",
        "Flow Viewed",
        "Flow Dismissed",
        "Response Submitted",
        "Survey Answered",
        "Feedback Sent",
    }
)
"""Names of the events that streamer sends to Segment by default: they must not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings of the way back that decide about calls."""

    environment: str | None = None
    """Stands in profiles and triggers."""
    match: tuple[str, ...] = ("email", "user_id")
    """By what a person is found, in this order."""
    remove_nulls: bool = False
    """Whether a null removes the value that is there."""
    screen_is_event: bool = False
    """Whether a screen call is a tracked event, named by ``name``."""
    group_is_attributes: bool = False
    """Whether a group call writes ``group.id`` and ``group.<trait>``."""
    trigger_events: frozenset[str] | None = None
    """Events that make a trigger; None: all."""
    anonymous_triggers: bool = True
    """Whether events of nobody that is known make a trigger."""
    max_trigger_age_seconds: float | None = None
    """Older events make no trigger; None: the age does not matter."""
    own_events: frozenset[str] = OWN_EVENTS
    """Events that the loop guard ignores, after renaming."""
    refuse_unauthenticated: frozenset[str] = frozenset()
    """Webhooks whose calls are set aside if their signature does not cover them."""
    profiles_topic: str = "surveys.profiles"
    triggers_topic: str = "surveys.triggers"
    max_attributes: int = 100
    max_value_bytes: int = 4096
    """Largest compact JSON text of one attribute."""
    max_devices_per_user: int = 100
    max_redirects_per_user: int = 100
