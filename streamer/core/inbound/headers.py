"""How a call arrived, as the headers of its record say."""

from collections.abc import Sequence
from typing import NamedTuple

from streamer.core.dead_letters.dead_letter import REDRIVES
from streamer.core.inbound.times import LATEST, microseconds, text_of
from streamer.core.records.own_headers import AUTHENTICATED, RECEIVED, WEBHOOK


class Receipt(NamedTuple):
    """How a call arrived. Without headers, nothing vouches for it."""

    webhook: str
    """Empty: it is not known."""
    received: str
    """RFC 3339 with milliseconds and ``Z``."""
    at: int
    """The same in microseconds since the epoch."""
    authenticated: bool
    redriven: bool
    """Whether an operator sent it on after it was a dead letter."""


def receipt_of(headers: Sequence[tuple[str, bytes | None]], timestamp_ms: int) -> Receipt:
    """How a call arrived, from its record's headers; without one, the record's own time is that of the receipt."""
    texts = {name: value.decode(errors="replace") for name, value in headers if value is not None}
    at = microseconds(texts.get(RECEIVED))
    if at is None:
        at = max(timestamp_ms, 0) * 1000
    at = min(at, LATEST)
    return Receipt(texts.get(WEBHOOK, ""), text_of(at), at, texts.get(AUTHENTICATED) == "true", REDRIVES in texts)
