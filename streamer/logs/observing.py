"""Whoever only looks must not end what is looked at."""

import contextlib
from collections.abc import Iterator

from streamer.logs.events import Event
from streamer.logs.logger import logger, place_of


@contextlib.contextmanager
def observing(what: str, *, integration: str | None = None) -> Iterator[None]:
    """An error in the block is logged, and goes no further.

    Args:
        what: is found out or shown in the block; stands in the log line.
        integration: that it is about.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        logger().emit(
            Event.OBSERVER_FAILED,
            integration=integration,
            reason=what,
            error_type=type(error).__name__,
            stack=place_of(error),
        )
