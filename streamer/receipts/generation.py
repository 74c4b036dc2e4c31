"""One generation of receipts: its table in the file, and the index that finds its receipts (`index.py`)."""

import errno
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final

import lmdb
import numpy as np

from streamer.receipts import chunks
from streamer.receipts.chunks import Deliveries, Receipt
from streamer.receipts.index import FingerprintIndex, Fingerprints

_MAX_RECEIPTS: Final = 1 << 32
"""Most receipts of one generation."""

_REBUILD_CHUNKS: Final = 1_000
"""How many chunks are put into an index at a time when a store is opened."""


class Generation:
    """One generation: its table in the file, and its index."""

    def __init__(self, env: lmdb.Environment, name: bytes, *, directory: Path, create: bool) -> None:
        self._env = env
        self.table = env.open_db(name, create=create)
        self._count = 0
        with env.begin(self.table) as txn, txn.cursor() as cursor:
            expected = chunks.count_to(bytes(cursor.key()), bytes(cursor.value())) if cursor.last() else 0
        self._index = FingerprintIndex(directory, expected=expected)

    def load(self) -> None:
        """Fill the index from the stored receipts. Raises ValueError if they are damaged."""
        read: list[Fingerprints] = []
        with self._env.begin(self.table) as txn, txn.cursor() as cursor:
            for receipts in chunks.in_order(cursor):
                read.append(chunks.fingerprints_in(receipts))
                if len(read) == _REBUILD_CHUNKS:
                    self._note(np.concatenate(read))
                    read = []
        if read:
            self._note(np.concatenate(read))

    def __len__(self) -> int:
        return self._count

    @property
    def index_bytes(self) -> int:
        """Size of the index on disk."""
        return self._index.bytes

    def find(self, digests: Sequence[bytes], oldest: float) -> list[Receipt]:
        """The receipts of ``digests`` that were delivered at ``oldest`` or later, in the order of delivery."""
        candidates = self._index.candidates(chunks.fingerprints_of(digests))
        found: list[Receipt] = []
        if candidates:
            with self._env.begin(self.table) as txn, txn.cursor() as cursor:
                for which, number in sorted(candidates, key=itemgetter(1)):
                    receipt = _read(cursor, number)
                    if receipt.digest == digests[which] and receipt.delivered_at >= oldest:
                        found.append(receipt)
        return found

    def append(self, deliveries: Iterable[tuple[int, Deliveries]], delivered_at: int) -> None:
        """Add receipts. The deliveries of each partition come with the number of their source."""
        receipts = chunks.pack(deliveries)
        if self._count + len(receipts) > _MAX_RECEIPTS:
            raise lmdb.MapFullError(f"a generation has reached its limit of {_MAX_RECEIPTS} receipts")
        with self._env.begin(self.table, write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti(chunks.to_chunks(receipts, self._count, delivered_at), append=True)
        self._note(chunks.fingerprints_in(receipts))

    def clear(self, txn: lmdb.Transaction) -> None:
        """Delete everything: the table when the transaction is committed, the index at once."""
        txn.drop(self.table, delete=False)
        self._index.clear()
        self._count = 0

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def _note(self, fingerprints: Fingerprints) -> None:
        first, self._count = self._count, self._count + len(fingerprints)
        try:
            self._index.add(fingerprints, first)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise lmdb.MapFullError("the disk has no space for the index of the receipts") from error
            raise


def _read(cursor: lmdb.Cursor, number: int) -> Receipt:
    key = chunks.key_of(number)
    if not cursor.set_range(key):
        cursor.last()
    elif cursor.key() != key:
        cursor.prev()
    return chunks.receipt_in(bytes(cursor.key()), bytes(cursor.value()), number)
