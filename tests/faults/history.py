"""What was committed, when: every position that a group has ever stored, read from the broker's own topic of them.

``__consumer_offsets`` holds a record for each stored position, in the order in which they were stored. Its formats are
Kafka's ``OffsetCommitKey`` (versions 0 and 1) and ``OffsetCommitValue`` (versions 0 to 4). It is compacted, but not in
the segment that is being written, which no test fills.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from aiokafka.structs import ConsumerRecord

from tests.conftest import read_topic

COMMITS_TOPIC: Final = "__consumer_offsets"
OLDEST_WITH_EPOCH: Final = 3
OLDEST_WITH_COMPACT_STRINGS: Final = 4
NEWEST_OF_POSITIONS: Final = 1
"""Keys of later versions are those of other records: members, assignments."""


class Commit(NamedTuple):
    """One position, stored."""

    group: str
    topic: str
    partition: int
    offset: int
    metadata: str
    at_ms: int
    """When the broker wrote it, in milliseconds since the epoch."""


async def read_commits(bootstrap_servers: str, group: str) -> list[Commit]:
    """All that a group has stored up to now, in order."""
    return [
        commit for commit in decode_commits(await read_topic(bootstrap_servers, COMMITS_TOPIC)) if commit.group == group
    ]


def decode_commits(records: Iterable[ConsumerRecord]) -> Iterable[Commit]:
    """The commits among the records of `COMMITS_TOPIC`; forgotten positions (tombstones) are left out."""
    for record in records:
        if record.key is None or record.value is None:
            continue
        key = _Reader(record.key)
        if key.number("h") > NEWEST_OF_POSITIONS:
            continue
        group, topic, partition = key.text(), key.text(), key.number("i")
        value = _Reader(record.value)
        version, offset = value.number("h"), value.number("q")
        if version >= OLDEST_WITH_EPOCH:
            value.number("i")
        metadata = value.compact_text() if version >= OLDEST_WITH_COMPACT_STRINGS else value.text()
        yield Commit(group, topic, partition, offset, metadata, record.timestamp)


class _Reader:
    """Takes Kafka's types off the front of some bytes."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._at = 0

    def number(self, kind: str) -> int:
        """An integer of one of `struct`'s kinds."""
        number: int
        (number,) = struct.unpack(f">{kind}", self._take(struct.calcsize(kind)))
        return number

    def text(self) -> str:
        """A string after its length; -1, absent, is empty."""
        return self._take(max(self.number("h"), 0)).decode()

    def compact_text(self) -> str:
        """A string after its length + 1 as a varint."""
        length = shift = 0
        while (byte := self.number("B")) > 0x7F:  # the top bit says that more follow
            length |= (byte & 0x7F) << shift
            shift += 7
        return self._take(max((length | byte << shift) - 1, 0)).decode()

    def _take(self, count: int) -> bytes:
        taken = self._encoded[self._at : self._at + count]
        assert len(taken) == count, "cut off"
        self._at += count
        return taken
