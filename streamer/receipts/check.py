"""Checks a store of receipts in a child process, because reading a damaged store can crash the reader.

Run as a program with a directory as its argument, this module is that child.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import lmdb

from streamer.receipts import chunks
from streamer.receipts.store import GENERATIONS, STORE_ERRORS

_UNSOUND_EXIT_CODE: Final = 3


def is_sound(path: Path, *, max_seconds: float) -> bool:
    """Whether a child process can read all of the store in ``path``; also True if it found no fault in that time."""
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
    """Visit every page and every entry of the store. Raises an error, or crashes, if the store is damaged."""
    with lmdb.open(path, max_dbs=3, readonly=True, lock=False, create=False) as env:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path of ours
            env.copyfd(nowhere.fileno(), compact=True)  # visits the branches and the list of free pages
        for name in GENERATIONS:
            with env.begin(env.open_db(name, create=False)) as txn:
                for _ in chunks.in_order(txn.cursor()):
                    pass


if __name__ == "__main__":
    try:
        _read_all(sys.argv[1])
    except (*STORE_ERRORS, ValueError):
        sys.exit(_UNSOUND_EXIT_CODE)
