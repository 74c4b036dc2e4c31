"""Origins: from where a field of a call comes, and by which rule. Dialects declare them beside their rules.

Mapping a record never looks at them, so they cost nothing there. `streamer.core.mapping.explaining` reads them, and
tests hold them to what the rules do: when the value at a named place changes, the field changes, and no other does.
"""

from dataclasses import dataclass
from typing import Final

EACH: Final = "*"
"""In a pointer: any index of a list, the same one in the field and in its sources."""

Source = str | tuple[str, ...]
"""A JSON Pointer. Several: the first one at which there is something counts."""


@dataclass(frozen=True, slots=True)
class Origin:
    """From where one field comes: of an event, out of its record; or of a call, out of its event."""

    field: str
    """JSON Pointer of the field, with everything inside it that has no origin of its own."""
    rule: str
    """A sentence for producers; "": the value is taken over as it is."""
    sources: tuple[Source, ...] = ()
    """All that decide its value."""
    settings: tuple[str, ...] = ()
    """The settings that decide its value."""


def origin(field: str, rule: str, *sources: Source, settings: tuple[str, ...] = ()) -> Origin:
    """An `Origin`, written on one line."""
    return Origin(field, rule, sources, settings)


ID_RULE: Final = "Ids are sent as text."
BROKER_TIME: Final = "The record has no time of its own, so the broker's time of the record counts."
CONSTANT: Final = "A constant, which tells Segment whose event it is."
USER: Final = "The id of the user."
ANONYMOUS: Final = "The anonymous id of the person."
