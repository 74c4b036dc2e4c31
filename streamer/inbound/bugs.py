"""When failures that look like bugs on single calls are no fault of the calls."""

from typing import Final

from streamer.core.errors import StreamerError

MAX_CONSECUTIVE: Final = 20
"""So many calls may be set aside because of bugs while no other call works; with the next one, the pipeline ends."""


class BugError(StreamerError):
    """One step fails whatever the calls are. The pipeline starts anew, with longer and longer waits."""


class Bugs:
    """The consecutive failures of one step. Without this, a bad update of streamer would set every call aside."""

    def __init__(self) -> None:
        self._consecutive = 0

    def note(self, error: Exception) -> None:
        """The step failed on one call, which may be set aside.

        Raises:
            BugError: it fails on all calls.
        """
        self._consecutive += 1
        if self._consecutive > MAX_CONSECUTIVE:
            raise BugError(f"{MAX_CONSECUTIVE} consecutive calls failed: {type(error).__name__}") from error

    def end(self) -> None:
        """The step worked."""
        self._consecutive = 0
