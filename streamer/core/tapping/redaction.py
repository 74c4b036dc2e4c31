"""A call without its values: what kind of thing stands where, and how long it is.

Keys stay, because a tap without them would say nothing about a mapping. They are names of properties; in some dialects
they are questions of a survey. The answers are values.
"""

from typing import Final

from streamer.core.model import Json

MAX_ELEMENTS: Final = 20
"""Most elements of an array that are shown; of a longer one it is said how many follow."""


def redacted(value: Json) -> Json:
    """The same shape, with the type in the place of each value: ``string(12)`` has 12 characters.

    Args:
        value: decoded JSON.
    """
    match value:
        case dict():
            return {key: redacted(inner) for key, inner in value.items()}
        case list():
            shown = [redacted(inner) for inner in value[:MAX_ELEMENTS]]
            more = len(value) - len(shown)
            return [*shown, f"{more} more"] if more else shown
        case str():
            return f"string({len(value)})"
        case bool():
            return "boolean"
        case None:
            return "null"
        case _:
            return "number"
