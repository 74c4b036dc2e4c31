"""The faults that the page has buttons for, and any fault in words. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from streamer.devkit.sandbox.debugger.markup import duration
from streamer.devkit.sandbox.faults import MARK, Action, Fault, Match

MARKED: Final = "refuse"
"""Calls with ``properties.sandbox`` = this text are refused by the preset ``marked``."""

RETRY_AFTER_SECONDS: Final = 5
SLOW_SECONDS: Final = 2.0

DURATIONS: Final[Mapping[str, int | None]] = MappingProxyType(
    {"10 s": 10, "30 s": 30, "1 min": 60, "5 min": 300, "until ended": None}
)
"""What the page offers, in seconds; None: until somebody ends it."""

MAX_PLAY_SECONDS: Final = 86_400.0
"""Longest time for which a button's fault can be asked."""


class Preset(NamedTuple):
    """A fault behind a button."""

    label: str
    effect: str
    """What a sender meets, in words."""
    action: Action
    match: Match = Match()


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "401": Preset("401", "wrong write key", Action(status=401)),
        "429": Preset(
            "429 + Retry\N{NON-BREAKING HYPHEN}After",
            f"too many requests, wait {RETRY_AFTER_SECONDS} s",
            Action(status=429, retry_after=RETRY_AFTER_SECONDS),
        ),
        "503": Preset("503", "service unavailable", Action(status=503)),
        "slow": Preset("Slow", f"answers after {SLOW_SECONDS:g} s", Action(latency_seconds=SLOW_SECONDS)),
        "hang": Preset("Hang", "takes the calls, never answers", Action(hang=True)),
        "reset": Preset("Reset", "resets the connection", Action(reset=True)),
        "marked": Preset(
            "Refuse marked",
            f'400 where properties.{MARK} is "{MARKED}"',
            Action(status=400),
            Match(marked=MARKED),
        ),
    }
)
"""By the names that ``POST /_sandbox/faults/play`` takes."""


def describe(fault: Fault) -> str:
    """What a fault does, and to which requests, in a sentence without an end."""
    return _action(fault.action) + _match(fault.match)


def _action(action: Action) -> str:
    words = {
        "reset": "resets the connection",
        "reset_after": "takes the calls, then resets the connection",
        "hang": "takes the calls and never answers",
        "cut_body": "takes the calls and cuts its answer short",
    }
    done = []
    if action.latency_seconds:
        done.append(f"waits {action.latency_seconds:g} s")
    if action.unanswered:
        done.append(words[action.unanswered])
    elif action.status is not None:
        done.append(f"answers {action.status}")
    if action.retry_after is not None:
        done.append(f"sends Retry-After: {action.retry_after}")
    if action.body is not None or action.headers:
        done.append("sends a body or headers of its own")
    return ", ".join(done) or "answers as usual"


def _match(match: Match) -> str:
    conditions = []
    if match.message_ids:
        ids = sorted(match.message_ids)
        conditions.append(f"with messageId {ids[0]}" if len(ids) == 1 else f"with one of {len(ids)} messageIds")
    if match.event is not None:
        conditions.append(f"with event {match.event}")
    if match.marked is not None:
        conditions.append(f'with properties.{MARK} = "{match.marked}"')
    if match.path is not None:
        conditions.append(f"to {match.path}")
    if match.every > 1:
        conditions.append(f"1 of every {match.every} of them")
    return f" to requests {', '.join(conditions)}" if conditions else ""


def ending(ends_in_seconds: float | None, times_left: int | None) -> str:
    """When a fault ends by itself, as the rest of a sentence that begins with "ends"."""
    ways = []
    if ends_in_seconds is not None:
        ways.append(f"in {duration(ends_in_seconds)}")
    if times_left is not None:
        ways.append(f"after {times_left:,} more requests")
    return "ends " + " or ".join(ways) if ways else "does not end by itself"
