"""The record as a file: one JSON line for each received call, for whoever checks a run afterwards.

    {"time": 1741064769.0, "messageId": "a-1", "verdict": "accepted", "path": "/v1/batch", "status": 200, "code": null}

``time`` is in seconds since the epoch; ``messageId`` null when the call had none; ``verdict`` one of
`record.Verdict`; ``status`` null when the sender got no whole answer (a scripted fault); ``code`` Segment's discard
code of a swallowed call.
"""

import errno
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson

from streamer.devkit.sandbox.record import ReceivedCall

MAX_RECORD_FILE_BYTES: Final = 64_000_000_000
"""Longest file; about 450 million calls."""


class RecordFile:
    """Appends to one file, which is complete up to the latest answered request even if the sandbox is killed.

    Writes block, for microseconds: they go to the operating system's cache, and are not synced to the disk.

    Args:
        path: the file; made if it is missing.
        max_bytes: at this length it takes no more.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_RECORD_FILE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)

    def append(self, entries: Iterable[ReceivedCall]) -> None:
        """Write the calls of one request.

        Raises:
            OSError: they are not, or not wholly, in the file: the disk or the file is full.
        """
        lines = b"".join(map(_line, entries))
        if self._file.tell() + len(lines) > self._max_bytes:
            raise OSError(errno.EFBIG, f"the record file has reached its limit of {self._max_bytes} bytes")
        if lines and self._file.write(lines) != len(lines):
            raise OSError(errno.ENOSPC, "the record file took part of the calls only")

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
