"""Records in: read -> open in the ledger -> map -> known already? -> ready to be delivered. The hot module.

Everything here happens once per record, so its shape follows the cost: one call per slice of a poll where it can be
(ledger, receipts, load), no await, no task and no log line per record, one `OpenRecord` per call to send and nothing
per record that ends here. Whatever goes wrong with a record is that record's alone, a bug of ours included.
"""

import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from streamer.core.dead_letters.guard import MassGuard
from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.model import DeadLetterReason, Filtered, Record, Stage
from streamer.core.records.in_flight import InFlight
from streamer.core.records.ledger import OpenRecord, PartitionLedger
from streamer.logs import Event, logger
from streamer.pipeline.dead_letters import Refusal
from streamer.pipeline.load import Load
from streamer.receipts import Place, Receipts, digest_of


class Intake:
    """Takes the records of one integration."""

    def __init__(
        self,
        *,
        mapper: Mapper,
        receipts: Receipts,
        in_flight: InFlight,
        load: Load,
        guard: MassGuard,
        enqueue: Callable[[Sequence[OpenRecord]], None],
        refuse: Callable[[Sequence[Refusal]], None],
    ) -> None:
        """Join the parts that a record meets.

        Args:
            mapper: bytes -> call.
            receipts: what was delivered before.
            in_flight: what is on its way.
            load: counts what is held in memory.
            guard: watches the share of refused records.
            enqueue: takes calls that are ready.
            refuse: takes records to set aside.
        """
        self._map = mapper.map
        self._receipts = receipts
        self._in_flight = in_flight
        self._load = load
        self._guard = guard
        self._enqueue = enqueue
        self._refuse = refuse

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Take records of one partition, in the order of their offsets."""
        value_bytes = sum([len(record.value) for record in records if record.value is not None])
        records = ledger.open(records, value_bytes)
        calls: list[OpenRecord] = []
        refusals: list[Refusal] = []
        for record in records:
            try:
                call = self._map(record.value, record.timestamp, record.headers)
            except Exception as error:  # noqa: BLE001 - a bug of ours on one record must not stop the others
                refusals.append(_refusal_of(error, record, ledger))
                continue
            if isinstance(call, Filtered):
                ledger.filter(record.offset, call.reason)
            else:
                calls.append(OpenRecord(record, ledger, call.message_id, call.body, digest_of(call.message_id)))
        unknown = self._without_known(calls) if calls else calls
        self._load.add(
            len(unknown) + len(refusals),
            sum([call.held_bytes for call in unknown])
            + sum([len(refusal.record.value or b"") for refusal in refusals]),
        )
        ready = self._in_flight.claim(unknown)
        self._guard.passed(len(records) - len(refusals))
        if ready:
            self._enqueue(ready)
        if refusals:
            self._refuse(refusals)

    def _without_known(self, calls: list[OpenRecord]) -> list[OpenRecord]:
        """Settle the calls that have a receipt within the window; return the others."""
        places = self._receipts.find([call.digest for call in calls], time.time())
        if not places:
            return calls
        unknown: list[OpenRecord] = []
        for call in calls:
            place = places.get(call.digest)
            if place is None or not _settle_known(call, place):
                unknown.append(call)
        ledger, known = calls[0].ledger, len(calls) - len(unknown)
        if known:
            logger().emit(Event.EVENT_DUPLICATE, topic=ledger.topic, partition=ledger.partition, records=known)
        return unknown


def _settle_known(call: OpenRecord, place: Place) -> bool:
    record, ledger = call.record, call.ledger
    if place != (record.topic, record.partition, record.offset):
        ledger.duplicate(record.offset)
        return True
    # A receipt of this very record proves that it was delivered, unless the position is not of our making: then
    # somebody has reset it and wants the record again.
    if ledger.trusts_receipts(record.offset):
        ledger.deliver([record.offset])
        return True
    return False


def _refusal_of(error: Exception, record: Record, ledger: PartitionLedger) -> Refusal:
    if isinstance(error, RecordError):
        reason, stage, detail = error.reason, error.stage, error.detail
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason, stage = DeadLetterReason.INTERNAL_ERROR, Stage.MAP
        # The exception's text may quote the record; its type and place are what a developer needs.
        place = f"{Path(frame.filename).stem}:{frame.lineno}"
        detail = f"a bug in streamer, not in the record: {type(error).__name__} at {place}"
    return Refusal(
        record=record,
        ledger=ledger,
        reason=reason,
        stage=stage,
        detail=detail,
        error_class=type(error).__name__,
    )
