"""What a replay keeps on local disk until it is complete: which offsets it takes, and what earlier runs have done.

Its receipts and the note of its mass guard are beside it. The positions are the group's, on Kafka.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from streamer.core.errors import UnavailableError
from streamer.core.records.replay import Bounds

_FILE: Final = "replay.json"
_VERSION: Final = 1


@dataclass(slots=True, kw_only=True)
class ReplayState:
    """One replay that has begun."""

    bounds: Bounds
    """What it takes. Decided once: what arrives later belongs to no replay that has begun."""
    records: int
    """How many records that were."""
    to_send: int
    """How many of them were to be sent."""
    forced: bool
    """Whether events are sent whatever was delivered before."""
    settled: int = 0
    """Records that earlier runs have brought to their outcome."""
    is_running: bool = False
    """Whether a run has begun and not ended: if nobody runs it, it was killed."""
    was_killed: bool = False
    """Whether a run was killed, or another process took part, so that nobody knows how many records were settled."""

    @property
    def settled_before(self) -> int | None:
        """Records that earlier runs have settled; None: nobody knows."""
        return None if self.was_killed else self.settled


def directory_of(state_dir: Path, name: str) -> Path:
    """Where a replay keeps what it needs."""
    return state_dir / "replay" / name


def load(directory: Path) -> ReplayState | None:
    """The state of a replay that has begun; None: it has not, or what it left cannot be used."""
    try:
        return _read(json.loads((directory / _FILE).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save(directory: Path, state: ReplayState) -> None:
    """Write the state under another name and rename it, so that a kill leaves the old one or the new one.

    Raises:
        UnavailableError: the disk does not take it.
    """
    bounds = [[topic, partition, *ends] for (topic, partition), ends in state.bounds.items()]
    draft = directory / f"{_FILE}.new"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({**asdict(state), "version": _VERSION, "bounds": bounds}))
        draft.replace(directory / _FILE)
    except OSError as error:
        raise UnavailableError(f"{directory} cannot be written: {error.strerror}; correct state_dir") from error


def remove(directory: Path) -> None:
    """Forget a replay: its state, its receipts and the note of its guard. What cannot be removed stays."""
    shutil.rmtree(directory, ignore_errors=True)


def _read(found: Mapping[str, Any]) -> ReplayState:
    fields = dict(found)
    if fields.pop("version") != _VERSION:
        raise ValueError("of another version")
    bounds = {(str(topic), int(number)): (int(first), int(end)) for topic, number, first, end in fields.pop("bounds")}
    return ReplayState(bounds=bounds, **fields)
