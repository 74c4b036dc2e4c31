"""Times as they go out: RFC 3339 in UTC with exactly three digits and ``Z``.

A Segment SDK went over to this form because calls with microseconds were not processed.
"""

import datetime as dt
import re
from typing import Final

from streamer.core.errors import MappingError

_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:)([0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_LEAP_SECOND: Final = "60"

EXACT_CHARACTERS: Final = len("2026-03-02T09:15:27.418Z")
"""Length of a time as it goes out."""


def exact(time: str) -> str:
    """An RFC 3339 time in UTC, with exactly three digits and ``Z``.

    Digits beyond the third are left out. A leap second is the last millisecond of the second before.

    Raises:
        MappingError: there is no such time from the year 1 to the year 9999.
    """
    # Nearly all times have the form already, which a length of 24 proves: an offset would need one more. Only a leap
    # second, the year 0, which no database knows, and "t" and "z" have that length as well.
    if len(time) == EXACT_CHARACTERS and time[17] < "6" and "z" not in time and "t" not in time and time >= "0001":
        return time
    parts = _TIME.fullmatch(time)
    if parts is None:
        raise MappingError("a time of the event: expected an RFC 3339 time, found a string that is none")
    date, minute, second, digits, zone = parts.groups()
    is_leap = second == _LEAP_SECOND
    written = f"{date}T{minute}{'59' if is_leap else second}{'+00:00' if zone in 'Zz' else zone}"
    try:
        moment = dt.datetime.fromisoformat(written).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise MappingError(
            "a time of the event: expected one from the year 1 to the year 9999, found one that does not exist"
        ) from None  # their errors quote it
    milliseconds = "999" if is_leap else (digits or "")[:3].ljust(3, "0")
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}.{milliseconds}Z"
