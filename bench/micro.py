"""Rows of the benchmark: the stages of the way of a record, each by itself, in this process.

A stage works on events as the service gives them to it: in slices, or in batches. Its
cost is CPU time of this thread for each event. What is between the stages (tasks, queues, the event loop) is in the
rows of a backlog only, so the stages add up to less than those.
"""

import contextlib
import gc
import itertools
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.structs import ConsumerRecord
from isal import isal_zlib

from bench.data import BATCH_RECORDS
from bench.events import FORMS, EventMaker
from bench.receipts import fill, open_receipts, random_digests, strangers
from bench.results import Kind, Run
from bench.stand import Outcome, Stand
from streamer.core.delivery.batching import Batcher
from streamer.core.mapping import Mapper, getuserfeedback
from streamer.core.mapping.contract import Contract
from streamer.core.mapping.decode import decode
from streamer.core.mapping.encode import encode_call
from streamer.core.model import Filtered, MappingSettings, Record, TrackCall
from streamer.core.records.account import Account
from streamer.core.records.in_flight import InFlight
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.tapping import AnsweredBatch, Condition, TapRequest
from streamer.destinations.segment import ENVELOPE_BYTES, GZIP_LEVEL, GZIP_WINDOW_BITS
from streamer.receipts import Receipts, digest_of
from streamer.service import GC_THRESHOLD
from streamer.settings import DestinationSettings
from streamer.tapping import Taps

EVENTS: Final = 400
"""Events of one pass of a stage: two slices, little enough to stay in the processor's cache as in the service."""

RUN_SECONDS: Final = 0.15
"""A run repeats passes for so long."""

RECORD_TIME_MS: Final = 1_700_000_000_000
RECEIPTS_BEFORE: Final = 200_000

TAPPED_PER_SECOND: Final = 20_000
"""Events a second that pass a tap; of the lines that it shows, the cost is shared by so many events."""

Pass = Callable[[], object]
"""Handles `EVENTS` events once."""

Prepare = Callable[[], contextlib.AbstractContextManager[Pass]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One such row."""

    name: str
    title: str
    prepare: Prepare
    kind: Kind = Kind.STAGE

    async def measure(self, stand: Stand) -> Outcome:
        """Run it, all its runs one after the other, under the service's settings of the collector."""
        threshold = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD)
        try:
            with self.prepare() as handle:
                handle()  # the warm-up
                return Outcome([_run(handle) for _ in range(stand.runs)])
        finally:
            gc.set_threshold(*threshold)


def _run(handle: Pass) -> Run:
    passes, began = 0, time.thread_time()
    while (used := time.thread_time() - began) < RUN_SECONDS:
        handle()
        passes += 1
    return {"us_per_event": round(used / passes / EVENTS * 1e6, 3)}


def _exhaust(results: Iterable[object]) -> None:
    """Let each result go at once, as the service does with documents and events."""
    deque(results, maxlen=0)


def _values(form: str) -> list[bytes]:
    make = EventMaker(form)
    return [make(number) for number in range(EVENTS)]


def _mapping_settings(form: str) -> MappingSettings:
    return MappingSettings(dialect=form.removesuffix("_survey"))


def _calls(mapper: Mapper, values: Sequence[bytes]) -> list[TrackCall]:
    calls = [mapper.map(value, RECORD_TIME_MS) for value in values]
    return [call for call in calls if not isinstance(call, Filtered)]


def _mapping(form: str) -> Prepare:
    @contextlib.contextmanager
    def prepare() -> Iterator[Pass]:
        mapper, values = Mapper(_mapping_settings(form)), _values(form)
        yield lambda: _exhaust(mapper.map(value, RECORD_TIME_MS) for value in values)

    return prepare


def _record(offset: int, value: bytes) -> Record:
    timestamp_type = checksum = 0
    record: Record = ConsumerRecord(
        "bench", 0, offset, RECORD_TIME_MS, timestamp_type, None, value, checksum, -1, len(value), ()
    )
    return record


@contextlib.contextmanager
def _decoding() -> Iterator[Pass]:
    values = _values("getuserfeedback")
    yield lambda: _exhaust(map(decode, values))


@contextlib.contextmanager
def _validation() -> Iterator[Pass]:
    contract = Contract(*getuserfeedback.DIALECT.contracts)
    documents = [decode(value) for value in _values("getuserfeedback")]
    yield lambda: _exhaust(map(contract.is_kept_by, documents))


@contextlib.contextmanager
def _reading() -> Iterator[Pass]:
    documents = [decode(value) for value in _values("getuserfeedback")]
    yield lambda: _exhaust(getuserfeedback.read(document, "", RECORD_TIME_MS) for document in documents)


@contextlib.contextmanager
def _writing() -> Iterator[Pass]:
    documents = [decode(value) for value in _values("getuserfeedback")]
    events = [getuserfeedback.read(document, "", RECORD_TIME_MS) for document in documents]
    yield lambda: _exhaust(getuserfeedback.write(event, None) for event in events)


@contextlib.contextmanager
def _encoding() -> Iterator[Pass]:
    documents = [decode(value) for value in _values("getuserfeedback")]
    yield lambda: _exhaust(map(encode_call, documents))


@contextlib.contextmanager
def _digesting() -> Iterator[Pass]:
    message_ids = [f"evt_{number:024}" for number in range(EVENTS)]
    yield lambda: _exhaust(map(digest_of, message_ids))


@contextlib.contextmanager
def _receipts() -> Iterator[Receipts]:
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as directory:
        receipts = open_receipts(Path(directory) / "receipts")
        fill(receipts, RECEIPTS_BEFORE)
        yield receipts
        receipts.close()


@contextlib.contextmanager
def _finding_receipts() -> Iterator[Pass]:
    now = time.time()
    slices = [random_digests(BATCH_RECORDS) for _ in range(EVENTS // BATCH_RECORDS)]
    with _receipts() as receipts:
        yield lambda: _exhaust(receipts.find(digests, now) for digests in slices)


@contextlib.contextmanager
def _adding_receipts() -> Iterator[Pass]:
    now = time.time()
    with _receipts() as receipts:
        yield lambda: receipts.add([strangers(EVENTS)], now)


@contextlib.contextmanager
def _bookkeeping() -> Iterator[Pass]:
    """Ledger, calls in flight and batches: from a slice that was read to a batch that was delivered."""
    values = _values("getuserfeedback")
    calls = _calls(Mapper(_mapping_settings("getuserfeedback")), values)
    records = [_record(offset, value) for offset, value in enumerate(values)]
    limits, in_flight = DestinationSettings().batch, InFlight()
    batcher: Batcher[OpenRecord] = Batcher(
        max_bytes=limits.max_bytes,
        max_calls=limits.max_calls,
        linger_seconds=limits.linger,
        envelope_bytes=ENVELOPE_BYTES,
    )

    def handle() -> None:
        ledger = PartitionLedger("bench", 0, 0, Account())
        for start in range(0, EVENTS, BATCH_RECORDS):
            opened = ledger.open(records[start : start + BATCH_RECORDS], BATCH_RECORDS)
            ready = [
                OpenRecord(record, ledger, call.message_id, call.body)
                for record, call in zip(opened, calls[start : start + BATCH_RECORDS], strict=True)
            ]
            batcher.extend(in_flight.claim(ready), 0.0)
            while (batch := batcher.take(0.0, max_bytes=limits.max_bytes, force=True)) is not None:
                in_flight.delivered(batch.items)
                ledger.deliver([call.record.offset for call in batch.items])

    yield handle


@contextlib.contextmanager
def _compression() -> Iterator[Pass]:
    mapper, values = Mapper(_mapping_settings("getuserfeedback")), _values("getuserfeedback")
    bodies = [call.body for call in _calls(mapper, values)]
    slices = [bodies[start : start + BATCH_RECORDS] for start in range(0, EVENTS, BATCH_RECORDS)]
    yield lambda: [isal_zlib.compress(b",".join(some), GZIP_LEVEL, GZIP_WINDOW_BITS) for some in slices]


def _tapping(conditions: Sequence[str], rate: float = 0.0) -> Prepare:
    """At 20,000 events a second; without a rate, nobody looks."""

    @contextlib.contextmanager
    def prepare() -> Iterator[Pass]:
        values = _values("getuserfeedback")
        calls = _calls(Mapper(_mapping_settings("getuserfeedback")), values)
        ledger, taps = PartitionLedger("bench", 0, 0, Account()), Taps()
        opened = [
            OpenRecord(_record(offset, value), ledger, call.message_id, call.body)
            for offset, (value, call) in enumerate(zip(values, calls, strict=True))
        ]
        batches = [
            AnsweredBatch(opened[start : start + BATCH_RECORDS], "bench", "receiver", 200, "delivered", 1.7e9, 0.01)
            for start in range(0, EVENTS, BATCH_RECORDS)
        ]
        if rate:
            taps.open(TapRequest(rate=rate, conditions=[Condition(text) for text in conditions]))
        clock = itertools.count(time.monotonic(), BATCH_RECORDS / TAPPED_PER_SECOND)

        def handle() -> None:
            for batch in batches:
                if taps.listeners:
                    for listener in taps.listeners:
                        listener.tap.offer(batch, next(clock))
                        listener.tap.take()

        yield handle

    return prepare


STAGES: Final = [
    Stage(name="stage-decode", title="decode: bytes to a document", prepare=_decoding),
    Stage(name="stage-validate", title="validate: document against its JSON Schema", prepare=_validation),
    Stage(name="stage-read", title="read: document to SurveyEvent", prepare=_reading),
    Stage(name="stage-write", title="write: SurveyEvent to a call", prepare=_writing),
    Stage(name="stage-encode", title="encode: call to JSON", prepare=_encoding),
    *(Stage(name=f"stage-map-{form}", title=f"whole mapping: {form}", prepare=_mapping(form)) for form in FORMS),
    Stage(name="stage-digest", title="receipts: digest of a messageId", prepare=_digesting),
    Stage(name="stage-find-receipts", title="receipts: look for them", prepare=_finding_receipts),
    Stage(name="stage-add-receipts", title="receipts: add them", prepare=_adding_receipts),
    Stage(name="stage-bookkeeping", title="bookkeeping: ledger, in flight, batches", prepare=_bookkeeping),
    Stage(name="stage-compress", title="compress: join and gzip", prepare=_compression),
    Stage(name="stage-tap-none", title="tap: nobody looks", prepare=_tapping([])),
    Stage(name="stage-tap-10", title="tap: 10 lines/s", prepare=_tapping([], 10.0)),
    Stage(name="stage-tap-1000", title="tap: 1,000 lines/s", prepare=_tapping([], 1_000.0)),
    Stage(
        name="stage-tap-id",
        title="tap: looks for a messageId",
        prepare=_tapping(["messageId=evt_nowhere"], 10.0),
    ),
    Stage(
        name="stage-tap-value",
        title="tap: looks for a value that few calls have",
        prepare=_tapping(["properties.surveyId=nowhere"], 10.0),
    ),
]
"""All of them, in the order of the way of a record; of getuserfeedback.com where nothing else is said."""
