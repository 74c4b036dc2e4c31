"""The benchmark's command line: chooses rows, measures them one by one, shows, stores and compares them."""

import argparse
import asyncio
import fnmatch
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvloop

from bench import machine
from bench.measuring import measure
from bench.process import BenchError
from bench.publish import BASELINE, ROOT, publish
from bench.report import comparison, differing_facts, facts_of, tables_of
from bench.results import Results, load_results
from bench.rows import FULL_EVENTS, QUICK_EVENTS, Group, full_groups, quick_groups
from streamer.core.errors import UnavailableError

RUNS: Final = 3
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
DEFAULT_OUT: Final = ROOT / "bench" / "results"


def tell(text: str) -> None:
    """Say what goes on, to whoever watches."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def choose(groups: Sequence[Group], patterns: Sequence[str]) -> list[Group]:
    """The rows whose names match one of the patterns; all of them without any."""
    if not patterns:
        return list(groups)
    chosen = [[task for task in group if any(fnmatch.fnmatch(task.name, one) for one in patterns)] for group in groups]
    return [group for group in chosen if group]


def show(results: Results, compared: Path | None) -> str:
    """Everything for people."""
    parts = ["\n".join(f"{name:10} {value}" for name, value in facts_of(results))]
    parts += [table.text() for table in tables_of(results)]
    if compared is not None and compared.exists():
        then = load_results(compared)
        parts += [comparison(then, results).text(), *differing_facts(then, results)]
    parts += [f"WARNING: {warning}" for warning in [*results.warnings, *results.faults]]
    return "\n\n".join(parts)


def store(results: Results, text: str, out: Path) -> Path:
    """Write JSON, tables and plots into a new directory in ``out``; returns it."""
    from bench.plots import draw_all  # noqa: PLC0415 - a second that nothing before the end should wait for

    directory = out / results.began.replace(":", "").replace(" ", "-")
    directory.mkdir(parents=True, exist_ok=True)
    results.save(directory / "results.json")
    (directory / "report.txt").write_text(f"{text}\n", encoding="utf-8")
    draw_all(results, directory)
    return directory


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all rows (half an hour), not only the quick ones")
    parser.add_argument("--list", action="store_true", help="say which rows there are, and measure nothing")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this row; * stands for anything")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"of each row (default: {RUNS})")
    parser.add_argument("--events", type=int, help=f"of a row (default: {QUICK_EVENTS:,}, with --full {FULL_EVENTS:,})")
    parser.add_argument("--compare", type=Path, default=BASELINE, metavar="FILE", help="results to compare with")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="where results are stored")
    parser.add_argument("--from", dest="stored", type=Path, metavar="FILE", help="show stored results again")
    parser.add_argument("--publish", action="store_true", help="make this run docs/performance.md's, and the baseline")
    return parser


def run(arguments: argparse.Namespace) -> Results:
    """Measure what was chosen."""
    events = arguments.events or (FULL_EVENTS if arguments.full else QUICK_EVENTS)
    groups = quick_groups(events) + (full_groups(events) if arguments.full or arguments.only else [])
    chosen = choose(groups, arguments.only)
    if not chosen:
        raise BenchError(f"there is no row {' or '.join(arguments.only)}; --list says which there are")
    facts, warnings = machine.facts(), machine.warnings()
    for warning in warnings:
        tell(f"WARNING: {warning}")
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    rows, faults = uvloop.run(measure(chosen, max(arguments.runs, 1), tell))
    return Results(began=began, facts=facts, rows=rows, warnings=warnings, faults=faults)


def main() -> int:
    """Measure and report; the exit code is 1 when something could not be measured."""
    arguments = parser().parse_args()
    if arguments.list:
        groups = [("quick", quick_groups(QUICK_EVENTS)), ("full", full_groups(FULL_EVENTS))]
        for label, task in ((label, task) for label, some in groups for group in some for task in group):
            print(f"{label:5}  {task.name:32} {task.title}")
        return 0
    try:
        results = load_results(arguments.stored) if arguments.stored else run(arguments)
    except (BenchError, UnavailableError) as error:
        tell(str(error))
        return EXIT_FAILED
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
    text = show(results, arguments.compare)
    directory = store(results, text, arguments.out)
    if arguments.publish:
        publish(results)
    print(text)
    tell(f"stored in {directory}")
    return EXIT_FAILED if results.faults else 0


if __name__ == "__main__":
    sys.exit(main())
