"""What keeps an integration from delivering because a person wants that: an order, or the configuration."""

from typing import NamedTuple

from streamer.core.steering.order import Order


class Pause(NamedTuple):
    """A pause that is in force."""

    discards: bool = False
    """Whether records are read and filtered as ``paused``; else they wait on Kafka."""
    by: str = ""
    """``user@host``, as the order says; "": the configuration."""
    reason: str = ""
    since: float | None = None
    """Seconds since the epoch; None: not known."""
    until: float | None = None
    """The same; None: somebody has to end it."""


def pause_of(order: Order | None, now: float) -> Pause | None:
    """The pause that an order means at a time; None: it means none, or not any more."""
    if order is None or not order.is_paused or (order.until is not None and now >= order.until):
        return None
    return Pause(
        discards=order.discard, by=order.by or "somebody", reason=order.reason, since=order.at, until=order.until
    )


def in_force(ordered: Pause | None, configured: Pause | None) -> Pause | None:
    """Which of two pauses counts. Either pauses; to hold wins over to discard, because it can be undone."""
    pauses = [pause for pause in (ordered, configured) if pause is not None]
    return min(pauses, key=lambda pause: pause.discards, default=None)
