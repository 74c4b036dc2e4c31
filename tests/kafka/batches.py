"""Batches as they lie in a broker's log, and what may be wrong with them."""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition
from aiokafka import codec as codecs
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.util import calc_crc32c

TIMESTAMP: Final = 1_700_000_000_000
ZSTD: Final = 4
"""Number of the codec."""

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


async def produce_raw(bootstrap_servers: str, topic: str, partition: int, batch: bytes) -> int:
    """Write a batch as it is; the broker gives it its offsets and checks little else. Returns the first one."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()
    try:
        await client.add_topic(topic)
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        answer = await client.send(leader, ProduceRequest(None, -1, 10_000, [(topic, [(partition, batch)])]))
        [(_, [(_, code, offset, *_)])] = answer.topics
        assert code == 0, for_code(code)
        return int(offset)
    finally:
        await client.close()


def batches_in(stored: bytes) -> Iterator[tuple[int, int]]:
    """Where each batch of a log segment begins and ends."""
    at = 0
    while at < len(stored):
        end = at + 12 + int.from_bytes(stored[at + 8 : at + 12], "big")
        yield at, end
        at = end


def damage(partition: Path, change: Callable[[bytes], bytes], *, offset: int) -> range:
    """Change the batch with this offset in a partition's first segment, as a bad disk does; returns its offsets.

    The broker must be stopped.
    """
    [segment] = partition.glob("*.log")
    stored = segment.read_bytes()
    for at, end in batches_in(stored):
        base, last_delta = struct.unpack_from(">q", stored, at)[0], struct.unpack_from(">i", stored, at + 23)[0]
        if offset in (offsets := range(base, base + last_delta + 1)):
            changed = change(stored[at:end])
            assert len(changed) == end - at
            segment.write_bytes(stored[:at] + changed + stored[end:])
            return offsets
    raise AssertionError(f"{partition.name} has no offset {offset}")


def with_wrong_checksum(batch: bytes) -> bytes:
    """The batch with its last byte changed."""
    return batch[:-1] + bytes([batch[-1] ^ 0xFF])
