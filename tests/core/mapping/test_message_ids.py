"""The messageIds of all samples, by version of the mapping.

A messageId that was sent is a promise: Segment and our receipts recognise a call by it. A change that gives a record
another one must raise ``MAPPING_VERSION`` and add a block to ``message_ids.json``; see docs/compatibility.md. A new
sample adds a line to the block of the current version.
"""

import itertools
import json
from pathlib import Path
from typing import Final

from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.mapper import Mapper
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import MappingSettings, TrackCall

SAMPLES: Final = Path(__file__).parents[2] / "samples"
PATHS: Final = sorted(
    path
    for dialect in DIALECTS
    for path in (SAMPLES / dialect).glob("*.json")
    if not path.stem.endswith((".segment", ".settings"))
)
BROKER_TIME_MS: Final = 1_767_225_600_000
KNOWN: Final[dict[str, dict[str, str]]] = json.loads(Path(__file__).with_name("message_ids.json").read_text())


def ids_now() -> dict[str, str]:
    """Sample -> messageId, for those that make a call."""
    ids = {}
    for path in PATHS:
        dialect = path.parent.name
        call = Mapper(MappingSettings(dialect=dialect)).map(path.read_bytes(), BROKER_TIME_MS)
        if isinstance(call, TrackCall):
            ids[f"{dialect}/{path.stem}"] = call.message_id
    return ids


def test_the_samples_have_the_message_ids_of_the_mapping_version() -> None:
    known, now = KNOWN[MAPPING_VERSION], ids_now()

    changed = sorted(name for name in known.keys() & now.keys() if known[name] != now[name])
    assert not changed, (
        f"other messageIds than in mapping version {MAPPING_VERSION}: {', '.join(changed)}. What is read again would be"
        " delivered twice. If that is meant: raise MAPPING_VERSION, add a block to message_ids.json, and say so in the"
        " changelog (docs/compatibility.md)."
    )
    assert now.keys() == known.keys(), "message_ids.json needs a line for each sample that makes a call"


def test_each_dialect_has_samples_with_an_id() -> None:
    """Otherwise the test above would hold nothing."""
    assert {name.partition("/")[0] for name in KNOWN[MAPPING_VERSION]} == set(DIALECTS)


def test_the_last_block_is_of_the_version_in_force_and_each_changes_an_id() -> None:
    """A version that changes no id of a sample says nothing: a change of an id needs a sample that shows it."""
    assert list(KNOWN)[-1] == MAPPING_VERSION
    for one, other in itertools.pairwise(KNOWN.values()):
        assert any(one[name] != other[name] for name in one.keys() & other.keys())
