"""What a replay would do: the records of a range are read and mapped, and nothing is sent."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from streamer.core.model import Filtered, Record
from streamer.core.records.replay import Bounds, Forecast, Partition, size_of
from streamer.kafka.topic_reader import TopicReader
from streamer.pipeline.intake import MapsRecords
from streamer.receipts import digest_of

MAX_RECORDS: Final = 2_000_000
"""Most offsets of one replay: of each event that is to be sent some 150 bytes are kept while the range is looked at."""

Progress = Callable[[int, int], None]
"""Called with the progress of a work: how much is done, and how much there is in all."""


class Survey:
    """The records of a range, and the digests of the messageIds that they would be sent with."""

    def __init__(self, bounds: Bounds) -> None:
        """Begin; `read` looks at the records.

        Args:
            bounds: which records.
        """
        self.bounds = bounds
        self.forecasts: dict[Partition, Forecast] = {partition: Forecast() for partition in bounds}
        self.wanted: dict[bytes, Partition] = {}
        """What would be sent: the digest of each messageId, and where its first record is."""

    async def read(self, reader: TopicReader, mapper: MapsRecords, on_progress: Progress) -> None:
        """Read and map all of it.

        Raises:
            UnavailableError: the brokers do not answer, or a record cannot be read.
        """
        total, done = size_of(self.bounds), 0
        async for records in reader.read(self.bounds):
            for record in records:
                self._take(record, mapper)
            done += len(records)
            on_progress(done, total)

    def _take(self, record: Record, mapper: MapsRecords) -> None:
        partition = record.topic, record.partition
        forecast = self.forecasts[partition]
        forecast.records += 1
        try:
            call = mapper.map(record.value, record.timestamp, record.headers, record.key)
        except Exception:  # noqa: BLE001 - a bug of ours on one record becomes a dead letter, as a fault of the record does
            forecast.refused += 1
            return
        if isinstance(call, Filtered):
            forecast.filtered += 1
        elif self.wanted.setdefault(digest_of(call.message_id), partition) is partition:
            forecast.to_send += 1
        else:
            forecast.known += 1

    def note_delivered(self, digests: AbstractSet[bytes]) -> None:
        """Those of ``wanted`` that are among these were delivered before: they are not sent."""
        for digest in self.wanted.keys() & digests:
            forecast = self.forecasts[self.wanted.pop(digest)]
            forecast.to_send -= 1
            forecast.known += 1

    @property
    def records(self) -> int:
        """All of them."""
        return sum(forecast.records for forecast in self.forecasts.values())

    @property
    def to_send(self) -> int:
        """Calls that would be sent."""
        return sum(forecast.to_send for forecast in self.forecasts.values())
