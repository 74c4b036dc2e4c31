"""JSON Pointers (RFC 6901): the names of places in a document."""

from collections.abc import Iterator, Sequence
from typing import Final

from streamer.core.model import Json

Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""

NOTHING: Final = object()
"""What is at a place that a document does not have."""


def pointer_of(place: Sequence[str | int]) -> str:
    """The JSON Pointer of a place; "" is the whole document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)


def value_at(document: Json, place: Sequence[str | int]) -> Json:
    """The value at a place, or `NOTHING`. A step in digits is an index where there is a list, else a key."""
    for step in place:
        if isinstance(document, dict):
            document = document.get(str(step), NOTHING)
        elif isinstance(document, list) and str(step).isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return NOTHING
    return document


def leaves_in(document: Json, place: Place = ()) -> Iterator[tuple[Place, Json]]:
    """Every value that holds no other one, with its place, in the order of the document."""
    if document and isinstance(document, dict):
        for key, value in document.items():
            yield from leaves_in(value, (*place, key))
    elif document and isinstance(document, list):
        for index, value in enumerate(document):
            yield from leaves_in(value, (*place, index))
    else:
        yield place, document
