"""What the demo prints: progress on stderr, so that stdout has only the accounts and the checks."""

import sys
from collections.abc import Iterable, Mapping, Sequence


def say(line: str) -> None:
    """Print progress."""
    print(line, file=sys.stderr, flush=True)


def show_table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, int]]) -> None:
    """Print an account: a line for each row, a column for each term."""
    print(f"{title:<16}" + "".join(f"{column:>14}" for column in columns))
    for name, row in rows.items():
        print(f"{name:<16}" + "".join(f"{row[column]:>14,}" for column in columns))


def show_checks(checks: Iterable[tuple[str, bool]]) -> bool:
    """Print each check; True if all of them passed."""
    passed = True
    for text, holds in checks:
        print(f"{'ok  ' if holds else 'FAIL'}  {text}")
        passed = passed and holds
    return passed
