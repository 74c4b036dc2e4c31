"""Receipts as bytes: chunks of up to 84 receipts of one moment, stored under the number of their first receipt.

    number of the first (32 bits) -> delivered at (32 bits, seconds), then of each receipt
                                     digest (16 bytes), source (16 bits) and offset (48 bits), little-endian

84 receipts fill half a page of LMDB, the most that it stores without an extra page: 24.5 bytes per receipt.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamer.receipts.index import Fingerprints

Receipts = NDArray[np.void]

_NUMBER: Final = struct.Struct(">I")
_SECONDS: Final = struct.Struct(">I")
_DIGEST_BYTES: Final = 16
_DIGEST: Final = blake2b(digest_size=_DIGEST_BYTES)
_WORDS: Final = _DIGEST_BYTES // 4
_RECEIPT: Final = np.dtype([("digest", "<u4", _WORDS), ("place", "<u8")])
_STORED: Final = struct.Struct("<16sQ")
"""The same for a single receipt."""
_RECEIPT_BYTES: Final = _RECEIPT.itemsize
_CHUNK_RECEIPTS: Final = 84
_OFFSET_BITS: Final = 48
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1


class Deliveries(NamedTuple):
    """Records of one partition that were delivered."""

    topic: str
    partition: int
    offsets: Sequence[int]
    digests: Sequence[bytes]
    """Digests of their messageIds, see `digest_of`."""
    replay_id: int = 0
    """The replay in which they were delivered; 0: in none."""


class Place(NamedTuple):
    """Where a record is, or was, and in which replay of its partition it was delivered."""

    topic: str
    partition: int
    offset: int
    replay_id: int = 0
    """0: in none."""


class Receipt(NamedTuple):
    """One receipt as it was stored."""

    digest: bytes
    source: int
    offset: int
    delivered_at: int


def digest_of(message_id: str) -> bytes:
    """The digest under which a messageId is stored."""
    digest = _DIGEST.copy()  # a third cheaper than a new one with its arguments
    digest.update(message_id.encode())
    return digest.digest()


def fingerprints_of(digests: Sequence[bytes]) -> Fingerprints:
    """The first 32 bits of each digest."""
    return np.frombuffer(b"".join(digests), "<u4")[::_WORDS]


def pack(deliveries: Iterable[tuple[int, Deliveries]]) -> Receipts:
    """The receipts of deliveries. The deliveries of each partition come with the number of their source."""
    return np.concatenate([_pack_source(source, one) for source, one in deliveries])


def to_chunks(receipts: Receipts, first: int, delivered_at: int) -> list[tuple[bytes, bytes]]:
    """Keys and values to store, for receipts with numbers from ``first``."""
    stored, head = receipts.tobytes(), _SECONDS.pack(delivered_at)
    return [
        (
            _NUMBER.pack(first + start),
            head + stored[start * _RECEIPT_BYTES : (start + _CHUNK_RECEIPTS) * _RECEIPT_BYTES],
        )
        for start in range(0, len(receipts), _CHUNK_RECEIPTS)
    ]


def in_order(chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[Receipts]:
    """The receipts of all stored chunks, from the first one.

    Raises:
        ValueError: a chunk is missing or damaged.
    """
    count = 0
    for key, value in chunks:
        receipts = np.frombuffer(value, _RECEIPT, offset=_SECONDS.size)
        if key != _NUMBER.pack(count) or not len(receipts):
            raise ValueError("a chunk is missing")
        count += len(receipts)
        yield receipts


def count_to(key: bytes, value: bytes) -> int:
    """How many receipts there are up to the end of this chunk. Raises struct.error if it is not a chunk."""
    return int(_NUMBER.unpack(key)[0]) + (len(value) - _SECONDS.size) // _RECEIPT_BYTES


def key_of(number: int) -> bytes:
    """The upper bound of the key of the chunk that holds the receipt with this number."""
    return _NUMBER.pack(number)


def receipt_in(key: bytes, value: bytes, number: int) -> Receipt:
    """One receipt of a chunk. Raises struct.error if the chunk does not have it."""
    (first,), (delivered_at,) = _NUMBER.unpack(key), _SECONDS.unpack_from(value)
    digest, place = _STORED.unpack_from(value, _SECONDS.size + (number - first) * _RECEIPT_BYTES)
    return Receipt(digest, place >> _OFFSET_BITS, place & _OFFSET_MASK, delivered_at)


def fingerprints_in(receipts: Receipts) -> Fingerprints:
    """The fingerprints of receipts."""
    fingerprints: Fingerprints = receipts["digest"][:, 0]
    return fingerprints


def _pack_source(source: int, deliveries: Deliveries) -> Receipts:
    receipts = np.empty(len(deliveries.offsets), _RECEIPT)
    receipts["digest"] = np.frombuffer(b"".join(deliveries.digests), "<u4").reshape(-1, _WORDS)
    receipts["place"] = np.array(deliveries.offsets, np.uint64) | np.uint64(source << _OFFSET_BITS)
    return receipts
