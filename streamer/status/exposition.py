"""Metrics as text, in the format of Prometheus or as OpenMetrics.

The Prometheus client has a writer of its own. It makes an object and a dictionary of every sample and checks every name
of it, which held up the event loop for 35 ms with 100 partitions. Names are constants here, and the labels of a
partition are written out once for all of its metrics.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from prometheus_client.utils import floatToGoString

from streamer.status.histogram import Histogram
from streamer.status.series import Kind, Series, Subject, Value

_float_text: Final[Callable[[float], str]] = floatToGoString

Labelled = Sequence[tuple[str, Subject]]
"""Subjects with their labels, as `labels_text` writes them."""


class Exposition:
    """Collects the lines of one answer."""

    __slots__ = ("_is_open_metrics", "_lines")

    def __init__(self, *, is_open_metrics: bool) -> None:
        self._is_open_metrics = is_open_metrics
        self._lines: list[str] = []

    def __bytes__(self) -> bytes:
        return "".join(self._lines).encode()

    def add(self, catalogue: Iterable[Series[Subject]], subjects: Labelled[Subject]) -> None:
        """Write metrics of one kind of subject."""
        for series in catalogue:
            name = series.name
            if self._is_open_metrics and series.kind is Kind.COUNTER:
                name = name.removesuffix("_total")
            self._lines.append(
                f"# HELP {name} {_escaped_help(series.documentation)}\n# TYPE {name} {series.kind.value}\n"
            )
            own_texts: dict[str | tuple[str, ...], str] = {}
            for labels, subject in subjects:
                reading = series.read(subject)
                if isinstance(reading, Mapping):
                    self._add_all(series, labels, reading.items(), own_texts)
                elif reading is not None:
                    self._add(series.name, labels, reading)

    def _add_all(
        self,
        series: Series[Subject],
        labels: str,
        items: Iterable[tuple[str | tuple[str, ...], Value]],
        own_texts: dict[str | tuple[str, ...], str],
    ) -> None:
        for own, value in items:
            own_text = own_texts.get(own)
            if own_text is None:
                values = (own,) if isinstance(own, str) else own
                own_text = own_texts[own] = labels_text(series.labels, values)
            self._add(series.name, f"{labels},{own_text}" if labels else own_text, value)

    def _add(self, name: str, labels: str, value: Value) -> None:
        if isinstance(value, Histogram):
            self._add_histogram(name, labels, value)
        else:
            self._lines.append(f"{name}{{{labels}}} {_number(value)}\n" if labels else f"{name} {_number(value)}\n")

    def _add_histogram(self, name: str, labels: str, histogram: Histogram) -> None:
        before = f"{name}_bucket{{{labels},le=" if labels else f"{name}_bucket{{le="
        counts = histogram.cumulative_counts()
        lines = [f'{before}"{le}"}} {count}' for le, count in zip(_bounds(histogram.bounds), counts, strict=True)]
        if self._is_open_metrics:
            for bucket, example in histogram.examples.items():
                lines[bucket] += f' # {{trace_id="{example.trace_id}"}} {_number(example.value)} {example.at:.3f}'
        own = f"{{{labels}}}" if labels else ""
        self._lines.append(
            "\n".join([*lines, f"{name}_count{own} {counts[-1]}", f"{name}_sum{own} {_number(histogram.sum)}\n"])
        )


def labels_text(names: Sequence[str], values: Sequence[str]) -> str:
    """Labels as they stand in a line."""
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if type(value) is int else _float_text(value)


@lru_cache(maxsize=64)
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(_float_text(bound) for bound in (*bounds, float("inf")))
