"""The headers of a record of the inbound topic: how its call arrived."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from streamer.core.inbound.times import LATEST, microseconds, text_of

WEBHOOK: Final = "streamer.webhook"
RECEIVED: Final = "streamer.received"
"""RFC 3339 with milliseconds and ``Z``."""
AUTHENTICATED: Final = "streamer.authenticated"
"""``true`` or ``false``."""
BATCH_INDEX: Final = "streamer.batch_index"
"""Place of the call in its request, from 0."""
BATCH_SIZE: Final = "streamer.batch_size"


class Receipt(NamedTuple):
    """How a call arrived. Without headers, as in a record that was redriven, nothing vouches for it."""

    webhook: str
    """Empty: it is not known."""
    received: str
    """RFC 3339 with milliseconds and ``Z``."""
    at: int
    """The same in microseconds since the epoch."""
    authenticated: bool


def receipt_of(headers: Sequence[tuple[str, bytes | None]], timestamp_ms: int) -> Receipt:
    """How a call arrived, from its record's headers; without one, the record's own time is that of the receipt."""
    texts = {name: value.decode(errors="replace") for name, value in headers if value is not None}
    at = microseconds(texts.get(RECEIVED))
    if at is None:
        at = max(timestamp_ms, 0) * 1000
    at = min(at, LATEST)
    return Receipt(texts.get(WEBHOOK, ""), text_of(at), at, texts.get(AUTHENTICATED) == "true")
