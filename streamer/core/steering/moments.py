"""The moments of an order: each instance obeys each of them once, also one that was away when it came."""

from streamer.core.steering.order import Order

NONE_YET = 0.0
"""Stands for the moment of an order that has none, or of no order at all."""


def is_release_due(order: Order | None, *, seen: float | None, stopped_at: float | None) -> bool:
    """Whether an order to release the mass guard has to be obeyed.

    An instance that is started again reads old orders again. It remembers which one it has seen, so the clocks of
    instances and operators do not matter; they do only if the guard stopped it before it could ever read its orders.

    Args:
        order: in force.
        seen: the last such moment that this instance has obeyed (`moment_of`); None: it has never read its orders.
        stopped_at: when the guard stopped the integration, in seconds since the epoch; None: it has not, or at an
            unknown time.
    """
    moment = moment_of(order)
    if moment in {NONE_YET, seen}:
        return False
    return seen is not None or stopped_at is None or moment > stopped_at


def moment_of(order: Order | None) -> float:
    """When the release was ordered; `NONE_YET`: it was not."""
    return NONE_YET if order is None or order.release_guard_at is None else order.release_guard_at
