"""Records in: read -> open in the ledger -> map -> known already? -> ready to be delivered. The hot module.

Everything here happens once per record, so its shape follows the cost: one call per slice of a poll where it can be
(ledger, receipts, load), no await, no task and no log line per record, one `OpenRecord` per call to send and nothing
per record that ends here. Whatever goes wrong with a record concerns that record alone, a bug of ours included.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from streamer.core.errors import RecordError
from streamer.core.mapping.naming import message_id_of
from streamer.core.model import DeadLetterReason, Filtered, Record, Stage, TrackCall
from streamer.core.records.custody import Custody
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.records.pending_letter import PendingLetter
from streamer.logs import Event, logger
from streamer.pipeline.dead_letters import DeadLetters
from streamer.receipts import NoReceipts, Receipts, digest_of


class MapsRecords(Protocol):
    """Makes calls of the records of one integration; `streamer.core.mapping.Mapper` is the first one."""

    @property
    def keeps_latest(self) -> bool:
        """Whether of the calls with one messageId only the newest one counts."""

    @property
    def warnings(self) -> Counter[str]:
        """How many records were accepted although something about them is not as documented, by name."""

    def map(
        self,
        value: bytes | None,
        record_time_ms: int,
        headers: Sequence[tuple[str, bytes | None]],
        key: bytes | None,
        /,
    ) -> TrackCall | Filtered:
        """The call of one record, or the rule by which it makes none. Raises `RecordError`."""


class Intake:
    """Takes the records of one integration."""

    def __init__(
        self,
        *,
        mapper: MapsRecords,
        receipts: Receipts | NoReceipts,
        custody: Custody,
        dead_letters: DeadLetters,
        enqueue: Callable[[Sequence[OpenRecord]], None],
    ) -> None:
        """Join the parts that a record meets.

        Args:
            mapper: bytes -> call.
            receipts: what was delivered before.
            custody: where records begin and end.
            dead_letters: takes records to set aside.
            enqueue: takes calls that are ready.
        """
        self._map = mapper.map
        self._receipts = receipts
        self._custody = custody
        self._dead_letters = dead_letters
        self._enqueue = enqueue

    def remap(self, mapper: MapsRecords) -> None:
        """Make the calls of the next records with another mapper; those that are open keep theirs."""
        self._map = mapper.map

    def take(self, records: Sequence[Record], ledger: PartitionLedger) -> None:
        """Take records of one partition, in the order of their offsets."""
        read = records
        records = self._custody.open(read, ledger)
        calls: list[OpenRecord] = []
        letters: list[PendingLetter] = []
        for record in records:
            try:
                call = self._map(record.value, record.timestamp, record.headers, record.key)
            except Exception as error:  # noqa: BLE001 - a bug of ours on one record must not stop the others
                letters.append(_letter_of(error, record, ledger))
                continue
            if isinstance(call, Filtered):
                self._custody.filter(record, ledger, call.reason)
            else:
                calls.append(OpenRecord(record, ledger, call.message_id, call.body, digest_of(call.message_id)))
        if len(records) < len(read):
            _count_settled_before(calls, records, read)
        ready = self._custody.take(self._without_known(calls) if calls else calls, letters, ledger)
        if ready:
            self._enqueue(ready)
        if letters:
            self._dead_letters.add(letters, among=read)
        elif len(records) < len(read):
            self._dead_letters.guards.note_read_again(read)
        else:
            self._dead_letters.guards.note_mapped(len(read))

    def _without_known(self, calls: list[OpenRecord]) -> list[OpenRecord]:
        """End the records whose messageIds have a receipt within the window; return the other calls."""
        places = self._receipts.find([call.digest for call in calls], time.time())
        if not places:
            return calls
        unknown: list[OpenRecord] = []
        known_before = 0
        for call in calls:
            place = places.get(call.digest)
            if place is None or not self._custody.settle_known(call, place):
                call.known_before += known_before
                known_before = 0
                unknown.append(call)
            else:
                known_before += 1
        ledger, known = calls[0].ledger, len(calls) - len(unknown)
        if known:
            self._dead_letters.guards.note_delivered(known)
            logger().emit(Event.EVENT_DUPLICATE, topic=ledger.topic, partition=ledger.partition, records=known)
        return unknown


def _count_settled_before(calls: Sequence[OpenRecord], opened: Sequence[Record], read: Sequence[Record]) -> None:
    """Note on each call how many records right before it an earlier assignment has settled."""
    by_offset = {call.record.offset: call for call in calls}
    open_offsets = {record.offset for record in opened}
    settled = 0
    for record in read:
        call = by_offset.get(record.offset)
        if call is not None:
            call.known_before, settled = settled, 0
        elif record.offset not in open_offsets:
            settled += 1


def _letter_of(error: Exception, record: Record, ledger: PartitionLedger) -> PendingLetter:
    if isinstance(error, RecordError):
        reason, stage, detail = error.reason, error.stage, error.detail
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason, stage = DeadLetterReason.INTERNAL_ERROR, Stage.MAP
        # The exception's text may quote the record; its type and place are what a developer needs.
        place = f"{Path(frame.filename).stem}:{frame.lineno}"
        detail = f"a bug in streamer, not in the record: {type(error).__name__} at {place}"
    return PendingLetter(
        record=record,
        ledger=ledger,
        reason=reason,
        stage=stage,
        detail=detail,
        error_class=type(error).__name__,
        native_id=message_id_of(error),
    )
