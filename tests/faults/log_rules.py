"""What the logs of a soak may say, and when: lines that no fault explains, and lines that some faults explain. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from streamer.logs import Event
from tests.faults.cluster_faults import (
    BROKER_FROZEN,
    BROKER_KILLED,
    BROKER_RESTARTED,
    NO_LEADER,
    RIGHT_TAKEN,
    UNREADABLE_RECORDS,
)
from tests.faults.inbound.soaking import DATABASE_FAULTS

SLACK_SECONDS: Final = 1.0
"""Between what the soak does and what an instance says of it."""


class Round(NamedTuple):
    """Some faults at the same time, until all moved again. Times in seconds since the epoch."""

    faults: frozenset[str]
    begun_at: float
    ended_at: float


NEVER: Final = (
    Event.INTEGRATION_GUARDED,
    Event.LINES_DROPPED,
    Event.OBSERVER_FAILED,
    Event.OFFSETS_RESET,
    Event.PIPELINE_RESTARTED,
    Event.RECEIPTS_SET_ASIDE,
    Event.RECEIPTS_UNUSABLE,
    Event.RECORDS_LOST,
    Event.STATE_UNWRITABLE,
    Event.TASK_FAILED,
    Event.TASK_STALLED,
)
"""Lines that may not be in a log: all goes on whatever happens to instances, brokers and destination, in the parts that
there are and from where they were. Nothing is deleted or made anew here, and no disk is full."""

ANSWERS_OF_401: Final = "answers of 401"

FROZEN: Final = frozenset({"steady instance frozen", "guest frozen"})
"""When it wakes, the time in which it did not run counts as time in which a broker did not answer."""

EXPLAINED: Final[Mapping[Event, frozenset[str]]] = {
    Event.DIRECTORY_UNAVAILABLE: DATABASE_FAULTS,
    Event.DESTINATION_HELD: frozenset({ANSWERS_OF_401}),
    Event.KAFKA_UNAVAILABLE: FROZEN | {BROKER_FROZEN, BROKER_KILLED, BROKER_RESTARTED, NO_LEADER},
    Event.PARTITION_LEFT_OUT: frozenset({BROKER_FROZEN, BROKER_KILLED, BROKER_RESTARTED, NO_LEADER, RIGHT_TAKEN}),
    Event.RECORDS_UNREADABLE: frozenset({UNREADABLE_RECORDS}),
}
"""Lines that may be in a log, from the beginning of a round with one of these faults until all moved again."""


def unexplained(lines: Iterable[Mapping[str, Any]], rounds: Sequence[Round]) -> list[str]:
    """What was logged although nothing that happened explains it, with how often.

    Args:
        lines: of all logs. Those that only count folded ones are passed over: their kind was told in time.
        rounds: all that happened.
    """
    never = {event.event_name for event in NEVER}
    explained = {event.event_name: faults for event, faults in EXPLAINED.items()}
    found = Counter[str]()
    for line in lines:
        name = line["event_name"]
        if name in never:
            found[f"{name} was logged"] += 1
        elif name in explained and "suppressed" not in line:
            faults = sorted(_faults_at(datetime.fromisoformat(line["timestamp"]).timestamp(), rounds))
            if not explained[name] & set(faults):
                found[f"{name} was logged in a round of {faults or 'nothing'}"] += 1
    return [f"{text}, {count} times" for text, count in found.items()]


def _faults_at(at: float, rounds: Sequence[Round]) -> Iterator[str]:
    for round_ in rounds:
        if round_.begun_at - SLACK_SECONDS <= at <= round_.ended_at + SLACK_SECONDS:
            yield from round_.faults
