"""Receipts as records of a topic: read as they were written; what is not ours is None, whatever it is."""

import binascii
import struct
from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records.receipt_record import (
    MAX_OFFSET,
    MAX_RECEIPTS,
    MAX_RECORD_BYTES,
    MAX_SECONDS,
    ReceiptBatch,
    decode,
    encode,
    parts,
)

BATCH: Final = ReceiptBatch(
    integration="surveys",
    destination_name="production",
    destination="4fa2" * 8,
    topic="surveys.sprig",
    partition=3,
    delivered_at=1_767_225_601.25,
    instance="streamer-0",
    batch_events=250,
    attempt=2,
    status=200,
    replay_id=7,
    offsets=(41, 42),
    digests=(b"a" * 16, b"b" * 16),
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
receipts = st.lists(st.tuples(st.integers(0, MAX_OFFSET), st.binary(min_size=16, max_size=16)), min_size=1, max_size=40)


@st.composite
def batches(draw: st.DrawFn) -> ReceiptBatch:
    """Any batch that streamer may write."""
    pairs = draw(receipts)
    return ReceiptBatch(
        integration=draw(texts),
        destination_name=draw(texts),
        destination=draw(texts),
        topic=draw(texts),
        partition=draw(st.integers(0, 1 << 31)),
        delivered_at=draw(st.floats(0, MAX_SECONDS)),
        instance=draw(texts),
        batch_events=draw(st.integers(1, 2_500)),
        attempt=draw(st.integers(1, 65_535)),
        status=draw(st.integers(100, 599)),
        replay_id=draw(st.integers(0, (1 << 32) - 1)),
        offsets=tuple(offset for offset, _ in pairs),
        digests=tuple(digest for _, digest in pairs),
    )


def written_with(key: bytes, body: bytes) -> tuple[bytes, bytes]:
    """A record with a checksum that fits, whatever it is."""
    return key, body + struct.pack("<I", binascii.crc32(body, binascii.crc32(key)))


@given(batches())
def test_what_was_written_is_read(batch: ReceiptBatch) -> None:
    assert decode(*encode(batch)) == batch


@given(batches(), st.data())
def test_damage_is_seen(batch: ReceiptBatch, data: st.DataObject) -> None:
    """One changed byte of key or value, or a cut end, and the record says nothing."""
    key, value = encode(batch)
    at = data.draw(st.integers(0, len(key) + len(value) - 1))
    changed = bytearray(key + value)
    changed[at] ^= data.draw(st.integers(1, 255))

    assert decode(bytes(changed[: len(key)]), bytes(changed[len(key) :])) is None
    assert decode(key, value[: data.draw(st.integers(0, len(value) - 1))]) is None


@given(st.none() | st.binary(max_size=80), st.none() | st.binary(max_size=200))
def test_foreign_records_are_ignored(key: bytes | None, value: bytes | None) -> None:
    assert decode(key, value) is None


@given(st.binary(max_size=80), st.binary(max_size=200))
def test_foreign_records_with_our_mark_and_a_fitting_checksum_never_raise(key: bytes, rest: bytes) -> None:
    decode(*written_with(key, b"SR\x01" + rest))
    decode(*written_with(encode(BATCH)[0], b"SR\x01" + rest))


def test_keys_that_are_not_as_we_write_them_are_ignored() -> None:
    key, value = encode(BATCH)
    body = value[:-4]
    assert decode(*written_with(key, body)) == BATCH

    for other in (
        b'["surveys", "surveys.sprig", 3]',
        b'["surveys","surveys.sprig"]',
        b'["surveys","surveys.sprig",true]',
        b'["surveys","surveys.sprig",-1]',
        b'["surveys",1,3]',
        b'["surveys","\\ud800",3]',
        b'{"surveys":1}',
        b"[" * 100_000,
        b"\xff",
        b"",
    ):
        assert decode(*written_with(other, body)) is None


def test_receipts_that_the_store_could_not_keep_are_ignored() -> None:
    """Offset and source share 64 bits on disk, and a time has 32: none may run over."""
    for impossible in (
        {"offsets": (MAX_OFFSET + 1, 1)},
        {"delivered_at": -1.0},
        {"delivered_at": float("nan")},
        {"delivered_at": float(MAX_SECONDS) + 1},
    ):
        assert decode(*encode(replace(BATCH, **impossible))) is None


def test_a_record_of_a_later_version_is_ignored() -> None:
    key, value = encode(BATCH)

    assert decode(*written_with(key, b"SR\x02" + value[3:-4])) is None


def test_large_batches_are_written_in_parts_below_the_limit() -> None:
    """The longest names and the largest part still fit, and no receipt is missing or out of order."""
    count = 2 * MAX_RECEIPTS + 1
    large = replace(
        BATCH,
        integration="i" * 64,
        destination_name="d" * 64,
        topic="t" * 249,
        instance="h" * 255,
        offsets=tuple(range(count)),
        digests=tuple(offset.to_bytes(16, "little") for offset in range(count)),
    )

    pieces = [encode(part) for part in parts(large)]

    assert [len(key) + len(value) <= MAX_RECORD_BYTES for key, value in pieces] == [True] * 3
    read = [decode(*piece) for piece in pieces]
    assert [offset for part in read if part for offset in part.offsets] == list(large.offsets)
    assert [digest for part in read if part for digest in part.digests] == list(large.digests)
    assert list(parts(BATCH)) == [BATCH]
