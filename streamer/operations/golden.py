"""Golden cases: records in files, and beside each what must become of it.

``NAME.json`` is one record value, byte for byte as on the topic. ``NAME.expect.json`` is what must become of it, as
``streamer map`` prints it. ``NAME.record.json``, if there is one, has what else a record has: ``key``, ``headers`` and
``timestamp``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.core.mapping.difference import Difference, differences
from streamer.core.model import MappingSettings
from streamer.operations.dry_line import found_in, line_of
from streamer.operations.dry_mapping import dry_end

if TYPE_CHECKING:
    from streamer.pipeline.intake import MapsRecords

EXPECTED: Final = ".expect.json"
RECORD: Final = ".record.json"

DEFAULT_TIME_MS: Final = 1_767_225_600_000
"""The broker's time of a record without ``timestamp``: 2026-01-01T00:00:00Z, so that a run is like the one before."""

_COMPARED: Final = ("outcome", "reason", "calls")
"""What is compared in each case. What else ``streamer map`` prints is compared if the expectation has it."""
_OF_RECORD: Final = frozenset({"key", "headers", "timestamp"})


@dataclass(slots=True)
class Result:
    """What came of one case."""

    name: str
    """Path of the record below the directory, without ``.json``."""
    found: dict[str, Any] = field(default_factory=dict)
    """What became of the record."""
    fault: str = ""
    """Why the case cannot be judged; "": it can."""
    differences: Sequence[Difference] = ()
    """Between what is expected and what was found."""
    is_new: bool = False
    """Whether there is no expectation yet."""

    @property
    def has_passed(self) -> bool:
        """Whether what was found is what was expected."""
        return not (self.fault or self.differences)


class CaseError(Exception):
    """A file of a case cannot be used; the text says why."""


def names_in(directory: Path) -> list[str]:
    """The names of all cases in a directory and those below it. An expectation without record is a case, too."""
    found = {
        path.relative_to(directory).as_posix().removesuffix(".json").removesuffix(".expect").removesuffix(".record")
        for path in directory.rglob("*.json")
    }
    return sorted(found)


def check(directory: Path, mapper: "MapsRecords", settings: MappingSettings) -> Iterator[Result]:
    """Map the record of each case, and compare."""
    for name in names_in(directory):
        result = Result(name)
        try:
            result.found = _found(directory, name, mapper, settings)
            expected = _object(directory / f"{name}{EXPECTED}", {})
        except CaseError as error:
            result.fault = str(error)
        else:
            result.is_new = not expected
            result.fault = "there is no expectation; --update writes it" if result.is_new else ""
            kept = {key: part for key, part in result.found.items() if key in {*_COMPARED, *expected}}
            result.differences = [] if result.is_new else list(differences(expected, kept))
        yield result


def update(directory: Path, result: Result) -> None:
    """Make what was found the expectation of a case. Raises OSError."""
    content = {key: result.found[key] for key in ("outcome", "reason", "detail", "calls")}
    (directory / f"{result.name}{EXPECTED}").write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


def _found(directory: Path, name: str, mapper: "MapsRecords", settings: MappingSettings) -> dict[str, Any]:
    path = directory / f"{name}.json"
    try:
        value = path.read_bytes()
    except OSError as error:
        raise CaseError(f"the record {path} cannot be read: {error.strerror}") from error
    key, headers, time_ms = _rest_of_record(directory / f"{name}{RECORD}")
    end = dry_end(partial(mapper.map, value, time_ms, headers, key))
    found: dict[str, Any] = orjson.loads(orjson.dumps(line_of(end)))
    if end.is_refused:
        found |= {"message_id": end.message_id, "found": found_in(value, end, mapper, settings)}
    return found


def _rest_of_record(path: Path) -> tuple[bytes | None, list[tuple[str, bytes | None]], int]:
    """Key, headers and time of a record."""
    rest = _object(path, {})
    if not _OF_RECORD.issuperset(rest):
        raise CaseError(f"{path} may have key, headers and timestamp, and has {', '.join(sorted(rest))}")
    key, headers = rest.get("key"), rest.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(part, str) for part in (key or "", *headers.values())):
        raise CaseError(f"{path}: key should be a text, and headers an object of texts")
    encoded: list[tuple[str, bytes | None]] = [(header, text.encode()) for header, text in headers.items()]
    return None if key is None else key.encode(), encoded, _ms(path, rest.get("timestamp"))


def _ms(path: Path, time: Any) -> int:
    if time is None:
        return DEFAULT_TIME_MS
    try:
        instant = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        instant = None
    if instant is None or instant.tzinfo is None:
        raise CaseError(f"{path}: timestamp should be RFC 3339 (2026-03-02T09:15:27Z)")
    return round(instant.timestamp() * 1000)


def _object(path: Path, default: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in a file, or ``default`` if there is no file."""
    try:
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except OSError as error:
        raise CaseError(f"{path} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise CaseError(f"{path} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    if not isinstance(document, dict):
        raise CaseError(f"{path} should hold a JSON object")
    return document
