"""Which calls a reader is shown: the latest that a search finds, of those that are kept."""

from typing import Final, NamedTuple

from streamer.devkit.sandbox.debugger.calls import ShownCall, split_id
from streamer.devkit.sandbox.debugger.query import Query
from streamer.devkit.sandbox.record import SandboxRecord

MAX_ROWS: Final = 200
"""Most calls that the page lists."""


class Found(NamedTuple):
    """The result of one search."""

    calls: list[ShownCall]
    """Newest first, and no more than were asked for."""
    matches: int
    """How many calls were found, those included that are not in ``calls``."""
    missed: int
    """Calls that came after the place to begin from and are not kept any more, so nobody can say whether they match."""


def find(record: SandboxRecord, query: Query, *, after: int = 0, limit: int = MAX_ROWS) -> Found:
    """Search the calls that are kept.

    Args:
        record: what to search.
        query: what to search for.
        after: only calls with higher numbers.
        limit: most calls to return.
    """
    newer, searched, matches = max(0, record.received - after), 0, 0
    calls: list[ShownCall] = []
    for kept in record.kept(after=after):
        searched += 1
        call = ShownCall(record.run, kept)
        if query.is_empty or query.finds(call):
            matches += 1
            if len(calls) < limit:
                calls.append(call)
    return Found(calls, matches, newer - searched)


def find_one(record: SandboxRecord, call_id: str) -> ShownCall | None:
    """The call with this id; None: it is not kept."""
    run, number = split_id(call_id) or ("", 0)
    kept = record.find(number) if run == record.run else None
    return None if kept is None else ShownCall(run, kept)
