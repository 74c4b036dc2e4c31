"""Times of calls, in microseconds since the epoch."""

import datetime as dt
from typing import Final, Literal

from streamer.core.model import Json

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_LEAP_SECOND: Final = slice(17, 19)
LATEST: Final = (dt.datetime(9999, 12, 31, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
"""A later instant may have no text."""
_MAX_CHARACTERS: Final = 64
"""A text that is longer does not count as a time."""


def microseconds(value: Json) -> int | None:
    """The instant that an ISO 8601 text names; without a zone it is UTC. None: it names none."""
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        return None
    try:
        return _since_epoch(value)
    except ValueError:
        pass
    if value[_LEAP_SECOND] != "60":
        return None
    # Python knows no leap seconds: it is the last millisecond of the second before, as in calls that go out.
    try:
        return _since_epoch(f"{value[:17]}59.999{value[19:].lstrip('.,0123456789')}")
    except ValueError:
        return None


def time_of_call(value: Json, received: int) -> int:
    """Time of a call with this ``timestamp``: never later than its receipt, and the receipt if it says none.

    Args:
        value: as decoded.
        received: in microseconds since the epoch.
    """
    at = microseconds(value)
    return received if at is None or at > received else at


def text_of(at: int, timespec: Literal["milliseconds", "microseconds"] = "milliseconds") -> str:
    """RFC 3339 in UTC, for an instant in microseconds within the years 1 to 9999."""
    instant = _EPOCH + at * _MICROSECOND
    return f"{instant.replace(tzinfo=None).isoformat(timespec=timespec)}Z"


def _since_epoch(text: str) -> int:
    moment = dt.datetime.fromisoformat(text.upper())
    return ((moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)) - _EPOCH) // _MICROSECOND
