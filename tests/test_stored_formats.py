"""What streamer stores outside of itself, byte by byte: a later version has to read it (docs/compatibility.md).

Where one of these tests fails, old metadata or old files are no longer understood. That needs another version in the
format itself (``s1:``, ``streamer receipts 2``), so that each side sees that it is not its own.
"""

import dataclasses
from pathlib import Path
from typing import Final

import lmdb
import pytest

from streamer.core.records import receipt_record
from streamer.core.records.receipt_record import ReceiptBatch
from streamer.core.records.statement import Run, Statement, decode, encode
from streamer.receipts import Deliveries, destination_fingerprint, digest_of
from streamer.receipts.store import ReceiptStore

STATEMENT: Final = Statement(
    position=100,
    horizon=130,
    open=(Run(100, 101, 0), Run(103, 104, 3), Run(110, 120, 0)),
    fingerprint=1_767_225_600_000,
    replay_until=105,
)
METADATA: Final = "s1:HoHQ6ra3MwUACQMaCkM7L5E"
REPLAY_METADATA: Final = "s2:HoHQ6ra3MwWAvMGWCwAJAxoKYcqF3Q"

DIGESTS: Final = {"a": "27c35e6e9373877f29e562464e46497e", "b": "96172b4c53372cd10faddc821bfe0318"}
TABLES: Final = {
    b"meta": {
        b"\x00\x00": b'["surveys.sprig", 3]',
        b"destination": b"4fa2",
        b"format": b"streamer receipts 2",
        b"state": bytes.fromhex("00 6955b900 6955b900"),
    },
    b"0": {
        b"\x00\x00\x00\x00": bytes.fromhex(
            f"6955b901 {DIGESTS['a']} 2900000000000000 {DIGESTS['b']} 2a00000000000000",
        )
    },
    b"1": {},
}
REPLAY_KEYS: Final = {b"\x00\x00": b'["surveys.sprig", 3]', b"replay\x00\x00": b"3000000000"}
"""What else a source of receipts has that were written in a replay."""

RECEIPT_BATCH: Final = ReceiptBatch(
    integration="surveys",
    destination_name="production",
    destination="4fa2",
    topic="surveys.sprig",
    partition=3,
    delivered_at=1_767_225_601.25,
    instance="streamer-0",
    batch_events=250,
    attempt=2,
    status=200,
    replay_id=7,
    offsets=(41, 42),
    digests=tuple(bytes.fromhex(digest) for digest in DIGESTS.values()),
)
RECEIPT_KEY: Final = b'["surveys","surveys.sprig",3]'
RECEIPT_VALUE: Final = bytes.fromhex(
    "535201 000050406e55da41 07000000 fa000000 0200 c800 02000000"
    "0a00 70726f64756374696f6e 0400 34666132 0a00 73747265616d65722d30"
    f"2900000000000000 2a00000000000000 {DIGESTS['a']} {DIGESTS['b']} bb326515"
)


def test_receipt_records_are_written_and_read_as_version_1() -> None:
    assert receipt_record.encode(RECEIPT_BATCH) == (RECEIPT_KEY, RECEIPT_VALUE)
    assert receipt_record.decode(RECEIPT_KEY, RECEIPT_VALUE) == RECEIPT_BATCH


def test_metadata_of_version_s1_is_read() -> None:
    assert decode(METADATA, STATEMENT.position) == STATEMENT


def test_metadata_is_written_as_version_s1() -> None:
    written = encode(
        STATEMENT.position,
        STATEMENT.horizon,
        STATEMENT.open,
        STATEMENT.fingerprint,
        replay_until=STATEMENT.replay_until,
    )

    assert written == METADATA


def test_metadata_in_a_replay_is_version_s2() -> None:
    statement = dataclasses.replace(STATEMENT, replay_id=3_000_000_000)
    written = encode(
        statement.position,
        statement.horizon,
        statement.open,
        statement.fingerprint,
        replay_until=statement.replay_until,
        replay_id=statement.replay_id,
    )

    assert written == REPLAY_METADATA
    assert decode(REPLAY_METADATA, statement.position) == statement


def test_receipts_are_written_as_version_2(tmp_path: Path) -> None:
    store = ReceiptStore(tmp_path, max_log_bytes=1 << 24, now=1_767_225_600.0, destination="4fa2")
    store.add([Deliveries("surveys.sprig", 3, [41, 42], [digest_of(name) for name in DIGESTS])], 1_767_225_601.5)
    store.close(sync=True)

    with lmdb.open(str(tmp_path), max_dbs=3, readonly=True, lock=False, create=False) as env:
        tables = {name: env.open_db(name, create=False) for name in TABLES}
        with env.begin() as txn:
            assert {name: dict(txn.cursor(table)) for name, table in tables.items()} == TABLES


def test_receipts_of_a_replay_have_its_name_beside_the_source(tmp_path: Path) -> None:
    """Earlier versions pass over this key, and read the rest."""
    store = ReceiptStore(tmp_path, max_log_bytes=1 << 24, now=1_767_225_600.0)
    store.add([Deliveries("surveys.sprig", 3, [41], [digest_of("a")], replay_id=3_000_000_000)], 1_767_225_601.5)
    store.close(sync=True)

    with lmdb.open(str(tmp_path), max_dbs=3, readonly=True, lock=False, create=False) as env:
        meta = env.open_db(b"meta", create=False)
        with env.begin(meta) as txn:
            assert {key: value for key, value in txn.cursor() if key in REPLAY_KEYS} == REPLAY_KEYS
    again = ReceiptStore(tmp_path, max_log_bytes=1 << 24, now=1_767_225_700.0)
    found = again.find([digest_of("a")], oldest=0.0)
    again.close(sync=False)
    assert found == {digest_of("a"): ("surveys.sprig", 3, 41, 3_000_000_000)}


@pytest.mark.parametrize("lacks", [(), (b"destination",)], ids=["of this version", "without a destination"])
def test_receipts_of_version_2_are_read(tmp_path: Path, lacks: tuple[bytes, ...]) -> None:
    """Earlier versions did not store the destination: their receipts go on counting."""
    with lmdb.open(str(tmp_path), max_dbs=3, map_size=1 << 24) as env:
        for name, entries in TABLES.items():
            table = env.open_db(name)
            with env.begin(table, write=True) as txn:
                for key, value in entries.items():
                    if key not in lacks:
                        txn.put(key, value)

    store = ReceiptStore(tmp_path, max_log_bytes=1 << 24, now=1_767_225_700.0, destination="4fa2")
    found = store.find([digest_of(name) for name in DIGESTS], oldest=0.0)
    store.close(sync=False)

    assert [(place.topic, place.partition, place.offset) for place in found.values()] == [
        ("surveys.sprig", 3, 41),
        ("surveys.sprig", 3, 42),
    ]


def test_the_fingerprint_of_a_destination_stays_the_same() -> None:
    """Another one for the same destination would set all receipts aside at an upgrade."""
    fingerprint = destination_fingerprint("https://api.segment.io", "a" * 32, "-eu")

    assert fingerprint == "80c7dba4b824d2f5e4ca911be2ea457d"
