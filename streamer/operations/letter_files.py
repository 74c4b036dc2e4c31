"""Writes dead letters to files, so that people can correct them, and reads corrected ones back."""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from streamer.core.dead_letters.dead_letter import DeadLetter, Partition, Selection, read_dead_letter
from streamer.core.dead_letters.exported import corrected_record, corrected_value, exported, value_of
from streamer.core.dead_letters.redrive import Kind, OutgoingRecord, Plan, Skip, kind_of
from streamer.core.dead_letters.redrive_note import read_note
from streamer.core.dead_letters.stock import Stock
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.kafka.topic_reader import Bounds
from streamer.operations.corrections import Corrections
from streamer.operations.redrive import Progress, ReadsTopics, chosen_letters, each_record

STDOUT: Final = "-"

MAX_COMPLAINTS: Final = 20
"""Most corrected values of which it is told why they are invalid."""

Judge = Callable[[str, Record, bytes], str | None]
"""Whether an integration would deliver a record with a new value: why not, or None."""


class LetterFiles:
    """Where dead letters are written as documents; ``with`` closes it.

    A file gets a document a line, a directory a file for each document. They are for their owner only, because dead
    letters have the answers of people. What exists is not overwritten, because it may have corrections in it.
    """

    def __init__(self, target: str) -> None:
        """Prepare; nothing is opened before the first document.

        Args:
            target: a file, `STDOUT`, or a directory: one that exists, or a name that ends with a slash.
        """
        self._target = target
        self._is_directory = target.endswith("/") or Path(target).is_dir()
        self._file: IO[str] | None = sys.stdout if target == STDOUT else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file not in {None, sys.stdout}:
            self._file.close()

    def write(self, record: Record, letter: DeadLetter) -> None:
        """Write one dead letter. Raises OSError; FileExistsError: the file exists."""
        document = exported(record, letter)
        if self._is_directory:
            Path(self._target).mkdir(mode=0o700, parents=True, exist_ok=True)
            with _new_file(Path(self._target) / f"{record.topic}-{record.partition}-{record.offset}.json") as file:
                file.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
            return
        if self._file is None:
            self._file = _new_file(Path(self._target))
        # Standard output may be a terminal, which some characters would play with.
        self._file.write(json.dumps(document, ensure_ascii=self._file is sys.stdout) + "\n")


def _new_file(path: Path) -> IO[str]:
    return open(path, "x", encoding="utf-8", opener=functools.partial(os.open, mode=0o600))


async def export(reader: ReadsTopics, plan: Plan, files: LetterFiles, on_progress: Progress) -> int:
    """Write the chosen dead letters of a plan, which are read again, one poll at a time; returns how many.

    Raises:
        OSError: a file cannot be written; FileExistsError: it exists.
        UnavailableError: the brokers do not answer.
    """
    total, done = sum(map(len, plan.chosen.values())), 0
    async with contextlib.aclosing(chosen_letters(reader, plan)) as letters:
        async for record, letter in letters:
            files.write(record, letter)
            done += 1
            on_progress(done, total)
    return done


@dataclass(slots=True)
class Reviewed:
    """Corrected dead letters, compared with what is on Kafka."""

    stock: Stock[Kind] = field(default_factory=lambda: Stock(Selection(), kind_of))
    skips: dict[tuple[Partition, int], Skip] = field(default_factory=dict)
    """Which ones are not written, and why."""
    invalid: int = 0
    complaints: list[str] = field(default_factory=list)
    """Why corrected values are invalid: the place and what is wrong, at most `MAX_COMPLAINTS`."""
    found: int = 0

    def skip_of(self, partition: Partition, offset: int) -> Skip | None:
        """Why a dead letter is not written; None: it is."""
        return self.skips.get((partition, offset))

    @property
    def unchanged(self) -> int:
        """How many values are as they were."""
        return sum(why is Skip.UNCHANGED for why in self.skips.values())


async def review(
    reader: ReadsTopics, corrections: Corrections, judge: Judge, on_progress: Progress, *, force: bool
) -> Reviewed:
    """Compare corrected dead letters with those on Kafka, and have the changed ones judged.

    Raises:
        UnavailableError: the brokers do not answer, or a file was changed meanwhile.
    """
    reviewed = Reviewed()
    places = corrections.places
    bounds: Bounds = {
        partition: (min(max(first, min(places[partition])), end), end)  # notes stand behind what they are about
        for partition, (first, end) in (await reader.bounds({topic for topic, _ in places})).items()
        if partition in places
    }
    async for record in each_record(reader, bounds, on_progress):
        partition = (record.topic, record.partition)
        if read_note(record) is not None:
            reviewed.stock.take(record)
        elif record.offset in places[partition] and (letter := read_dead_letter(record)) is not None:
            reviewed.stock.take(record)
            reviewed.found += 1
            _review_one(reviewed, corrections.document(partition, record.offset), (record, letter), judge, force=force)
    return reviewed


def _review_one(
    reviewed: Reviewed, document: dict[str, Any], one: tuple[Record, DeadLetter], judge: Judge, *, force: bool
) -> None:
    record, letter = one
    place = ((record.topic, record.partition), record.offset)
    try:
        value = corrected_value(record, letter, document)
        if value == value_of(record, letter):
            reviewed.skips[place] = Skip.UNCHANGED
            return
        fault = (
            "no value" if value is None else judge(letter.integration, corrected_record(record, letter, value), value)
        )
    except ValueError as error:
        value, fault = None, str(error)
    if fault is None:
        return
    reviewed.invalid += 1
    if len(reviewed.complaints) < MAX_COMPLAINTS:
        reviewed.complaints.append(f"{document['place']}: {fault}")
    if value is None or not force:
        reviewed.skips[place] = Skip.INVALID


def composer(corrections: Corrections) -> Callable[[Record, DeadLetter], OutgoingRecord]:
    """What is written back for a dead letter: its record with the corrected value."""

    def compose(record: Record, letter: DeadLetter) -> OutgoingRecord:
        document = corrections.document((record.topic, record.partition), record.offset)
        try:
            value = corrected_value(record, letter, document)
        except ValueError:
            value = None
        if value is None:  # it had one when it was chosen
            raise UnavailableError(
                f"{document['place']}: the file was changed while it was read; run the command again"
            )
        return corrected_record(record, letter, value)

    return compose
