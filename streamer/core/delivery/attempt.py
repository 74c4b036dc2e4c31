"""One request to a destination, and what becomes of its calls."""

import enum
from dataclasses import dataclass


@dataclass(slots=True, eq=False, weakref_slot=True)
class Attempt:
    """A permit in use. Compared and hashed by identity, so it can be the key of its calls, in weak mappings too."""

    started_at: float
    """Monotonic seconds."""
    is_probe: bool
    calls: int
    term: int
    """The destination's term in which the attempt began; see `streamer.core.delivery.destination`."""
    is_retry: bool = False
    """Whether its calls were charged before. Then a failure says little about the destination."""
    is_resend: bool = False
    """Whether its calls were sent before and come from a batch that failed."""
    integration: str = ""
    """Whose calls it carries."""
    took_last_permit: bool = False
    """Whether no permit was left for calls like its own when it had begun."""
    overtaken: int = 0
    """How many requests began after it and were accepted before it was answered."""
    is_refunded: bool = False
    """Whether its charge was taken back."""
    error: str = ""
    """What its answer said, as in `Answer.error`; empty while there is none, and when it was accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a destination lets the next request carry."""

    max_bytes: int
    """Largest batch."""
    is_probe: bool = False
    """One single event, due or not, and far from the last ones."""
    is_unrelated: bool = False
    """Calls that have nothing to do with those of the last requests."""
    may_resend: bool = True
    """Whether it may be calls of a batch that failed; they have half of the permits."""
    may_resend_alone: bool = True
    """Whether it may be one event whose retry goes alone; these have a quarter of the permits."""
    takes_turns: bool = False
    """Whether there is one permit, so that calls of failed batches and others alternate."""


class Verdict(enum.StrEnum):
    """What to do with the calls of an attempt that has ended."""

    DELIVERED = "delivered"
    """Settle their records."""
    RETRY_CHARGED = "retry_charged"
    """Each is charged one attempt: park them as the `RetryPolicy` says, and at least as long as the answer asks for.
    `take_refunds` may take the charge back."""
    RETRY_FREE = "retry_free"
    """The fault is not theirs: they are ready again, and nothing is charged."""
    REFUSED = "refused"
    """Bisect; dead-letter a call that was alone."""
    REFUSED_FREE = "refused_free"
    """Refused without evidence that the destination accepts anything: they are ready again, and nothing is charged."""
    SPLIT = "split"
    """Too large for one request: send them again in halves. ``max_batch_bytes`` has been lowered."""
