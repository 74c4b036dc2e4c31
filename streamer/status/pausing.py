"""Pauses in words, for the verdict, readiness and the page."""

from streamer.core.steering.pause import Pause
from streamer.status.figures import duration, shortened


def pause_in_words(pause: Pause, now: float) -> str:
    """Who has paused something, since when, for how long and why: "paused by ada@web-7 for 40 min: Segment moves".

    Args:
        pause: in force.
        now: seconds since the epoch.
    """
    words = f"paused by {pause.by or 'the configuration'}"
    if pause.since is not None:
        words += f" for {duration(max(now - pause.since, 0.0))}"
    if pause.until is not None:
        words += f", {duration(max(pause.until - now, 0.0))} left"
    if pause.discards:
        words += ", and discards its records"
    return f"{words}: {shortened(pause.reason)}" if pause.reason else words


def end_of_pause(name: str, pause: Pause) -> str:
    """What to do to have ``name`` deliver again: a sentence."""
    if not pause.by:
        return "Set status: running to deliver again."
    by_itself = "It ends by itself. " if pause.until is not None else ""
    return f"{by_itself}To deliver again now: streamer resume {name}."
