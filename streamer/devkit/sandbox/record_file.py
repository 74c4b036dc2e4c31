"""The record as a file: one line of JSON for each received call, to check a run afterwards.

    {"time": 1741064769.0, "messageId": "a-1", "verdict": "accepted", "path": "/v1/batch", "status": 200, "code": null}

``time``: seconds since the epoch. ``messageId``: null if the call had none. ``verdict``: one of `record.Verdict`.
``status``: null if the sender got no whole answer (a scripted fault). ``code``: Segment's discard code of a swallowed
call.
"""

import errno
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from streamer.devkit.sandbox.record import ReceivedCall

MAX_RECORD_FILE_BYTES: Final = 64_000_000_000
"""Longest file in bytes; about 450 million calls."""


class RecordFile:
    """Appends to a file, which has all calls up to the latest answered request even if the sandbox is killed.

    Writes block for microseconds: they go to the cache of the operating system and are not synced to disk.

    Args:
        path: the file; created if it is missing.
        max_bytes: most bytes of the file.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_RECORD_FILE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)

    def append(self, entries: Iterable[ReceivedCall]) -> None:
        """Write the calls of one request.

        Raises:
            OSError: the calls are not, or not all, in the file: the disk or the file is full.
        """
        lines = b"".join(map(_line, entries))
        if self._file.tell() + len(lines) > self._max_bytes:
            raise OSError(errno.EFBIG, f"the record file has reached its limit of {self._max_bytes} bytes")
        if lines and self._file.write(lines) != len(lines):
            raise OSError(errno.ENOSPC, "the disk is full; only part of the calls are in the record file")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _line(entry: ReceivedCall) -> bytes:
    return orjson.dumps(
        {
            "time": entry.received_at,
            "messageId": entry.message_id,
            "verdict": entry.verdict,
            "path": entry.path,
            "status": int(entry.answer) if entry.answer.isdigit() else None,
            "code": entry.discard,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
