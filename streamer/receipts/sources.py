"""Where receipts come from: partitions, each in one of its replays or in none. A receipt holds two bytes: a number.

In the table `meta`:

    number             -> JSON [topic, partition]
    "replay", number   -> id of the replay in which the receipts of this source were written, if it was in one

Versions that know no replays do not see the second kind of key.
"""

import json
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

MAX_SOURCES: Final = 1 << 16
"""Most sources of one file."""

_NUMBER: Final = struct.Struct(">H")
_REPLAY: Final = b"replay"


class Source(NamedTuple):
    """A partition, in a replay or in none."""

    topic: str
    partition: int
    replay_id: int
    """0: in none."""


class Transaction(Protocol):
    """Reads and writes the table that says what the file is."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value of a key; None: there is none."""

    def put(self, key: bytes, value: bytes, /) -> object:
        """Store a value."""

    def cursor(self) -> Iterable[tuple[bytes, bytes]]:
        """All keys and values, in the order of the keys."""


def read(meta: Transaction) -> list[Source]:
    """The sources by their numbers. Raises ValueError or TypeError if they are damaged."""
    found: list[Source] = []
    for key, value in meta.cursor():
        if len(key) == _NUMBER.size:
            topic, partition = json.loads(value)
            found.append(Source(str(topic), int(partition), int(meta.get(_REPLAY + bytes(key)) or 0)))
    return found


def write(number: int, source: Source, meta: Transaction) -> None:
    """Store one."""
    key = _NUMBER.pack(number)
    meta.put(key, json.dumps([source.topic, source.partition]).encode())
    if source.replay_id:
        meta.put(_REPLAY + key, b"%d" % source.replay_id)
