"""Results for people: tables, as text or Markdown, and what has changed since a stored run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.goals import Verdict, goals_of
from bench.results import MEASURES, Kind, Results, Row

TITLES: Final = {
    Kind.BACKLOG: "As fast as it goes, through records that wait on Kafka",
    Kind.CEILING: "The same by a bare loop of the same libraries (bench/ceiling.py)",
    Kind.PACED: "Records at a steady pace: milliseconds from Kafka's timestamp to the 2xx",
    Kind.IDLE: "Nothing to do",
    Kind.STAGE: "One stage by itself: microseconds of CPU per event",
    Kind.WEBHOOKS: "Webhook calls at a steady pace: milliseconds from when a request is due to its 200",
    Kind.APPLYING: "As fast as it goes: webhook calls that wait on Kafka become published profiles and triggers",
    Kind.RESTORING: "Receipts that an instance without any restores from their topic (an event is a receipt)",
    Kind.RECEIVER: "What the bench's own receiver takes at most",
}

SAME_SHARE: Final = 0.05
"""A smaller change of a median is called none."""

COMPARED_FACTS: Final = ("machine", "system", "python", "libraries")
"""Where these differ, a change is not streamer's doing alone."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its title; all cells are text, the first column to the left."""

    title: str
    header: Sequence[str]
    lines: Sequence[Sequence[str]]

    def text(self) -> str:
        """Aligned columns."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.lines, strict=True)]
        aligned = [
            "  ".join(
                cell.ljust(width) if index == 0 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (self.header, *self.lines)
        ]
        return "\n".join([self.title, *(f"  {line}" for line in aligned)])

    def markdown(self) -> str:
        """A table of Markdown under a heading."""
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = [f"| {' | '.join(line)} |" for line in (self.header, rule, *self.lines)]
        return "\n".join([f"### {self.title}", "", *lines])


def tables_of(results: Results) -> Iterator[Table]:
    """The goals first, then a table for each kind of row that was measured."""
    yield _goals(results)
    for kind in Kind:
        rows = results.of_kind(kind)
        if rows:
            yield _rows(kind, rows)


def facts_of(results: Results) -> list[tuple[str, str]]:
    """What it ran on and what was measured, name by name."""
    runs = max((len(row.runs) for row in results.rows), default=0)
    facts = [
        ("date", results.began),
        *results.facts.items(),
        ("figures", f"medians of {runs} runs (least to largest), each after a warm-up that is not counted"),
    ]
    if results.of_kind(Kind.CEILING):
        facts.append(("compared", "streamer with a bare loop of the same libraries on the same records, in turn"))
    return facts


def comparison(then: Results, now: Results) -> Table:
    """What has changed: rows that both have, and measures that tell which is better."""
    lines = []
    for row in now.rows:
        before = then.row(row.name)
        for name, measure in MEASURES.items():
            old, new = (before.median(name), row.median(name)) if before else (None, None)
            if not old or new is None or measure.higher_is_better is None:
                continue
            change = new / old - 1
            is_better = (change > 0) is measure.higher_is_better
            word = "same" if before and _is_same(before, row, name, change) else "better" if is_better else "WORSE"
            figures = [f"{old:,.{measure.digits}f}", f"{new:,.{measure.digits}f}", f"{change:+.1%}"]
            lines.append([row.name, measure.label, *figures, word])
    return Table(f"Compared with {_label(then)}", ["row", "measure", "then", "now", "change", "verdict"], lines)


def differing_facts(then: Results, now: Results) -> list[str]:
    """Why the two cannot be compared strictly."""
    return [
        f"not the same {name}: {then.facts.get(name)}, now {now.facts.get(name)}"
        for name in COMPARED_FACTS
        if then.facts.get(name) != now.facts.get(name)
    ]


def _label(results: Results) -> str:
    return f"{results.began}, streamer {results.facts['streamer']}"


def _is_same(before: Row, row: Row, measure: str, change: float) -> bool:
    """Whether two medians differ by no more than noise: little, or with spreads that overlap."""
    old, new = before.spread(measure), row.spread(measure)
    assert old is not None, "it has a median"
    assert new is not None, "it has a median"
    return abs(change) < SAME_SHARE or (old[0] <= new[1] and new[0] <= old[1])


def _goals(results: Results) -> Table:
    goals = goals_of(results)
    lines = [
        [
            goal.text,
            f"{'>=' if goal.at_least else '<='} {goal.limit:,g}",
            f"{goal.found:,.{goal.digits}f}",
            goal.verdict,
        ]
        for goal in goals
        if goal.found is not None
    ]
    if missing := len(goals) - len(lines):
        lines.append([f"(for {missing} more: make bench-full)", "", "", Verdict.NOT_MEASURED])
    return Table("Goals", ["goal", "limit", "found", "verdict"], lines)


def _rows(kind: Kind, rows: Sequence[Row]) -> Table:
    measures = [name for name in MEASURES if any(row.median(name) is not None for row in rows)]
    lines = [[f"{row.name}: {row.title}", *_cells(row, measures)] for row in rows]
    return Table(TITLES[kind], ["row", *(MEASURES[name].label for name in measures)], lines)


def _cells(row: Row, measures: Iterable[str]) -> Iterator[str]:
    for name in measures:
        measure, median, spread = MEASURES[name], row.median(name), row.spread(name)
        digits = measure.digits
        if median is None or spread is None:
            yield ""
        elif measure.is_bound:
            yield f"{spread[1]:,.{digits}f}"
        elif measure.higher_is_better is None or spread[0] == spread[1]:
            yield f"{median:,.{digits}f}"
        else:
            yield f"{median:,.{digits}f} ({spread[0]:,.{digits}f}-{spread[1]:,.{digits}f})"
