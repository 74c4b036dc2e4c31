"""Single dead letters with what became of them, found while dead-letter topics are read."""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamer.core.dead_letters.dead_letter import DeadLetter, place_of, read_dead_letter
from streamer.core.dead_letters.redrive_note import read_note
from streamer.core.model import Record

MAX_CASES: Final = 20
"""Most dead letters that are kept whole; more are counted."""

MAX_EVENTS: Final = 100
"""Most redrives of a dead letter, and most dead letters that it became again, that are told of."""

_PLACE: Final = re.compile(r"([A-Za-z0-9._-]{1,249}):([0-9]{1,10}):([0-9]{1,19})")


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


def read_place(text: str) -> Place | None:
    """The place that ``topic:partition:offset`` names; None: the text has another form."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(found[1], int(found[2]), int(found[3]))


@dataclass(slots=True, kw_only=True)
class Case:
    """One dead letter, and what became of it."""

    record: Record = field(repr=False)
    letter: DeadLetter
    redriven_at: list[float] = field(default_factory=list)
    """When it was written back to its topic, in seconds since the epoch."""
    again: list[tuple[Place, float]] = field(default_factory=list)
    """The dead letters that it became again after a redrive, and when, in seconds since the epoch."""

    @property
    def place(self) -> Place:
        """Where the dead letter is."""
        return Place(self.record.topic, self.record.partition, self.record.offset)

    @property
    def source(self) -> str:
        """Where its record is; without the offset if its header is damaged."""
        place = f"{self.letter.topic}:{self.letter.partition}"
        return place if self.letter.offset is None else f"{place}:{self.letter.offset}"


class Casebook:
    """The dead letters with a place or a messageId. Keeps at most `MAX_CASES` of them, and counts the others."""

    def __init__(self, name: str) -> None:
        """Look for a name: a place of the dead letter or of its record in the topic it was read from, or a messageId.

        A messageId may look like a place, so a text that does is both.
        """
        self.cases: list[Case] = []
        self.more = 0
        """How many others were found that are not kept."""
        self._name = name
        self._place = read_place(name)
        self._by_place: dict[str, Case] = {}

    def take(self, record: Record) -> None:
        """Read the next record of a partition of a dead-letter topic."""
        noted = read_note(record)
        if noted is not None:
            self._note(record, noted)
            return
        letter = read_dead_letter(record)
        if letter is None:
            return
        before = self._by_place.get(letter.redriven_from or "")
        if before is not None and len(before.again) < MAX_EVENTS:
            before.again.append((Place(record.topic, record.partition, record.offset), letter.set_aside_at))
        if self._is_meant(record, letter):
            self._keep(record, letter)

    def _keep(self, record: Record, letter: DeadLetter) -> None:
        if len(self.cases) >= MAX_CASES:
            self.more += 1
            return
        case = Case(record=record, letter=letter)
        self.cases.append(case)
        self._by_place[place_of(record)] = case

    def _note(self, record: Record, spans: list[range]) -> None:
        for case in self.cases:
            is_here = (case.record.topic, case.record.partition) == (record.topic, record.partition)
            if is_here and any(case.record.offset in span for span in spans) and len(case.redriven_at) < MAX_EVENTS:
                case.redriven_at.append(record.timestamp / 1000)

    def _is_meant(self, record: Record, letter: DeadLetter) -> bool:
        return letter.message_id == self._name or (
            self._place is not None
            and self._place
            in {(record.topic, record.partition, record.offset), (letter.topic, letter.partition, letter.offset)}
        )
