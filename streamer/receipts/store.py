"""Receipts in one LMDB file: two generations of them, and where they came from. The only module that imports lmdb.

    generation   blake2b(messageId, 16 bytes) -> source (16 bits), offset (48 bits), delivered at (32 bits, seconds)
    meta         "format" -> version; "state" -> current generation, when each began; source -> JSON [topic, partition]

New receipts go to the current generation. `ReceiptStore.rotate` empties the other one, which then becomes the current
one. Nothing is synced before `ReceiptStore.close`: what was written survives the process in any case, a loss of power
only by luck.

LMDB trusts its file, and a damaged one can crash whoever reads it. So `is_sound` has a child process read it first.
Run as a program with a directory as its argument, this module is that child.

Measured with a million ids in each generation: 2 to 3 us to find one, 4 to 6 us to add one, 60 bytes to store one.
"""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

import lmdb

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

_FORMAT: Final = b"streamer receipts 1"
_KEY_BYTES: Final = 16
_VALUE: Final = struct.Struct(">QI")
_STATE: Final = struct.Struct(">BII")
_SOURCE: Final = struct.Struct(">H")
_OFFSET_BITS: Final = 48
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1
_MAX_SOURCES: Final = 1 << 16
_MAX_SECONDS: Final = (1 << 32) - 1
_UNSOUND_EXIT_CODE: Final = 3


class Place(NamedTuple):
    """Where a record stands, or stood."""

    topic: str
    partition: int
    offset: int


class ReceiptStore:
    """An open file of receipts. Not thread-safe. Times are seconds since the epoch, kept to the second.

    Args:
        path: its directory, which exists and is ours alone. A file in it is opened, or made if there is none.
        max_bytes: most the file may take; a larger one is opened, and says so in `file_bytes`.
        now: when the first generation begins, in a new file.

    Raises:
        lmdb.Error: the file is damaged, or not one of receipts, or of another version's.
        OSError: the disk does not let us.
    """

    def __init__(self, path: Path, *, max_bytes: int, now: float) -> None:
        self._env = lmdb.open(
            str(path), map_size=max_bytes, max_dbs=3, sync=False, metasync=False, readahead=False, max_spare_txns=1
        )
        self._current = 0
        self._began = [_seconds(now), _seconds(now)]
        self._places: list[tuple[str, int]] = []
        is_new = self._env.stat()["entries"] == 0
        try:
            self._meta = self._env.open_db(b"meta", create=is_new)
            self._generations = [self._env.open_db(name, create=is_new) for name in (b"0", b"1")]
            if is_new:
                self._write_state(self._current, self._began)
            else:
                self._read_meta()
        except BaseException:
            self._env.close()
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
        """What the generation that is written to takes in the file."""
        with self._env.begin() as txn:
            stat = txn.stat(self._generations[self._current])
        return (stat["branch_pages"] + stat["leaf_pages"]) * stat["psize"]

    @property
    def file_bytes(self) -> int:
        """Size of the file. It does not shrink: LMDB keeps free pages for later."""
        return (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]

    def __len__(self) -> int:
        with self._env.begin() as txn:
            return sum(txn.stat(generation)["entries"] for generation in self._generations)

    def find(self, message_ids: Sequence[str], oldest: float) -> dict[str, Place]:
        """The places from which those of ``message_ids`` were delivered that were delivered at ``oldest`` or later."""
        found: dict[str, Place] = {}
        ids = {blake2b(message_id.encode(), digest_size=_KEY_BYTES).digest(): message_id for message_id in message_ids}
        keys = sorted(ids)
        with self._env.begin() as txn:
            for generation in (self._generations[1 - self._current], self._generations[self._current]):
                with txn.cursor(generation) as cursor:
                    for key, value in cursor.getmulti(keys):
                        source_and_offset, delivered_at = _VALUE.unpack(value)
                        if delivered_at >= oldest:
                            found[ids[key]] = self._place(source_and_offset)
        return found

    def add(self, deliveries: Sequence[tuple[str, str, int, int]], now: float) -> None:
        """Note ``(message_id, topic, partition, offset)`` of each delivery, all of them or (when this raises) none."""
        sources = self._sources
        for place in {(topic, partition) for _, topic, partition, _ in deliveries} - sources.keys():
            self._add_source(place)
        delivered_at = _seconds(now)
        entries = [
            (
                blake2b(message_id.encode(), digest_size=_KEY_BYTES).digest(),
                _VALUE.pack(sources[topic, partition] << _OFFSET_BITS | offset, delivered_at),
            )
            for message_id, topic, partition, offset in deliveries
        ]
        entries.sort(key=itemgetter(0))  # neighbours share pages: a third less to look for and to copy
        with self._env.begin(self._generations[self._current], write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti(entries)

    def rotate(self, now: float) -> int:
        """Empty the previous generation and write to it from now on. Returns how many receipts that dropped."""
        older = 1 - self._current
        began = list(self._began)
        began[older] = _seconds(now)
        with self._env.begin(write=True) as txn:
            dropped = txn.stat(self._generations[older])["entries"]
            txn.drop(self._generations[older], delete=False)
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

    def _place(self, source_and_offset: int) -> Place:
        try:
            topic, partition = self._places[source_and_offset >> _OFFSET_BITS]
        except IndexError as error:
            raise lmdb.CorruptedError("a receipt names no place") from error
        return Place(topic, partition, source_and_offset & _OFFSET_MASK)

    def _add_source(self, place: tuple[str, int]) -> None:
        source = len(self._places)
        if source == _MAX_SOURCES:
            raise lmdb.MapFullError(f"receipts of {_MAX_SOURCES} partitions, which is the most")
        with self._env.begin(self._meta, write=True) as txn:
            txn.put(_SOURCE.pack(source), json.dumps(place).encode())
        self._places.append(place)
        self._sources[place] = source


def is_sound(path: Path, *, max_seconds: float) -> bool:
    """Whether a child process can read all of the store in ``path``; True too if no fault was found in that time."""
    try:
        check = subprocess.run(  # noqa: S603 - our own interpreter and module, and a path from the configuration
            [sys.executable, "-P", "-m", __name__, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=max_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return check.returncode >= 0 and check.returncode != _UNSOUND_EXIT_CODE


def _read_all(path: str) -> None:
    """Visit every page and every entry of the store. Raises, or crashes, if it is damaged."""
    with lmdb.open(path, max_dbs=3, readonly=True, lock=False, create=False) as env:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path of ours
            env.copyfd(nowhere.fileno(), compact=True)  # visits the branches and the list of free pages
        for name in (b"0", b"1"):
            with env.begin(env.open_db(name, create=False)) as txn:
                count, last = 0, b""
                for key, value in txn.cursor():
                    if len(key) != _KEY_BYTES or len(value) != _VALUE.size or key <= last:
                        raise lmdb.CorruptedError("an entry is not a receipt")
                    count, last = count + 1, key
                if count != txn.stat()["entries"]:
                    raise lmdb.CorruptedError("entries are missing")


def _seconds(now: float) -> int:
    return min(max(int(now), 0), _MAX_SECONDS)


if __name__ == "__main__":
    try:
        _read_all(sys.argv[1])
    except STORE_ERRORS:
        sys.exit(_UNSOUND_EXIT_CODE)
