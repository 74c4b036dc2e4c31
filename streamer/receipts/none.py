"""No receipts, for what may be sent again at any time, and has to be in its order."""

from collections.abc import Mapping, Sequence

from streamer.receipts.chunks import Deliveries, Place


class NoReceipts:
    """Stands in for `streamer.receipts.Receipts`: nothing is noted, and nothing is known."""

    def find(self, _digests: Sequence[bytes], _now: float) -> Mapping[bytes, Place]:
        """Nothing."""
        return {}

    def add(self, deliveries: Sequence[Deliveries], now: float) -> None:
        """Note nothing."""
