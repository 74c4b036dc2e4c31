"""What a setting may hold, in words: read from the annotation of a field of the model."""

import enum
import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata, Ge, Gt, Le, MaxLen, MinLen
from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from streamer.settings import parse_duration, parse_size

UNITS: Final[Mapping[str, str]] = {
    "max_attributes": "attributes",
    "max_calls": "calls",
    "max_devices_per_user": "devices",
    "max_in_flight": "requests",
    "max_open_records": "records",
    "max_parked_per_partition": "records",
    "max_redirects_per_user": "names",
    "rate_limit": "calls a second",
}
"""What whole numbers count whose name does not end with the unit."""

_PLAIN: Final[Mapping[Any, str]] = {
    bool: "`true` or `false`",
    float: "number",
    str: "text",
    SecretStr: "secret text",
    Path: "path",
    str | datetime: "`earliest`, `latest` or a time",
}
_SECONDS: Final = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_MAX_HOURS: Final = 48.0
"""Longer durations are shown in days."""
_BYTES: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "KB": 1_000}


class Value:
    """What one setting may hold.

    Args:
        annotation: its type, with `Annotated` and ``None`` as they come.
        metadata: further annotations that pydantic has taken off the type.
        name: its key.
    """

    def __init__(self, annotation: Any, metadata: Sequence[Any], name: str) -> None:
        self._name = name
        self._metadata = list(metadata)
        while True:
            if get_origin(annotation) is Annotated:
                annotation, *more = get_args(annotation)
                self._metadata += [
                    part for one in more for part in (one.metadata if isinstance(one, FieldInfo) else [one])
                ]
            elif get_origin(annotation) in {Union, types.UnionType} and type(None) in get_args(annotation):
                [annotation] = [part for part in get_args(annotation) if part is not type(None)]
            else:
                break
        self._kind = annotation
        self._parser = next((one.func for one in self._metadata if isinstance(one, BeforeValidator)), None)

    @property
    def words(self) -> str:
        """Type and unit."""
        if choices := self._choices():
            return f"one of {', '.join(f'`{choice}`' for choice in choices)}"
        if self._entry is not None:
            return f"list of {self._entry.words}s".replace("texts", "text")
        if get_origin(self._kind) is dict:
            return "mapping of text to text"
        if self._parser is not None:
            return "duration" if self._parser is parse_duration else "size in bytes"
        return self._whole_number() if self._kind is int else _PLAIN[self._kind]

    @property
    def limits(self) -> str:
        """Lowest and highest value, or length; empty where only the type limits it."""
        unit = " entries" if self._entry is not None else " characters"
        parts = [
            _range(self._shown(Ge, "ge"), self._shown(Gt, "gt"), self._shown(Le, "le")),
            _range(self._shown(MinLen, "min_length"), "", self._shown(MaxLen, "max_length"), unit),
        ]
        if self._entry is not None and self._entry.limits:
            parts.append(f"each {self._entry.limits}")
        return ", ".join(part for part in parts if part).replace("at least 1 characters", "not empty")

    def show(self, value: Any) -> str:
        """A value as it is written in the file."""
        if self._entry is not None and isinstance(value, tuple):
            return f"[{', '.join(map(self._entry.show, value))}]"
        if isinstance(value, bool):
            return str(value).lower()
        if self._parser is parse_duration:
            return _show_duration(value)
        if self._parser is parse_size:
            return _show_size(value)
        return str(value) if value != "" else '""'

    @property
    def _entry(self) -> "Value | None":
        """What each entry of a list may hold."""
        return Value(get_args(self._kind)[0], (), self._name) if get_origin(self._kind) is tuple else None

    def _choices(self) -> Sequence[str]:
        if get_origin(self._kind) is Literal:
            return get_args(self._kind)
        is_closed = isinstance(self._kind, type) and issubclass(self._kind, enum.StrEnum)
        return list(self._kind) if is_closed else ()

    def _whole_number(self) -> str:
        unit = "milliseconds" if self._name.endswith("_ms") else UNITS.get(self._name)
        return f"whole number of {unit}" if unit else "whole number"

    def _shown(self, kind: type[BaseMetadata], attribute: str) -> str:
        """The bound of one kind, as in the file; of several (a type's and the field's) the narrower one."""
        bounds = sorted(getattr(one, attribute) for one in self._metadata if isinstance(one, kind))
        if not bounds:
            return ""
        return self.show(bounds[0] if attribute in {"le", "max_length"} else bounds[-1])


def _range(lowest: str, above: str, highest: str, unit: str = "") -> str:
    """``1 to 10``, ``at least 1``, ``more than 0, at most 10``; empty: no bounds."""
    if lowest and highest:
        return f"{lowest} to {highest}{unit}"
    bounds = (("at least", lowest), ("more than", above), ("at most", highest))
    return ", ".join(f"{words} {bound}{unit}" for words, bound in bounds if bound)


def _show_duration(seconds: float) -> str:
    if seconds > _MAX_HOURS * 3_600 and not seconds % 86_400:
        return f"{seconds / 86_400:g}d"
    for unit, length in _SECONDS.items():
        if seconds >= length and (seconds / length).is_integer():
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}"


def _show_size(size: int) -> str:
    for unit, length in _BYTES.items():
        if size >= length and not size % length:
            return f"{size // length}{unit}"
    return str(size)
