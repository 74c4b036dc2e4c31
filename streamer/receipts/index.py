"""Finds stored receipts by their fingerprint: a linear hash table in a mapped file, used in batches.

A fingerprint is 32 bits of a digest, so the table finds candidates, and the stored receipt decides. The file has no
name and ends with the process; the table is built again whenever a store is opened.

A bucket is a row of `_WIDTH` fingerprints and `_WIDTH` numbers. The table grows by splitting buckets in their order, a
few with each batch, so that no batch waits until a large table is copied. The file grows with the table. A receipt
whose bucket is full waits in a dict until the bucket is split; these are at most some 2 % of the receipts.

Why not one tree with digests as keys: each receipt would rewrite a page of it. Measured on two million ids, such a tree
took 8.3 us to add one and 3.6 us to find one; log and table together take 1.2 and 0.3 us, with ten million ids too.
"""

import os
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Fingerprints = NDArray[np.uint32]

_WIDTH: Final = 16
_BUCKET_BYTES: Final = 2 * _WIDTH * 4
_LOAD: Final = 6
"""Receipts per bucket, on average. Buckets that are not split yet hold up to twice as many."""
_FIRST_BUCKETS: Final = 64
_GROWTH_SHARE: Final = 8
"""The file grows by an eighth of itself, or by `_FIRST_BUCKETS`."""


class FingerprintIndex:
    """The numbers of receipts by their fingerprints. Not thread-safe.

    Args:
        directory: where the file is, on a local disk. Its space is reserved before it is written to.
        expected: how many receipts will be added at once, so that the table starts large enough.

    Raises:
        OSError: the file cannot be written, or the disk is full; from `add` too.
    """

    def __init__(self, directory: Path, *, expected: int = 0) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed with the table
        self._capacity = 0
        self._used: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._fingerprints: Fingerprints
        self._numbers: NDArray[np.uint32]
        try:
            self._reserve(max(_FIRST_BUCKETS, expected // _LOAD))
        except BaseException:
            self.close()
            raise
        self.clear()
        while 2 * self._base <= expected // _LOAD:
            self._base *= 2

    @property
    def bytes(self) -> int:
        """Size of the file. It does not shrink."""
        return self._capacity * _BUCKET_BYTES

    def clear(self) -> None:
        """Remove all receipts, and keep the space."""
        self._used.fill(0)
        self._count = 0
        self._base = _FIRST_BUCKETS  # a power of two: buckets at the beginning of this round of splits
        self._split = 0  # the next one to split
        self._overflow: dict[int, list[tuple[int, int]]] = {}

    def add(self, fingerprints: Fingerprints, first: int) -> None:
        """Add receipts with numbers from ``first``."""
        self._count += len(fingerprints)
        while (wanted := -(-self._count // _LOAD) - self._buckets) > 0:
            self._split_buckets(min(wanted, self._base - self._split))
        self._insert(fingerprints, np.arange(first, first + len(fingerprints), dtype=np.uint32))

    def candidates(self, fingerprints: Fingerprints) -> list[tuple[int, int]]:
        """Pairs of an index in ``fingerprints`` and the number of a receipt that may match."""
        if not self._count:
            return []
        buckets = self._buckets_of(fingerprints)
        same = self._fingerprints[buckets] == fingerprints[:, None]
        found: list[tuple[int, int]] = []
        if same.any():
            places, slots = np.nonzero(same)
            written = slots < self._used[buckets[places]]
            numbers = self._numbers[buckets[places], slots][written]
            found = list(zip(places[written].tolist(), numbers.tolist(), strict=True))
        if self._overflow:
            for place in np.flatnonzero(self._used[buckets] == _WIDTH).tolist():
                for fingerprint, number in self._overflow.get(int(buckets[place]), ()):
                    if fingerprint == fingerprints[place]:
                        found.append((place, number))
        return found

    def close(self) -> None:
        """Free the space on the disk."""
        self._file.close()

    @property
    def _buckets(self) -> int:
        return self._base + self._split

    def _buckets_of(self, fingerprints: Fingerprints) -> Fingerprints:
        buckets = fingerprints & np.uint32(2 * self._base - 1)
        return np.where(buckets < self._buckets, buckets, buckets & np.uint32(self._base - 1))

    def _insert(self, fingerprints: Fingerprints, numbers: NDArray[np.uint32]) -> None:
        buckets = self._buckets_of(fingerprints)
        order = np.argsort(buckets, kind="stable")
        buckets, fingerprints, numbers = buckets[order], fingerprints[order], numbers[order]
        begins = np.flatnonzero(np.r_[True, buckets[1:] != buckets[:-1]])
        ends = np.r_[begins[1:], len(buckets)]
        slots = self._used[buckets] + np.arange(len(buckets)) - np.repeat(begins, ends - begins)
        self._used[buckets[begins]] = np.minimum(slots[ends - 1] + 1, _WIDTH)
        fits = slots < _WIDTH
        for place in np.flatnonzero(~fits).tolist():
            waiting = self._overflow.setdefault(int(buckets[place]), [])
            waiting.append((int(fingerprints[place]), int(numbers[place])))
        buckets, slots = buckets[fits], slots[fits]
        self._fingerprints[buckets, slots] = fingerprints[fits]
        self._numbers[buckets, slots] = numbers[fits]

    def _split_buckets(self, count: int) -> None:
        """Split the next buckets: one more bit of the fingerprints says what moves to the new ones."""
        self._reserve(self._buckets + count)
        first = self._split
        old, new = slice(first, first + count), slice(first + self._base, first + self._base + count)
        fingerprints, numbers = self._fingerprints[old].copy(), self._numbers[old].copy()
        is_used = np.arange(_WIDTH) < self._used[old, None]
        goes = (fingerprints & np.uint32(self._base)) != 0
        for buckets, chosen in ((old, is_used & ~goes), (new, is_used & goes)):
            order = np.argsort(~chosen, axis=1, kind="stable")
            self._fingerprints[buckets] = np.take_along_axis(fingerprints, order, axis=1)
            self._numbers[buckets] = np.take_along_axis(numbers, order, axis=1)
            self._used[buckets] = chosen.sum(axis=1)
        self._split += count
        if self._split == self._base:
            self._base, self._split = 2 * self._base, 0
        if self._overflow:
            waiting = [pair for bucket in range(first, first + count) for pair in self._overflow.pop(bucket, ())]
            if waiting:
                pairs = np.array(waiting, np.uint32)
                self._insert(pairs[:, 0], pairs[:, 1])

    def _reserve(self, buckets: int) -> None:
        """Reserve space for so many buckets. Without that, a full disk would kill the process while it writes."""
        if buckets <= self._capacity:
            return
        capacity = max(buckets, self._capacity + max(_FIRST_BUCKETS, self._capacity // _GROWTH_SHARE))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, capacity * _BUCKET_BYTES)
        else:  # not Linux
            os.ftruncate(self._file.fileno(), capacity * _BUCKET_BYTES)
        table = np.memmap(self._file, np.uint32, mode="r+", shape=(capacity, 2 * _WIDTH)).view(np.ndarray)
        self._fingerprints, self._numbers = table[:, :_WIDTH], table[:, _WIDTH:]
        self._used = np.r_[self._used, np.zeros(capacity - len(self._used), np.uint8)]
        self._capacity = capacity
