"""The text of ``streamer top``: tables that fit into a terminal of any size."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamer.cli.colors import BOLD, DIM, GREEN, RED, YELLOW, painted, printable
from streamer.core.watching import Board, DestinationRow, InstanceRow, IntegrationRow
from streamer.status.figures import duration, number

GAP: Final = 2
"""Blanks between columns."""

NOT_KNOWN: Final = "-"

_COLORS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("well", "ok", "running"), GREEN),
    **dict.fromkeys(("watch", "starting", "draining", "paused", "restarting", "backing_off"), YELLOW),
    **dict.fromkeys(("act", "guarded", "held", "no answer"), RED),
}


class Cell(NamedTuple):
    """One cell, and its colour."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, with a cell for each row."""

    title: str
    cells: Sequence[Cell]
    is_number: bool = False
    rank: int = 0
    """Where there is no room, the columns with the highest rank go first; 0 stays."""

    @property
    def width(self) -> int:
        """Of the widest cell."""
        return max(width_of(text) for text in (self.title, *(cell.text for cell in self.cells)))


def lines_of(
    board: Board,
    *,
    now: float,
    remarks: Sequence[str] = (),
    columns: int | None = None,
    rows: int | None = None,
    has_color: bool = False,
) -> list[str]:
    """All lines.

    Args:
        board: what to show.
        now: seconds since the epoch.
        remarks: texts below the verdict.
        columns: of the terminal; None: lines may be of any length.
        rows: of the terminal; None: there may be any number of lines.
        has_color: whether to use colours.
    """
    width = 10_000 if columns is None else columns
    verdict = [
        painted(line, _COLORS.get(board.level, ""), BOLD, is_on=has_color) for line in wrapped(board.headline, width)
    ]
    sections = [
        [*verdict, *(line for remark in remarks for line in wrapped(remark, width))],
        _table(_integrations(board.integrations, now), _notes(board.integrations), width, has_color),
        _table(_destinations(board.destinations, now), _notes(board.destinations), width, has_color),
        _table(_instances(board.instances, now), [one.error for one in board.instances], width, has_color),
    ]
    lines = [line for section in sections if section for line in (*section, "")][:-1]
    if rows is None or len(lines) <= rows:
        return lines
    kept = max(rows - 1, 0)
    more = cropped(f"{len(lines) - kept} more lines; the window is too small", width)
    return [*lines[:kept], painted(more, DIM, is_on=has_color)][:rows]


def _notes(rows: Sequence[IntegrationRow | DestinationRow]) -> list[str]:
    return [row.reason for row in rows]


def _integrations(rows: Sequence[IntegrationRow], now: float) -> list[Column]:
    return [
        Column(title="INTEGRATION", cells=[Cell(row.name) for row in rows]),
        Column(title="STATE", cells=[_state(row.state, row.since, now) for row in rows]),
        _numbers("IN/S", (_rate(row.in_per_second) for row in rows), rank=2),
        _numbers("OUT/S", (_rate(row.out_per_second) for row in rows)),
        _numbers("LAG", (_count(row.lag) for row in rows)),
        _numbers("OLDEST", (_seconds(row.lag_seconds) for row in rows), rank=1),
        _numbers("ETA", (_seconds(row.eta_seconds or None) for row in rows), rank=4),
        Column(title="LIMITED BY", cells=[Cell(row.limited_by or NOT_KNOWN) for row in rows], rank=3),
        _numbers("PARKED", (_count(row.parked) for row in rows), rank=5),
        Column(
            title="DEAD LETTERS/MIN",
            cells=[
                Cell(_rate(row.dead_letters_per_minute), RED if row.dead_letters_per_minute else "") for row in rows
            ],
            is_number=True,
            rank=2,
        ),
    ]


def _destinations(rows: Sequence[DestinationRow], now: float) -> list[Column]:
    classes = sorted({kind for row in rows for kind in row.answers_per_second or ()} | {"2xx"})
    return [
        Column(title="DESTINATION", cells=[Cell(row.name) for row in rows]),
        Column(title="STATE", cells=[_state(row.state, row.since, now) for row in rows]),
        *(
            _numbers(f"{kind.upper()}/S", (_rate(_of_class(row, kind)) for row in rows), rank=0 if kind == "2xx" else 2)
            for kind in classes
        ),
        _numbers("P50", (_milliseconds(row.p50_seconds) for row in rows), rank=4),
        _numbers("P99", (_milliseconds(row.p99_seconds) for row in rows), rank=3),
        _numbers("IN FLIGHT", (f"{row.in_flight} of {row.limit}" for row in rows), rank=1),
        _numbers("NEXT PROBE", (_until(row.next_probe_at, now) for row in rows), rank=2),
    ]


def _of_class(row: DestinationRow, kind: str) -> float | None:
    return None if row.answers_per_second is None else row.answers_per_second.get(kind, 0.0)


def _instances(rows: Sequence[InstanceRow], now: float) -> list[Column]:
    words = [row.level or "no answer" for row in rows]
    return [
        Column(title="INSTANCE", cells=[Cell(row.name) for row in rows]),
        Column(title="STATE", cells=[Cell(word, _COLORS.get(word, "")) for word in words]),
        _numbers("PARTITIONS", (NOT_KNOWN if row.error else _count(row.partitions) for row in rows), rank=1),
        _numbers(
            "UP", (NOT_KNOWN if row.started_at is None else duration(now - row.started_at) for row in rows), rank=2
        ),
        Column(title="VERSION", cells=[Cell(row.version or NOT_KNOWN) for row in rows], rank=3),
        Column(title="ADDRESS", cells=[Cell(row.address) for row in rows], rank=4),
    ]


def _numbers(title: str, texts: Iterable[str], *, rank: int = 0) -> Column:
    return Column(title=title, cells=[Cell(text) for text in texts], is_number=True, rank=rank)


def _state(state: str, since: float | None, now: float) -> Cell:
    for_how_long = "" if since is None else f" {duration(now - since)}"
    return Cell(f"{state.replace('_', ' ')}{for_how_long}", _COLORS.get(state, ""))


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return NOT_KNOWN
    return f"{per_second:.1f}" if 0 < per_second < 10 else number(round(per_second))  # noqa: PLR2004 - two digits


def _count(count: int | None) -> str:
    return NOT_KNOWN if count is None else number(count)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOT_KNOWN
    return duration(seconds) if seconds > 0 else "0 s"


def _milliseconds(seconds: float | None) -> str:
    return NOT_KNOWN if seconds is None else f"{seconds * 1_000:,.0f} ms"


def _until(moment: float | None, now: float) -> str:
    if moment is None:
        return NOT_KNOWN
    return f"in {duration(moment - now)}" if moment > now else "now"


def _table(columns: Sequence[Column], notes: Sequence[str], width: int, has_color: bool) -> list[str]:
    """Title and rows, as many columns as fit; under a row its note, if it has one."""
    if not columns[0].cells:
        return []
    shown = _fitting(columns, width)
    widths = [column.width for column in shown]
    titles = [_padded(column.title, size, column.is_number) for column, size in zip(shown, widths, strict=True)]
    lines = [painted(cropped((" " * GAP).join(titles).rstrip(), width), BOLD, is_on=has_color)]
    for row, note in enumerate(notes):
        cells = [column.cells[row] for column in shown]
        lines.append(_row(cells, shown, widths, width, has_color))
        if note:
            lines += [painted(f"  {line}", DIM, is_on=has_color) for line in wrapped(note, max(width - GAP, 1))]
    return lines


def _row(cells: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], width: int, has_color: bool) -> str:
    texts = [
        _padded(cell.text, size, column.is_number) for cell, column, size in zip(cells, columns, widths, strict=True)
    ]
    line = (" " * GAP).join(texts).rstrip()
    if width_of(line) > width:  # not even the columns that stay have room: without colours
        return cropped(line, width)
    return (
        (" " * GAP)
        .join(
            painted(text, cell.style, is_on=has_color and bool(cell.style))
            for text, cell in zip(texts, cells, strict=True)
        )
        .rstrip()
    )


def _fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """Without the least important columns, as far as that is needed."""
    shown = list(columns)
    while sum(column.width + GAP for column in shown) - GAP > width:
        least = max(shown, key=lambda column: column.rank)
        if least.rank == 0:
            break
        shown.remove(least)
    return shown


def _padded(text: str, width: int, is_number: bool) -> str:
    shown = printable(text)
    blanks = " " * (width - width_of(text))
    return f"{blanks}{shown}" if is_number else f"{shown}{blanks}"


def width_of(text: str) -> int:
    """Columns of a terminal that a text takes, once it is printable."""
    shown = printable(text)
    if shown.isascii():
        return len(shown)
    return sum(map(_width_of_character, shown))


def _width_of_character(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cropped(text: str, width: int) -> str:
    """The part of a text that has room."""
    if width_of(text) <= width:
        return printable(text)
    kept = ""
    for character in printable(text):
        if width_of(kept + character) > width - 1:
            break
        kept += character
    return f"{kept}…" if width > 0 else ""


def wrapped(text: str, width: int) -> Iterator[str]:
    """A text in lines, broken at blanks; a word that is too long is cut."""
    line = ""
    for word in printable(text).split(" "):
        longer = f"{line} {word}" if line else word
        if line and width_of(longer) > width:
            yield cropped(line, width)
            longer = word
        line = longer
    yield cropped(line, width)
