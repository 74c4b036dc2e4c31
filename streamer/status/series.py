"""What a metric is: its name, type, help, labels, when it exists, and how it is read from a part of the status."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamer.status.histogram import Histogram

Subject = TypeVar("Subject")

Value = float | Histogram
Reading = (
    Value
    | Mapping[str, Value]
    | Mapping[tuple[str, str], Value]
    | Mapping[tuple[str, str, str], Value]
    | Mapping[tuple[str, str, str, str], Value]
    | None
)
"""One value, or several by the values of the metric's own labels. None: the series does not exist now."""


class Kind(enum.Enum):
    """The types of Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Series(Generic[Subject]):
    """One metric of one kind of subject."""

    kind: Kind
    name: str
    documentation: str
    read: Callable[[Subject], Reading]
    labels: tuple[str, ...]
    """Its own labels, beside those of its subject."""
    exists: str
    """When the series exist, if not as long as their subject."""


def counter(
    name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str, exists: str = ""
) -> Series[Subject]:
    """A number that only grows while the process runs."""
    return Series(Kind.COUNTER, name, documentation, read, labels, exists)


def gauge(
    name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str, exists: str = ""
) -> Series[Subject]:
    """A number as it is now."""
    return Series(Kind.GAUGE, name, documentation, read, labels, exists)


def histogram(
    name: str, documentation: str, read: Callable[[Subject], Reading], *labels: str, exists: str = ""
) -> Series[Subject]:
    """How many values were at most each bound, and their sum."""
    return Series(Kind.HISTOGRAM, name, documentation, read, labels, exists)
