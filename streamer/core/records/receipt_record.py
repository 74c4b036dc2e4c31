"""Receipts as records of a Kafka topic: what was delivered by one request, one record for each partition it came from.

The key names integration, topic and partition, as JSON: ``["surveys","surveys.sprig",3]``. So all receipts of one
partition stand in one partition of the topic, in their order. The value is binary, little-endian:

    "SR", version (1 byte)
    delivered at (float64, seconds since the epoch), replay id (32 bits), calls of the request (32), attempt (16),
        HTTP status (16), number of receipts (32)
    name of the destination, its fingerprint, instance: 16 bits of length and UTF-8 each
    offsets (64 bits each), digests of messageIds (16 bytes each)
    CRC-32 of the key and of all above

A later version that adds to it raises the version; what one does not know is skipped, and costs a repeat, never a
record.
"""

import binascii
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

MAX_RECEIPTS: Final = 20_000
"""Most receipts of one record: 24 bytes each, so that a record stays below `MAX_RECORD_BYTES`."""

MAX_RECORD_BYTES: Final = 500_000
"""Largest key and value together; the brokers' own default is twice as much."""

DIGEST_BYTES: Final = 16

MAX_OFFSET: Final = (1 << 48) - 1
"""Largest offset that the store on disk keeps."""

MAX_SECONDS: Final = (1 << 32) - 1
"""Latest time that the store on disk keeps."""

MAX_TEXT_BYTES: Final = 1_000
"""Longest text of a record. Our names, host names and topics have at most 255 characters."""

_MAGIC: Final = b"SR\x01"
_HEAD: Final = struct.Struct("<3sdIIHHI")
_LENGTH: Final = struct.Struct("<H")
_CRC: Final = struct.Struct("<I")
_MAX_16: Final = (1 << 16) - 1
_OFFSET_BYTES: Final = 8
_KEY_PARTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptBatch:
    """Calls that one request has delivered, and whose records are of one partition."""

    integration: str
    destination_name: str
    destination: str
    """Fingerprint of URL, write key and ``message_id_suffix``: what was delivered elsewhere proves nothing."""
    topic: str
    partition: int
    delivered_at: float
    """Seconds since the epoch."""
    instance: str
    """Who delivered it."""
    batch_events: int
    """Calls in the request, those of other partitions included."""
    attempt: int
    """1: the first request that carried them."""
    status: int
    """HTTP status of the answer."""
    replay_id: int
    """The replay of the partition in which they were delivered; 0: in none."""
    offsets: Sequence[int]
    """Of the records."""
    digests: Sequence[bytes]
    """Of their messageIds: 16 bytes each, in the order of ``offsets``."""


def parts(batch: ReceiptBatch) -> Iterator[ReceiptBatch]:
    """The batch as it is to be encoded: in one piece, or in several of at most `MAX_RECEIPTS` receipts."""
    if len(batch.offsets) <= MAX_RECEIPTS:
        yield batch
        return
    for start in range(0, len(batch.offsets), MAX_RECEIPTS):
        piece = slice(start, start + MAX_RECEIPTS)
        yield replace(batch, offsets=batch.offsets[piece], digests=batch.digests[piece])


def encode(batch: ReceiptBatch) -> tuple[bytes, bytes]:
    """Key and value of the record of a batch of 1 to `MAX_RECEIPTS` receipts."""
    count = len(batch.offsets)
    assert 0 < count <= MAX_RECEIPTS, "divide it into parts"
    assert count == len(batch.digests), "each record has its messageId"
    key = key_of(batch.integration, batch.topic, batch.partition)
    head = _HEAD.pack(
        _MAGIC,
        batch.delivered_at,
        batch.replay_id,
        batch.batch_events,
        min(batch.attempt, _MAX_16),
        batch.status,
        count,
    )
    texts = [_text(text) for text in (batch.destination_name, batch.destination, batch.instance)]
    value = b"".join((head, *texts, struct.pack(f"<{count}Q", *batch.offsets), *batch.digests))
    return key, value + _checksum(key, value)


def decode(key: bytes | None, value: bytes | None) -> ReceiptBatch | None:
    """The receipts of a record; None: it is not ours, is damaged, or is of a version that we do not know. Never raises.

    Offsets and digests are tuples.
    """
    if key is None or value is None or not value.startswith(_MAGIC) or len(value) < _HEAD.size + _CRC.size:
        return None
    body = value[: -_CRC.size]
    if value[-_CRC.size :] != _checksum(key, body):
        return None
    try:
        return _read(key, body)
    except (ValueError, TypeError, struct.error, RecursionError):  # intact, yet not of our making
        return None


def key_of(integration: str, topic: str, partition: int) -> bytes:
    """The key of all records with receipts of one partition."""
    return json.dumps([integration, topic, partition], separators=(",", ":"), ensure_ascii=False).encode()


def _read(key: bytes, body: bytes) -> ReceiptBatch:
    integration, topic, partition = _read_key(key)
    _, delivered_at, replay_id, batch_events, attempt, status, count = _HEAD.unpack_from(body)
    (name, destination, instance), start = _read_texts(body, _HEAD.size)
    digests_start = start + count * _OFFSET_BYTES
    if not 0 < count <= MAX_RECEIPTS or len(body) != digests_start + count * DIGEST_BYTES:
        raise ValueError("not as long as its receipts")
    offsets = struct.unpack_from(f"<{count}Q", body, start)
    if max(offsets) > MAX_OFFSET or not 0 <= delivered_at <= MAX_SECONDS:
        raise ValueError("no place or time of a record")
    return ReceiptBatch(
        integration=integration,
        destination_name=name,
        destination=destination,
        topic=topic,
        partition=partition,
        delivered_at=delivered_at,
        instance=instance,
        batch_events=batch_events,
        attempt=attempt,
        status=status,
        replay_id=replay_id,
        offsets=offsets,
        digests=tuple([body[at : at + DIGEST_BYTES] for at in range(digests_start, len(body), DIGEST_BYTES)]),
    )


def _read_key(key: bytes) -> tuple[str, str, int]:
    found = json.loads(key)
    if not isinstance(found, list) or len(found) != _KEY_PARTS:
        raise ValueError("not a key of ours")
    integration, topic, partition = found
    if not (isinstance(integration, str) and isinstance(topic, str) and type(partition) is int and partition >= 0):
        raise ValueError("not a key of ours")
    if key_of(integration, topic, partition) != key:
        raise ValueError("not as we write it")
    return integration, topic, partition


def _read_texts(body: bytes, start: int) -> tuple[list[str], int]:
    """Name and fingerprint of the destination, and the instance; and where they end."""
    texts: list[str] = []
    for _ in range(3):
        (length,) = _LENGTH.unpack_from(body, start)
        start += _LENGTH.size
        texts.append(body[start : start + length].decode())
        start += length
    return texts, start


def _text(text: str) -> bytes:
    encoded = text.encode()
    assert len(encoded) <= MAX_TEXT_BYTES, "the configuration and the operating system allow shorter names only"
    return _LENGTH.pack(len(encoded)) + encoded


def _checksum(key: bytes, body: bytes) -> bytes:
    return _CRC.pack(binascii.crc32(body, binascii.crc32(key)))
