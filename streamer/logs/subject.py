"""Which lines are about the same thing: they are folded together, and are one fault in the status."""

from collections.abc import Mapping
from typing import Final

from streamer.logs.events import Event

_SUBJECT: Final = ("integration", "destination", "topic", "partition", "webhook")
_CAUSE: Final = ("reason", "error_type", "logger")

_STATES: Final = {
    event: events[0]
    for events in (
        (Event.DESTINATION_HELD, Event.DESTINATION_BACKING_OFF, Event.DESTINATION_RESUMED),
        (Event.DIRECTORY_UNAVAILABLE, Event.DIRECTORY_RECOVERED),
        (Event.IDENTIFICATION_SUSPENDED, Event.IDENTIFICATION_RESUMED),
        (Event.KAFKA_CREDENTIALS_MISSING, Event.KAFKA_CREDENTIALS_REJECTED, Event.KAFKA_CREDENTIALS_RECOVERED),
        (Event.KAFKA_UNAVAILABLE, Event.KAFKA_RECOVERED),
        (Event.PARTITION_LEFT_OUT, Event.PARTITION_RESUMED),
        (Event.TOPICS_MISSING, Event.TOPICS_FOUND),
        (Event.TOPIC_FILTERED_OUT, Event.TOPIC_RESUMED),
        (Event.TRACES_LOST, Event.TRACES_RESUMED),
    )
    for event in events
}
"""Events that are the states of one thing -> one of them. While it changes all the time, only the newest is worth a
line: if each were folded by itself, the last line could be that of a state which has ended."""

_OF_MANY_PARTITIONS: Final = frozenset({Event.PARTITION_ASSIGNED, Event.PARTITION_REVOKED})
"""Come for all partitions of a topic in one moment; which ones are ours is in the status."""


def fold_key(event: Event, fields: Mapping[str, object]) -> tuple[object, ...]:
    """Lines with the same key are folded together."""
    if event in _STATES:
        return (_STATES[event], *map(fields.get, _SUBJECT))
    values = list(map(fields.get, _SUBJECT + _CAUSE))
    if event in _OF_MANY_PARTITIONS:
        values[_SUBJECT.index("partition")] = None
    return (event, *values)
