"""The orders in force: the control topic, folded."""

from typing import Final

from streamer.core.steering.order import Order, Unreadable, decode

MAX_ORDERS: Final = 1_000
"""Most names of which an order is kept; a topic that is shared with other services may name any number."""


class Orders:
    """The newest order of each integration."""

    def __init__(self) -> None:
        self._by_name: dict[str, Order] = {}

    def take(self, key: bytes | None, value: bytes | None) -> Unreadable | None:
        """Take the next record of the control topic.

        Args:
            key: the integration's name.
            value: the order; None: there is none any more.

        Returns:
            Why it is no order; what was known of its integration stays.
        """
        try:
            name = "" if key is None else key.decode()
        except UnicodeDecodeError:
            return Unreadable.DAMAGED
        if not name:
            return Unreadable.DAMAGED
        if value is None:
            self._by_name.pop(name, None)
            return None
        order = decode(value)
        if isinstance(order, Unreadable):
            return order
        self._by_name.pop(name, None)
        self._by_name[name] = order
        if len(self._by_name) > MAX_ORDERS:
            del self._by_name[self._least()]
        return None

    def _least(self) -> str:
        """The name whose order is missed least: the oldest one that does not pause."""
        names = iter(self._by_name)
        return next((name for name, order in self._by_name.items() if not order.is_paused), next(names))

    def of(self, name: str) -> Order | None:
        """The order for an integration; None: nobody has ordered anything."""
        return self._by_name.get(name)
