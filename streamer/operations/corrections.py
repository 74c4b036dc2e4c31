"""Corrected dead letters in files, as ``streamer dlq export`` wrote them and a person changed them."""

import contextlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from streamer.core.dead_letters.casebook import Place
from streamer.core.dead_letters.dead_letter import Partition
from streamer.core.dead_letters.exported import place_in
from streamer.core.errors import UnavailableError

MAX_FAULTS: Final = 20
"""Most faults of files that are told of."""


class Corrections:
    """The documents of a file with one a line, of a ``.json`` file that is one, or of all such files of a directory.

    Keeps where each document is, about 200 bytes for each, and reads it again when it is asked for.
    """

    def __init__(self, path: Path, topics: Collection[str]) -> None:
        """Read everything once.

        Args:
            path: a file or a directory.
            topics: the dead-letter topics that documents may name.

        Raises:
            OSError: something cannot be read.
        """
        self.faults: list[str] = []
        """What is wrong with the documents, at most `MAX_FAULTS`; none of their values is quoted."""
        self.places: dict[Partition, dict[int, tuple[Path, int]]] = {}
        """Partition -> offset -> the file, and where in it the document begins."""
        for file, begin, number, text in _documents(path):
            self._note(file, begin, number, text, topics)

    def __len__(self) -> int:
        return sum(map(len, self.places.values()))

    def document(self, partition: Partition, offset: int) -> dict[str, Any]:
        """The document about the dead letter at a place.

        Raises:
            UnavailableError: the file was changed after it was read the first time.
        """
        path, begin = self.places[partition][offset]
        document = None
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            file.seek(begin)
            document = _parse(file.read() if _is_whole(path) else file.readline())
            if place_in(document) == Place(*partition, offset):
                return dict(document)
        raise UnavailableError(
            f"{path} was changed while it was read. No dead letter is lost; run the same command again"
        )

    def _note(self, path: Path, begin: int, number: int, text: bytes, topics: Collection[str]) -> None:
        try:
            place = self._new_place(_parse(text), topics)
        except ValueError as error:
            if len(self.faults) < MAX_FAULTS:
                where = str(path) if _is_whole(path) else f"{path}, line {number}"
                self.faults.append(f"{where}: {error}")
            return
        self.places.setdefault((place.topic, place.partition), {})[place.offset] = (path, begin)

    def _new_place(self, document: Any, topics: Collection[str]) -> Place:
        place = place_in(document)
        if place.topic not in topics:
            raise ValueError(f"place: {place.topic} is no dead-letter topic of the configuration")
        if place.offset in self.places.get((place.topic, place.partition), ()):
            raise ValueError(f"place: {place} occurs twice")
        return place


def _documents(path: Path) -> Iterator[tuple[Path, int, int, bytes]]:
    """Each document: its file, where it begins there, the number of its line, and its text. Blank lines are skipped."""
    if path.is_dir():
        for file in sorted(path.glob("*.json")):
            yield file, 0, 1, file.read_bytes()
    elif _is_whole(path):
        yield path, 0, 1, path.read_bytes()
    else:
        begin = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield path, begin, number, line
                begin += len(line)


def _is_whole(path: Path) -> bool:
    """Whether a file is one document."""
    return path.suffix == ".json"


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON in UTF-8, or nested too deeply") from None
