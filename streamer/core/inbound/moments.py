"""Times of the way back: microseconds since the epoch inside, RFC 3339 in UTC outside."""

import datetime as dt
from typing import Final, Literal

from streamer.core.inbound.call import OLDEST

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def written(at: int, timespec: Literal["milliseconds", "microseconds"] = "milliseconds") -> str | None:
    """The time as text with ``Z``; None: older than any call."""
    if at == OLDEST:
        return None
    return (_EPOCH + at * _MICROSECOND).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def read(text: str) -> int:
    """Microseconds since the epoch. A time without a zone is UTC.

    Raises:
        ValueError: it is no ISO 8601 time of the years 1 to 9999.
    """
    try:
        moment = dt.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise ValueError("no ISO 8601 time of the years 1 to 9999") from None  # theirs quotes it
    return (moment - _EPOCH) // _MICROSECOND
