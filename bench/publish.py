"""Makes a run the one that the documentation shows and that later runs are compared with."""

from pathlib import Path
from typing import Final

from bench.plots import draw_all
from bench.report import facts_of, tables_of
from bench.results import Results

ROOT: Final = Path(__file__).parent.parent
BASELINE: Final = ROOT / "bench" / "baseline.json"
PAGE: Final = ROOT / "docs" / "performance.md"
PLOTS: Final = ROOT / "docs" / "performance"

BEGIN: Final = "<!-- results: written by `python -m bench --publish`, do not edit -->"
END: Final = "<!-- end of results -->"


def publish(results: Results) -> None:
    """Write the tables into the page, the plots beside it, and the baseline."""
    plots = draw_all(results, PLOTS)
    PAGE.write_text(with_results(PAGE.read_text(encoding="utf-8"), _section(results, plots)), encoding="utf-8")
    results.save(BASELINE, with_courses=False)


def with_results(page: str, section: str) -> str:
    """The page with ``section`` between the two marks; everything else stays.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no place for results: {BEGIN!r} and {END!r}, one after the other")
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def _section(results: Results, plots: list[Path]) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in [*facts_of(results), *_warned(results)])
    tables = [table.markdown() for table in tables_of(results)]
    images = [f"![{plot.stem}]({plot.relative_to(PAGE.parent).as_posix()})" for plot in plots]
    return "\n\n".join([facts, *tables, *images])


def _warned(results: Results) -> list[tuple[str, str]]:
    return [("note", warning) for warning in [*results.warnings, *results.faults]]
