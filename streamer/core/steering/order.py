"""An order for one integration, as a record of the control topic: the key is its name, the value is this, as JSON.

The newest record of a name counts, so an order says everything: whoever writes one takes over from the one before what
still has to be obeyed (`Order.paused`, `Order.resumed`). Two of its times are *moments*: an instance that was away when
they came obeys them when it is back, and each instance obeys each of them once.
"""

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

VERSION: Final = 1

MAX_TEXT_CHARACTERS: Final = 200
"""Longest text of a person in an order; more is cut."""

MAX_ORDER_BYTES: Final = 16_384
"""A longer record is no order."""

PAUSED: Final = "paused"
RUNNING: Final = "running"


class Unreadable(enum.StrEnum):
    """Why a record of the control topic is no order."""

    DAMAGED = "it is no order"
    NEWER = "it is of a version that this streamer does not know"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator wants of an integration. Times are seconds since the epoch, by the operator's clock."""

    is_paused: bool = False
    discard: bool = False
    """Whether records are filtered while it is paused, instead of waiting on Kafka."""
    until: float | None = None
    """When a pause ends by itself; None: it does not."""
    reason: str = ""
    by: str = ""
    """``user@host``."""
    at: float
    release_guard_at: float | None = None
    """A moment: a stop by the mass guard ends."""
    probe_at: float | None = None
    """A moment: the destination is probed at once if it is held."""

    def resumed(self, *, by: str, reason: str, at: float) -> "Order":
        """The order that ends this one: run, whatever has stopped you."""
        return Order(by=_cut(by), reason=_cut(reason), at=at, release_guard_at=at, probe_at=at)

    def paused(self, *, by: str, reason: str, at: float, until: float | None, discard: bool) -> "Order":
        """The order to pause. Moments stay: an instance that is away now has not obeyed them yet."""
        return replace(self, is_paused=True, discard=discard, until=until, by=_cut(by), reason=_cut(reason), at=at)


def encode(order: Order) -> bytes:
    """The value of the record."""
    told = asdict(order)
    status = PAUSED if told.pop("is_paused") else RUNNING
    return orjson.dumps({"v": VERSION, "status": status, **told})


def decode(value: bytes) -> Order | Unreadable:
    """The order in a record's value. Keys that are not known are ignored: they can only add to what is known."""
    if len(value) > MAX_ORDER_BYTES:
        return Unreadable.DAMAGED
    try:
        told = orjson.loads(value)
    except orjson.JSONDecodeError:
        return Unreadable.DAMAGED
    if not isinstance(told, dict):
        return Unreadable.DAMAGED
    version = told.get("v")
    if isinstance(version, int) and not isinstance(version, bool) and version > VERSION:
        return Unreadable.NEWER
    try:
        return _order(told)
    except _WrongError:
        return Unreadable.DAMAGED


class _WrongError(Exception):
    """A field is missing or has another type."""


def _order(told: Mapping[str, Any]) -> Order:
    status = told.get("status")
    if told.get("v") != VERSION or told["v"] is True or not isinstance(status, str) or status not in {PAUSED, RUNNING}:
        raise _WrongError
    at = _time(told, "at")
    if at is None:
        raise _WrongError
    return Order(
        is_paused=status == PAUSED,
        discard=_flag(told, "discard"),
        until=_time(told, "until"),
        reason=_text(told, "reason"),
        by=_text(told, "by"),
        at=at,
        release_guard_at=_time(told, "release_guard_at"),
        probe_at=_time(told, "probe_at"),
    )


def _time(told: Mapping[str, Any], name: str) -> float | None:
    match told.get(name):
        case None:
            return None
        case bool():
            raise _WrongError
        case int() | float() as seconds if 0 <= seconds < _END_OF_TIME:
            return float(seconds)
        case _:
            raise _WrongError


_END_OF_TIME: Final = 253_402_300_800.0
"""The year 10000: what lies beyond cannot be shown as a date."""


def _flag(told: Mapping[str, Any], name: str) -> bool:
    flag = told.get(name, False)
    if not isinstance(flag, bool):
        raise _WrongError
    return flag


def _text(told: Mapping[str, Any], name: str) -> str:
    text = told.get(name, "")
    if not isinstance(text, str):
        raise _WrongError
    return _cut(text)


def _cut(text: str) -> str:
    """One line of bounded length, whatever was typed."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= MAX_TEXT_CHARACTERS else f"{line[: MAX_TEXT_CHARACTERS - 1]}…"
