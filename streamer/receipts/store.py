"""Receipts on disk: two generations of them, and where they came from. Only this module and `check.py` import lmdb.

An LMDB file holds what is true, in three tables:

    generation   chunks of receipts (`chunks.py`), twice
    meta         "format" -> version; "state" -> current generation, when each began; source -> JSON [topic, partition]

Receipts are only ever appended, to the current generation; an index of each (`index.py`) tells where to look.
`ReceiptStore.rotate` empties the other one, which then becomes the current one. Nothing is synced before
`ReceiptStore.close`: what was written survives the process in any case, a loss of power only by luck.

LMDB trusts its file, and a damaged one can crash whoever reads it: `check.py` has a child process read it first.
"""

import errno
import json
import struct
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import lmdb
import numpy as np

from streamer.receipts import chunks
from streamer.receipts.chunks import Deliveries, Receipt
from streamer.receipts.index import FingerprintIndex, Fingerprints

DATA_FILE: Final = "data.mdb"

STORE_ERRORS: Final = (lmdb.Error, struct.error, OSError)
"""What any call here may raise when the file or the disk is at fault."""

FULL_ERRORS: Final = (lmdb.MapFullError, lmdb.DiskError)
"""Those of them that say: no room, in the file or on the disk. What was to be written is not."""

UNREADABLE_ERRORS: Final = (
    lmdb.CorruptedError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.InvalidParameterError,
    lmdb.NotFoundError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)
"""Those of them that say: this is no file of receipts, or no longer."""

GENERATIONS: Final = (b"0", b"1")
"""Names of their tables."""

_FORMAT: Final = b"streamer receipts 2"
_STATE: Final = struct.Struct(">BII")
_SOURCE: Final = struct.Struct(">H")
_MAX_RECEIPTS: Final = 1 << 32
"""Of one generation."""
_MAX_SOURCES: Final = 1 << 16
_MAX_SECONDS: Final = (1 << 32) - 1
_REBUILD_CHUNKS: Final = 1_000
"""Put into an index at a time when a store is opened."""


class Place(NamedTuple):
    """Where a record stands, or stood."""

    topic: str
    partition: int
    offset: int


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
        """Fill the index with what is stored. ValueError when that is damaged."""
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
        """The receipts of ``digests`` that were delivered at ``oldest`` or later, the last ones last."""
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
        """Add receipts; with the deliveries of a partition comes the number of their source."""
        receipts = chunks.pack(deliveries)
        if self._count + len(receipts) > _MAX_RECEIPTS:
            raise lmdb.MapFullError(f"{_MAX_RECEIPTS} receipts, which is the most")
        with self._env.begin(self.table, write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti(chunks.to_chunks(receipts, self._count, delivered_at), append=True)
        self._note(chunks.fingerprints_in(receipts))

    def clear(self, txn: lmdb.Transaction) -> None:
        """Forget everything; the table when the transaction is committed, the index at once."""
        txn.drop(self.table, delete=False)
        self._index.clear()
        self._count = 0

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def _note(self, fingerprints: Fingerprints) -> None:
        first, self._count = self._count, self._count + len(fingerprints)
        try:
            self._index.add(fingerprints, first)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise lmdb.MapFullError("no room on the disk for the index of the receipts") from error
            raise


class ReceiptStore:
    """Open files of receipts. Not thread-safe. Times are seconds since the epoch, kept to the second.

    Args:
        path: its directory, which exists and is ours alone. A file in it is opened, or made if there is none.
        max_log_bytes: most the file may take; a larger one is opened, and says so in `file_bytes`.
        now: when the first generation begins, in a new file.

    Raises:
        lmdb.Error: the file is damaged, or not one of receipts, or of another version's.
        OSError: the disk does not let us.
    """

    def __init__(self, path: Path, *, max_log_bytes: int, now: float) -> None:
        self._env = lmdb.open(
            str(path), map_size=max_log_bytes, max_dbs=3, sync=False, metasync=False, readahead=False, max_spare_txns=1
        )
        self._current = 0
        self._began = [_seconds(now), _seconds(now)]
        self._places: list[tuple[str, int]] = []
        self._generations: list[Generation] = []
        is_new = self._env.stat()["entries"] == 0
        try:
            self._meta = self._env.open_db(b"meta", create=is_new)
            if is_new:
                self._write_state(self._current, self._began)
            else:
                self._read_meta()
            for name in GENERATIONS:
                self._generations.append(Generation(self._env, name, directory=path, create=is_new))
                self._generations[-1].load()
        except BaseException as error:
            self.close(sync=False)
            if isinstance(error, ValueError):
                raise lmdb.CorruptedError("receipts are missing") from error
            raise
        self._sources = {place: source for source, place in enumerate(self._places)}

    @property
    def current_began(self) -> int:
        """When the generation that is written to began."""
        return self._began[self._current]

    @property
    def previous_began(self) -> int:
        """When the other generation began; from there on nothing was dropped."""
        return self._began[1 - self._current]

    @property
    def current_bytes(self) -> int:
        """What the generation that is written to takes on disk."""
        generation = self._generations[self._current]
        with self._env.begin() as txn:
            stat = txn.stat(generation.table)
        return (stat["branch_pages"] + stat["leaf_pages"]) * stat["psize"] + generation.index_bytes

    @property
    def file_bytes(self) -> int:
        """Size of all files. They do not shrink: free pages are kept for later."""
        log_bytes = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        return int(log_bytes) + sum(generation.index_bytes for generation in self._generations)

    def __len__(self) -> int:
        return sum(map(len, self._generations))

    def find(self, digests: Sequence[bytes], oldest: float) -> dict[bytes, Place]:
        """The places from which those of ``digests`` were delivered that were delivered at ``oldest`` or later."""
        found: dict[bytes, Place] = {}
        for generation in (self._generations[1 - self._current], self._generations[self._current]):
            for receipt in generation.find(digests, oldest):
                found[receipt.digest] = self._place(receipt)
        return found

    def add(self, deliveries: Sequence[Deliveries], now: float) -> None:
        """Note the deliveries, all of them or (when this raises) none that can be found."""
        if not deliveries:
            return
        sources = self._sources
        for one in deliveries:
            if (one.topic, one.partition) not in sources:
                self._add_source((one.topic, one.partition))
        with_sources = [(sources[one.topic, one.partition], one) for one in deliveries]
        self._generations[self._current].append(with_sources, _seconds(now))

    def rotate(self, now: float) -> int:
        """Empty the previous generation and write to it from now on. Returns how many receipts that dropped."""
        older = 1 - self._current
        began = list(self._began)
        began[older] = _seconds(now)
        dropped = len(self._generations[older])
        with self._env.begin(write=True) as txn:
            self._generations[older].clear(txn)
            txn.put(b"state", _STATE.pack(older, *began), db=self._meta)
        self._current, self._began = older, began
        return dropped

    def not_after(self, now: float) -> None:
        """The clock went back: let no generation have begun later than now, or it would never end."""
        began = [min(seconds, _seconds(now)) for seconds in self._began]
        self._write_state(self._current, began)
        self._began = began

    def close(self, *, sync: bool) -> None:
        """Let go of the file; with ``sync`` after all of it has reached the disk."""
        try:
            if sync:
                self._env.sync(True)
        finally:
            self._env.close()
            for generation in self._generations:
                generation.close()

    def _write_state(self, current: int, began: list[int]) -> None:
        with self._env.begin(self._meta, write=True) as txn:
            txn.put(b"format", _FORMAT)
            txn.put(b"state", _STATE.pack(current, *began))

    def _read_meta(self) -> None:
        with self._env.begin(self._meta) as txn:
            if txn.get(b"format") != _FORMAT:
                raise lmdb.IncompatibleError("not a file of receipts of this version")
            try:
                self._current, *self._began = _STATE.unpack(txn.get(b"state", b""))
                sources = [json.loads(value) for key, value in txn.cursor() if len(key) == _SOURCE.size]
                self._places = [(str(topic), int(partition)) for topic, partition in sources]
            except (struct.error, ValueError, TypeError) as error:
                raise lmdb.CorruptedError("the notes on its own state cannot be read") from error

    def _place(self, receipt: Receipt) -> Place:
        try:
            topic, partition = self._places[receipt.source]
        except IndexError as error:
            raise lmdb.CorruptedError("a receipt names no place") from error
        return Place(topic, partition, receipt.offset)

    def _add_source(self, place: tuple[str, int]) -> None:
        source = len(self._places)
        if source == _MAX_SOURCES:
            raise lmdb.MapFullError(f"receipts of {_MAX_SOURCES} partitions, which is the most")
        with self._env.begin(self._meta, write=True) as txn:
            txn.put(_SOURCE.pack(source), json.dumps(place).encode())
        self._places.append(place)
        self._sources[place] = source


def _read(cursor: lmdb.Cursor, number: int) -> Receipt:
    key = chunks.key_of(number)
    if not cursor.set_range(key):
        cursor.last()
    elif cursor.key() != key:
        cursor.prev()
    return chunks.receipt_in(bytes(cursor.key()), bytes(cursor.value()), number)


def _seconds(now: float) -> int:
    return min(max(int(now), 0), _MAX_SECONDS)
