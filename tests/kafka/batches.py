"""Batches as they lie in a broker's log, and what may be wrong with them."""

import struct
from collections.abc import Sequence
from typing import Final

from aiokafka import codec as codecs
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.util import calc_crc32c

TIMESTAMP: Final = 1_700_000_000_000
CHECKSUM_AT: Final = 17
CHECKED_FROM: Final = 21
"""Where the part of a batch begins that its checksum covers: the attributes."""

Headers = Sequence[tuple[str, bytes | None]]


def batch_of(
    values: Sequence[bytes | None],
    *,
    base_offset: int = 0,
    headers: Headers = (("name", b""),),
    compression: int = 0,
    producer_id: int | None = None,
) -> bytes:
    """One batch; with a producer it is part of a transaction."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=producer_id is not None,
        producer_id=-1 if producer_id is None else producer_id,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number, value in enumerate(values):
        builder.append(number, TIMESTAMP, b"key", value, list(headers))
    batch = bytearray(builder.build())
    struct.pack_into(">q", batch, 0, base_offset)
    return bytes(batch)


def checked(batch: bytes) -> bytes:
    """The batch with the right checksum."""
    checksum = struct.pack(">I", calc_crc32c(batch[CHECKED_FROM:]))
    return batch[:CHECKSUM_AT] + checksum + batch[CHECKED_FROM:]


def with_codec(batch: bytes, codec: int) -> bytes:
    """The batch, with a right checksum, as if another codec had packed it."""
    return checked(
        batch[: CHECKED_FROM + 1] + bytes([batch[CHECKED_FROM + 1] & ~7 | codec]) + batch[CHECKED_FROM + 2 :]
    )


def with_name(batch: bytes, name: bytes, strange: bytes) -> bytes:
    """The batch with another name of the same length in its headers, which the client's builder would not write."""
    assert len(name) == len(strange)
    read = _DefaultRecordBatchPy(batch)
    codec = read.compression_type
    iter(read)
    plain = bytes(read._buffer)[read._pos :]
    assert name in plain
    changed = plain.replace(name, strange)
    return _pack(batch, changed, codec)


def _pack(batch: bytes, records: bytes, codec: int) -> bytes:
    packers = {1: codecs.gzip_encode, 2: codecs.snappy_encode, 3: codecs.lz4_encode, 4: codecs.zstd_encode}
    packed = packers[codec](records) if codec else records
    body = batch[12:61] + packed
    return checked(batch[:8] + struct.pack(">i", len(body)) + body)
