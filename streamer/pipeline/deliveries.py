"""What the receipts note of calls that were delivered."""

from collections.abc import Mapping, Sequence

from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.receipts import Deliveries


def deliveries_of(calls_by_ledger: Mapping[PartitionLedger, Sequence[OpenRecord]]) -> list[Deliveries]:
    """The calls of one request as receipts have them, each partition once."""
    return [
        Deliveries(
            ledger.topic,
            ledger.partition,
            [call.record.offset for call in calls],
            [call.digest for call in calls],
            ledger.replay_id,
        )
        for ledger, calls in calls_by_ledger.items()
    ]
