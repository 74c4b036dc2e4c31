"""What the readers of all dialects need for a native document."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from streamer.core.errors import MappingError

Document = dict[str, Any]
"""A decoded JSON object."""

Homes = Mapping[str, type]
"""Native key -> the Python type in which its value goes to the canonical form unchanged; `object`: in any."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def without_home(native: Document, homes: Homes) -> Document:
    """The part of ``native`` that only ``extra`` can keep: unknown keys, nulls, and ids that were numbers."""
    home_of = homes.get
    for key, value in native.items():  # nearly always nothing is left over: a loop without a dict costs half
        home = home_of(key)
        if home is not type(value) and home is not object:
            return {key: value for key, value in native.items() if home_of(key) not in {type(value), object}}
    return {}


def check_ranks(ranks: Document | None, place: str) -> None:
    """Raise `MappingError` if two options have the same rank. None: the question was skipped."""
    given = [rank for rank in (ranks or {}).values() if rank is not None]
    if len(set(given)) < len(given):
        raise MappingError(f"{place}: expected each rank at most once, found one twice")


def broker_time(record_time_ms: int) -> str:
    """The broker's time of a record, as RFC 3339 in UTC with milliseconds.

    Args:
        record_time_ms: milliseconds since the epoch, negative when the broker has none.

    Raises:
        MappingError: there is none, or it is past the year 9999.
    """
    if record_time_ms < 0:
        raise MappingError("the record has no time, and the broker has none for it")
    try:
        time = _EPOCH + dt.timedelta(milliseconds=record_time_ms)
    except OverflowError as error:
        raise MappingError("the record has no time, and that of the broker is past the year 9999") from error
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
