"""What is different: between two documents, and between two ways in which one record ends."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from streamer.core.mapping.pointer import NOTHING, Place, pointer_of
from streamer.core.model import Json, Outcome, TrackCall

MAX_ROWS: Final = 1_000
"""Most different changes that are told apart: the names of changed fields may be data, and so without end."""

OTHERS: Final = "all others"
"""Stands for the changes above `MAX_ROWS`."""


class Difference(NamedTuple):
    """One place at which two documents differ."""

    place: Place
    old: Json
    """`NOTHING`: only the new one has this place."""
    new: Json
    """`NOTHING`: only the old one has it."""


def differences(old: Json, new: Json, place: Place = ()) -> Iterator[Difference]:
    """The innermost places at which two documents differ; none: they are equal as JSON.

    Lists are compared index by index. 1 and 1.0 are the same number; true is no number.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            yield from differences(old.get(key, NOTHING), new.get(key, NOTHING), (*place, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (part[index] if index < len(part) else NOTHING for part in (old, new))
            yield from differences(before, after, (*place, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield Difference(place, old, new)


class Kind(enum.StrEnum):
    """What a changed configuration does to a record. A closed list."""

    ADDED = "added"
    """It made no call, and makes one now."""
    DROPPED = "dropped"
    """It made a call, and makes none any more."""
    REASON_CHANGED = "reason_changed"
    """It makes no call, for another reason than before."""
    ID_CHANGED = "id_changed"
    """Its call has another messageId. Segment takes copies of events that it has for new ones."""
    RENAMED = "renamed"
    """Its call has another event name."""
    CHANGED = "changed"
    """A field of its call has another value."""


class End(NamedTuple):
    """How a record ends with one configuration, as far as mapping goes."""

    outcome: Outcome | None = None
    """None: no integration of this name reads it."""
    reason: str | None = None
    call: TrackCall | None = None

    def __str__(self) -> str:
        """In words: ``filtered (event_disabled)``."""
        if self.outcome is None:
            return "not read"
        return f"{self.outcome} ({self.reason})" if self.reason else self.outcome.value


class Change(NamedTuple):
    """One thing that is different about one record."""

    kind: Kind
    what: str
    """The same for all records with the same change: a reason, a name, a field with `*` for each index."""
    old: Json
    new: Json


def changes(old: End, new: End) -> Iterator[Change]:
    """What is different about a record; nothing if both ends are the same."""
    if old.call is None or new.call is None:
        if new.call is not None:
            yield Change(Kind.ADDED, f"was {old}", str(old), _named(new.call))
        elif old.call is not None:
            yield Change(Kind.DROPPED, f"now {new}", _named(old.call), str(new))
        elif str(old) != str(new):
            yield Change(Kind.REASON_CHANGED, f"{old} -> {new}", str(old), str(new))
        return
    if old.call.message_id != new.call.message_id:
        yield Change(Kind.ID_CHANGED, "messageId", old.call.message_id, new.call.message_id)
    if old.call.body == new.call.body:
        return
    for place, before, after in differences(orjson.loads(old.call.body), orjson.loads(new.call.body)):
        if place == ("event",):
            yield Change(Kind.RENAMED, f"{before} -> {after}", before, after)
        elif place != ("messageId",):
            what = pointer_of(tuple("*" if isinstance(step, int) else step for step in place))
            yield Change(Kind.CHANGED, what, before, after)


def _named(call: TrackCall) -> Json:
    """The event name of a call, or the path of a request of another API."""
    document: dict[str, Any] = orjson.loads(call.body)
    return document.get("event") or document.get("path")


class Example(NamedTuple):
    """One record with a change."""

    place: str
    """Where the record is."""
    message_id: str | None
    old: Json
    new: Json


@dataclass(slots=True)
class Row:
    """All records of an integration with the same change."""

    integration: str
    kind: Kind
    what: str
    records: int = 0
    examples: list[Example] = field(default_factory=list)


class Tally:
    """Counts changes, and keeps the first examples of each."""

    def __init__(self, max_examples: int) -> None:
        """Prepare; ``max_examples`` are kept of each change."""
        self._max_examples = max_examples
        self._rows: dict[tuple[str, Kind, str], Row] = {}
        self.compared = 0
        self.different = 0

    def add(self, integration: str, place: str, old: End, new: End) -> None:
        """Compare the two ends of one record of an integration."""
        self.compared += 1
        call = new.call or old.call
        message_id = None if call is None else call.message_id
        seen: set[int] = set()
        for change in changes(old, new):
            row = self._row(integration, change)
            if id(row) not in seen:  # several answers of one record may have the same change
                seen.add(id(row))
                row.records += 1
                if len(row.examples) < self._max_examples:
                    row.examples.append(Example(place, message_id, change.old, change.new))
        self.different += bool(seen)

    def _row(self, integration: str, change: Change) -> Row:
        key = (integration, change.kind, change.what)
        if key not in self._rows and len(self._rows) >= MAX_ROWS:
            key = (integration, change.kind, OTHERS)
        return self._rows.setdefault(key, Row(*key))

    @property
    def rows(self) -> list[Row]:
        """By integration and kind, the most frequent first."""
        kinds = list(Kind)
        return sorted(self._rows.values(), key=lambda row: (row.integration, kinds.index(row.kind), -row.records))
