"""Receipts: the durable notes of which messageIds of one integration were delivered, and from where.

Receipts only save repeated deliveries. Without them, records that are read again are sent again, and Segment's own
memory of messageIds drops most copies; no event is lost. So nothing here may stop the service. A store that cannot be
trusted is set aside, a full one deletes its older half, and one that cannot be used stores nothing. Each of these is
reported in `Receipts.problems`.

There are two generations. When the current one is a window old, no receipt of the previous one counts any more: the
previous one is emptied and becomes the current one. The age of a receipt is checked when it is read, so the window is
exact to the second. When the current generation has used its share of the space, this happens early, and the window is
shorter until the next change.
"""

import collections
import contextlib
import enum
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from streamer.receipts.check import is_sound
from streamer.receipts.chunks import Deliveries, Place
from streamer.receipts.destination import OtherDestinationError
from streamer.receipts.state_dir import Left, StateDirectory
from streamer.receipts.store import (
    DATA_FILE,
    FULL_ERRORS,
    STORE_ERRORS,
    UNREADABLE_ERRORS,
    ReceiptStore,
)

__all__ = ["MIN_BYTES", "Place", "Problem", "ProblemKind", "Receipts"]

MIN_BYTES: Final = 64 << 20
"""Least ``max_bytes`` with enough space for batches of any size. With less, large ones may empty the store."""

MAX_PROBLEMS: Final = 32
"""Most problems kept until `Receipts.take_problems` is called; beyond it, the oldest are dropped."""

MAX_CHECK_SECONDS: Final = 10.0
"""Longest check, at the start, of a store that was not closed. If no fault is found in this time, it is used."""

_LOG_SHARE: Final = 1 / 2
"""Part of ``max_bytes`` for the file of receipts. Their indexes, which take about as much, get the rest."""

_GENERATION_SHARE: Final = 0.4
"""Part of ``max_bytes`` for one generation with its index. Two fit. A fifth is left for the pages that two transactions
replace: LMDB never overwrites a page in use, and uses it again two transactions later at the earliest."""


class ProblemKind(enum.StrEnum):
    """What can happen to a store. None of these loses or delays an event."""

    POWER_LOST = "power_lost"
    """Set aside: it was not closed before the machine went down."""
    UNREADABLE = "unreadable"
    """Set aside: damaged, not a file of receipts, or of another version."""
    OTHER_DESTINATION = "other_destination"
    """Set aside: URL, write key or ``message_id_suffix`` of the destination have changed."""
    FULL = "full"
    """Receipts were deleted early (all of them if ``max_bytes`` was lowered), so the window is shorter."""
    UNUSABLE = "unusable"
    """Not used until the next start: no receipt is stored or found."""


class Problem(NamedTuple):
    """One thing that happened to a store, for the log."""

    kind: ProblemKind
    detail: str


_OTHER_DESTINATION: Final = Problem(
    ProblemKind.OTHER_DESTINATION,
    "URL, write key or message_id_suffix of the destination have changed, so the receipts prove nothing: events that"
    " producers send again go out",
)


class Receipts:
    """Which messageIds were delivered within the window. Not thread-safe.

    ``now`` is always the wall clock, in seconds since the epoch. It may jump: a receipt from the future counts as one
    from now.

    Args:
        directory: on a local disk; created if it is missing.
        window_seconds: how long a receipt counts.
        max_bytes: most bytes of the files on disk; should be at least `MIN_BYTES`.
        destination: fingerprint of where deliveries go (`destination_fingerprint`); "": not told, and not looked at.
        boot_id: identifies the last boot of this machine; None: read it from the kernel.
    """

    def __init__(
        self,
        directory: Path,
        *,
        window_seconds: float,
        max_bytes: int,
        destination: str = "",
        boot_id: str | None = None,
    ) -> None:
        assert window_seconds > 0
        self.shrunk_total = 0
        """How often receipts were deleted early, to make room."""
        self.problems: collections.deque[Problem] = collections.deque(maxlen=MAX_PROBLEMS)
        self._home = StateDirectory(directory, DATA_FILE, boot_id=boot_id)
        self._window_seconds = window_seconds
        self._max_bytes = max_bytes
        self._destination = destination
        self._store: ReceiptStore | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        window_seconds: float,
        max_bytes: int,
        now: float,
        destination: str = "",
        boot_id: str | None = None,
    ) -> "Receipts":
        """Open the store in ``directory``, or run without it: each fault of the store becomes a problem, not an error.

        Blocks for up to `MAX_CHECK_SECONDS` if the store was not closed. The arguments are the class's.

        Raises:
            UnavailableError: another process uses the same directory; nothing was changed.
        """
        receipts = cls(
            directory, window_seconds=window_seconds, max_bytes=max_bytes, destination=destination, boot_id=boot_id
        )
        try:
            receipts._home.claim()
            receipts._open(now)
        except STORE_ERRORS as error:
            receipts._give_up(error)
        return receipts

    def serve(self, destination: str, now: float) -> None:
        """From now on deliveries go to another destination: what was delivered before proves nothing."""
        if destination == self._destination:
            return
        self._destination = destination
        if self._store is None:
            return
        try:
            store, self._store = self._store, None
            store.close(sync=False)
            self._set_aside(_OTHER_DESTINATION, now)
            self._store = self._open_store(now)
        except STORE_ERRORS as error:
            self._give_up(error)

    @property
    def available(self) -> bool:
        """False: no receipt is found or stored, because the store cannot be used."""
        return self._store is not None

    def find(self, digests: Sequence[bytes], now: float) -> dict[bytes, Place]:
        """Of those messageIds that were delivered within the window: where their records were. See `digest_of`."""
        if self._store is None:
            return {}
        try:
            return self._store.find(digests, int(now) - self._window_seconds)
        except STORE_ERRORS as error:
            self._give_up(error)
            return {}

    def look_up(self, digests: Sequence[bytes], now: float) -> dict[bytes, tuple[Place, int]]:
        """What `find` finds, for people who ask: with the time of each delivery, in seconds since the epoch."""
        if self._store is None:
            return {}
        try:
            return self._store.look_up(digests, int(now) - self._window_seconds)
        except STORE_ERRORS as error:
            self._give_up(error)
            return {}

    def add(self, deliveries: Sequence[Deliveries], now: float) -> None:
        """Store receipts of what was delivered, each partition once. They survive a kill, but not a loss of power."""
        if self._store is None:
            return
        try:
            self._rotate_if_due(self._store, now)
            try:
                self._store.add(deliveries, now)
            except FULL_ERRORS as error:
                self._replace_store(now, str(error)).add(deliveries, now)
        except STORE_ERRORS as error:
            self._give_up(error)

    def entries(self) -> int:
        """How many receipts are stored, including those older than the window."""
        return self._gauge(ReceiptStore.__len__)

    def bytes(self) -> int:
        """Size of the files on disk."""
        return self._gauge(lambda store: store.file_bytes)

    def window_start(self, now: float) -> float:
        """Since when (seconds since the epoch) everything delivered with this directory has its receipt in it."""
        if self._store is None:
            return now
        return min(now, max(self._store.previous_began, now - self._window_seconds))

    def take_problems(self) -> list[Problem]:
        """The problems since the last call, oldest first."""
        taken = list(self.problems)
        self.problems.clear()
        return taken

    def close(self) -> None:
        """Sync to disk, which takes as long as the disk needs, and let another process use the directory."""
        try:
            if self._store is not None:
                store, self._store = self._store, None
                store.close(sync=True)
                self._home.mark_closed()
        except STORE_ERRORS as error:
            self._give_up(error)
        self._home.release()

    def _gauge(self, read: Callable[[ReceiptStore], int]) -> int:
        if self._store is None:
            return 0
        try:
            return read(self._store)
        except STORE_ERRORS as error:
            self._give_up(error)
            return 0

    def _open(self, now: float) -> None:
        left = self._home.left()
        if left is Left.POWER_LOST:
            self._set_aside(
                Problem(ProblemKind.POWER_LOST, "the receipts were not closed before the machine went down"), now
            )
        elif left is Left.KILLED and not is_sound(self._home.path, max_seconds=MAX_CHECK_SECONDS):
            self._set_aside(Problem(ProblemKind.UNREADABLE, "the receipts are damaged"), now)
        try:
            self._store = self._open_store(now)
        except UNREADABLE_ERRORS as error:
            self._set_aside(Problem(ProblemKind.UNREADABLE, str(error)), now)
            self._store = self._open_store(now)
        except OtherDestinationError:
            self._set_aside(_OTHER_DESTINATION, now)
            self._store = self._open_store(now)
        if self._store.file_bytes > self._max_bytes:
            self._replace_store(now, "the files are larger than that")

    def _open_store(self, now: float) -> ReceiptStore:
        self._home.mark_open()
        return ReceiptStore(
            self._home.path,
            max_log_bytes=int(self._max_bytes * _LOG_SHARE),
            now=now,
            destination=self._destination,
        )

    def _set_aside(self, problem: Problem, now: float) -> None:
        aside = self._home.set_aside(now)
        self.problems.append(Problem(problem.kind, f"{problem.detail}; the old files are kept as {aside.name}"))

    def _rotate_if_due(self, store: ReceiptStore, now: float) -> None:
        if now < store.current_began:
            store.not_after(now)
        is_old = now - store.current_began > self._window_seconds
        is_full = store.current_bytes > self._max_bytes * _GENERATION_SHARE
        if not (is_old or is_full):
            return
        dropped = store.rotate(now)
        if dropped and not is_old:
            self._count_shrunk(f"{dropped} receipts deleted early; receipts.max_bytes is {self._max_bytes}")

    def _replace_store(self, now: float, cause: str) -> ReceiptStore:
        """Delete the store and begin a new one: the only way to free space on the disk."""
        if self._store is not None:
            store, self._store = self._store, None
            self._count_shrunk(f"all {len(store)} receipts deleted; receipts.max_bytes is {self._max_bytes}: {cause}")
            store.close(sync=False)
        self._home.delete()
        self._store = self._open_store(now)
        return self._store

    def _count_shrunk(self, detail: str) -> None:
        self.shrunk_total += 1
        self.problems.append(Problem(ProblemKind.FULL, detail))

    def _give_up(self, error: Exception) -> None:
        self.problems.append(Problem(ProblemKind.UNUSABLE, str(error) or type(error).__name__))
        if self._store is not None:
            store, self._store = self._store, None
            with contextlib.suppress(*STORE_ERRORS):
                store.close(sync=False)
