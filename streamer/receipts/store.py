"""Receipts on disk: two generations, and the partitions they came from.

An LMDB file holds the receipts, in three tables:

    generation   chunks of receipts (`chunks.py`), twice
    meta         "format" -> version; "state" -> current generation, when each began; the sources (`sources.py`);
                 "destination" -> fingerprint of where everything in the file was delivered (`destination.py`)

Receipts are appended to the current generation (`generation.py`).
`ReceiptStore.rotate` empties the other generation, which then becomes the current one. Nothing is synced before
`ReceiptStore.close`: what was written survives a kill of the process, but maybe not a loss of power.

LMDB trusts its file, and a damaged file can crash the process that reads it, so a child process reads it first
(`check.py`).
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lmdb

from streamer.receipts import sources
from streamer.receipts.chunks import Deliveries, Place, Receipt
from streamer.receipts.destination import belong_to
from streamer.receipts.generation import Generation
from streamer.receipts.sources import MAX_SOURCES, Source

DATA_FILE: Final = "data.mdb"

STORE_ERRORS: Final = (lmdb.Error, struct.error, OSError)
"""What any call here may raise if the file or the disk is at fault."""

FULL_ERRORS: Final = (lmdb.MapFullError, lmdb.DiskError)
"""Those that mean: no space in the file or on the disk. Nothing of the call was written."""

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
"""Those that mean: the file is damaged, or is not a file of receipts."""

GENERATIONS: Final = (b"0", b"1")
"""Names of the tables of the two generations."""

_FORMAT: Final = b"streamer receipts 2"
_STATE: Final = struct.Struct(">BII")
_MAX_SECONDS: Final = (1 << 32) - 1


class ReceiptStore:
    """Open files of receipts. Not thread-safe. Times are seconds since the epoch, kept to the second.

    Args:
        path: its directory, which exists and is used by this process only. The file in it is opened or created.
        max_log_bytes: most bytes of the file. A larger file is opened too; `file_bytes` shows its size.
        now: for a new file, when its first generation begins.
        destination: fingerprint of where deliveries go; "": not told, and not looked at.

    Raises:
        OtherDestinationError: the file belongs to another destination.
        lmdb.Error: the file is damaged, not a file of receipts, or of another version.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path, *, max_log_bytes: int, now: float, destination: str = "") -> None:
        self._env = lmdb.open(
            str(path), map_size=max_log_bytes, max_dbs=3, sync=False, metasync=False, readahead=False, max_spare_txns=1
        )
        self._current = 0
        self._began = [_seconds(now), _seconds(now)]
        self._sources: list[Source] = []
        self._generations: list[Generation] = []
        is_new = self._env.stat()["entries"] == 0
        try:
            self._meta = self._env.open_db(b"meta", create=is_new)
            if is_new:
                self._write_state(self._current, self._began)
            else:
                self._read_meta()
            if destination:
                with self._env.begin(self._meta, write=True) as txn:
                    belong_to(destination, txn)
            for name in GENERATIONS:
                self._generations.append(Generation(self._env, name, directory=path, create=is_new))
                self._generations[-1].load()
        except BaseException as error:
            self.close(sync=False)
            if isinstance(error, ValueError):
                raise lmdb.CorruptedError("receipts are missing") from error
            raise
        self._numbers = {source: number for number, source in enumerate(self._sources)}

    @property
    def current_began(self) -> int:
        """When the current generation began."""
        return self._began[self._current]

    @property
    def previous_began(self) -> int:
        """When the previous generation began. No receipt since then was deleted."""
        return self._began[1 - self._current]

    @property
    def current_bytes(self) -> int:
        """Bytes of the current generation on disk."""
        generation = self._generations[self._current]
        with self._env.begin() as txn:
            stat = txn.stat(generation.table)
        return (stat["branch_pages"] + stat["leaf_pages"]) * stat["psize"] + generation.index_bytes

    @property
    def file_bytes(self) -> int:
        """Size of all files. They do not shrink: free pages are used again later."""
        log_bytes = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        return int(log_bytes) + sum(generation.index_bytes for generation in self._generations)

    def __len__(self) -> int:
        return sum(map(len, self._generations))

    def find(self, digests: Sequence[bytes], oldest: float) -> dict[bytes, Place]:
        """Of those of ``digests`` that were delivered at ``oldest`` or later: the places of their records."""
        found: dict[bytes, Place] = {}
        for generation in (self._generations[1 - self._current], self._generations[self._current]):
            for receipt in generation.find(digests, oldest):
                found[receipt.digest] = self._place(receipt)
        return found

    def look_up(self, digests: Sequence[bytes], oldest: float) -> dict[bytes, tuple[Place, int]]:
        """What `find` finds, with the second of each delivery."""
        return {
            receipt.digest: (self._place(receipt), receipt.delivered_at)
            for generation in (self._generations[1 - self._current], self._generations[self._current])
            for receipt in generation.find(digests, oldest)
        }

    def add(self, deliveries: Sequence[Deliveries], now: float) -> None:
        """Store receipts of the deliveries: all of them, or none if this raises."""
        if not deliveries:
            return
        with_sources = [(self._number_of(Source(one.topic, one.partition, one.replay_id)), one) for one in deliveries]
        self._generations[self._current].append(with_sources, _seconds(now))

    def rotate(self, now: float) -> int:
        """Empty the previous generation and write to it from now on. Returns how many receipts were deleted."""
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
        """The clock went back: set no beginning of a generation later than now, or it would not end in time."""
        began = [min(seconds, _seconds(now)) for seconds in self._began]
        self._write_state(self._current, began)
        self._began = began

    def close(self, *, sync: bool) -> None:
        """Close the file; with ``sync``, after all of it has reached the disk."""
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
                raise lmdb.IncompatibleError("it is not a file of receipts of this version")
            try:
                self._current, *self._began = _STATE.unpack(txn.get(b"state", b""))
                self._sources = sources.read(txn)
            except (struct.error, ValueError, TypeError) as error:
                raise lmdb.CorruptedError("the state of the file cannot be read") from error

    def _place(self, receipt: Receipt) -> Place:
        try:
            topic, partition, replay_id = self._sources[receipt.source]
        except IndexError as error:
            raise lmdb.CorruptedError("a receipt has an unknown partition") from error
        return Place(topic, partition, receipt.offset, replay_id)

    def _number_of(self, source: Source) -> int:
        number = self._numbers.get(source)
        if number is None:
            number = len(self._sources)
            if number == MAX_SOURCES:
                raise lmdb.MapFullError(f"the file has reached its limit of {MAX_SOURCES} partitions and replays")
            with self._env.begin(self._meta, write=True) as txn:
                sources.write(number, source, txn)
            self._sources.append(source)
            self._numbers[source] = number
        return number


def _seconds(now: float) -> int:
    return min(max(int(now), 0), _MAX_SECONDS)
