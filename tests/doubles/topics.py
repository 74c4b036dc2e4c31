"""Topics that are read from memory: a `streamer.operations.redrive.ReadsTopics`."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from streamer.core.model import Record
from streamer.kafka.topic_reader import Bounds


class MemoryTopics:
    """Some records, at the places that they name; polls are short, so that work is done in several of them."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = list(records)

    async def bounds(self, topics: Collection[str]) -> Mapping[tuple[str, int], tuple[int, int]]:
        found: dict[tuple[str, int], tuple[int, int]] = {}
        for record in self.records:
            place = (record.topic, record.partition)
            first, end = found.get(place, (record.offset, 0))
            if record.topic in topics:
                found[place] = min(first, record.offset), max(end, record.offset + 1)
        return dict(sorted(found.items()))

    async def read(self, bounds: Bounds) -> AsyncGenerator[Sequence[Record], None]:
        for place, (first, end) in bounds.items():
            here = [one for one in self.records if (one.topic, one.partition) == place and first <= one.offset < end]
            here.sort(key=lambda record: record.offset)
            for begin in range(0, len(here), 2):
                yield here[begin : begin + 2]
