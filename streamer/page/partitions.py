"""A row for each partition, or, of very many, for those that need attention."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from streamer.page.figures import UNKNOWN, count, duration
from streamer.page.markup import Child, element, joined
from streamer.page.parts import NOTHING, badge, cell, heading, name, quiet, since, table
from streamer.page.view import View
from streamer.status import ConsumerStatus, PartitionStatus
from streamer.status.verdict import Level

MAX_PARTITIONS: Final = 40
"""Most rows. Of more partitions, those that need attention are shown."""

_COLUMNS: Final = (
    ("Integration", False),
    ("Partition", False),
    ("State", False),
    ("Position", True),
    ("End", True),
    ("Lag, records", True),
    ("Oldest waits", True),
    ("Open", True),
    ("Parked", True),
)


class _Row(NamedTuple):
    consumer: ConsumerStatus
    partition: PartitionStatus


def partitions(view: View) -> Markup:
    """The section of all partitions."""
    rows = [_Row(consumer, partition) for consumer in view.status.consumers for partition in consumer.partitions]
    shown = rows if len(rows) <= MAX_PARTITIONS else _most_urgent(rows)
    return joined(
        [
            heading("partitions", "Partitions", _note(rows, shown)),
            table(
                "Partitions",
                _COLUMNS,
                element("tbody", [_partition(row, view) for row in shown], role="rowgroup"),
                class_="wide",
            )
            if rows
            else element("p", "No partition is assigned to this instance yet.", class_="quiet"),
        ]
    )


def _note(rows: Sequence[_Row], shown: Sequence[_Row]) -> str:
    if len(rows) == len(shown):
        return f"{len(rows):,}; the brokers are asked every 3 s where they end"
    return f"{len(shown):,} of {len(rows):,}: those with a fault, then those with the most lag; /status has all"


def _most_urgent(rows: Sequence[_Row]) -> Sequence[_Row]:
    """Those with a fault first; else in their own order, so that rows do not change places with their lag."""
    urgent = {id(row) for row in sorted(rows, key=_urgency)[:MAX_PARTITIONS]}
    return sorted((row for row in rows if id(row) in urgent), key=lambda row: _urgency(row)[0])


def _urgency(row: _Row) -> tuple[int, float]:
    """The most urgent first: what is not read, what is not known, then by lag; those of other instances last."""
    assigned = row.partition.assigned
    if row.partition.left_out is not None or row.partition.unaccounted:
        return 0, 0
    if assigned is None:
        return 4, 0
    if assigned.open_transaction_since is not None:
        return 1, 0
    return (2, 0) if assigned.lag is None else (3, -assigned.lag)


def _partition(row: _Row, view: View) -> Markup:
    consumer, partition = row
    assigned = partition.assigned
    place = f"{partition.topic}-{partition.partition}"
    figures: list[tuple[str, Child]] = [
        (label, NOTHING) for label in ("Position", "End", "Lag, records", "Oldest waits", "Open", "Parked")
    ]
    if assigned is not None:
        figures = [
            ("Position", count(assigned.position)),
            ("End", count(assigned.high_watermark)),
            ("Lag, records", count(assigned.lag)),
            ("Oldest waits", duration(assigned.lag_seconds(view.now))),
            ("Open", count(assigned.in_flight)),
            ("Parked", count(assigned.parked)),
        ]
    return element(
        "tr",
        cell("Integration", name(consumer.name)),
        element("th", name(place), scope="row", role="rowheader"),
        cell("State", _state(partition, view)),
        [cell(label, figure, is_number=True) for label, figure in figures],
        role="row",
        data_key=f"{consumer.name} {place}",
    )


def _state(partition: PartitionStatus, view: View) -> Child:
    if partition.left_out is not None:
        fault = partition.left_out
        return joined(
            [
                badge(Level.ACT, "Not read"),
                element("span", element("code", fault.obstacle.value), " ", fault.detail, class_="reason"),
            ]
        )
    if partition.assigned is None:
        return quiet("another instance has it, or none")
    if partition.assigned.open_transaction_since is not None:
        return joined(
            [badge(Level.WATCH, "Waits for a transaction"), since(partition.assigned.open_transaction_since, view.now)]
        )
    return UNKNOWN if partition.assigned.high_watermark is None else badge(Level.WELL, "Read")
