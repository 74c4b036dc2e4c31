"""``streamer map --explain``: from where each field of a call comes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.cli.output import print_rows
from streamer.core.model import Filtered, MappingSettings
from streamer.operations.dry_mapping import DryEnd

if TYPE_CHECKING:
    from streamer.core.mapping import Mapper
    from streamer.core.mapping.explaining import Explained

MAX_SHOWN_CHARACTERS: Final = 40
"""Of a longer value, only so many characters are shown in a table."""


def explanation_of(
    value: bytes, record_time_ms: int, end: DryEnd, mapper: "Mapper", settings: MappingSettings
) -> "list[Explained]":
    """The fields of the call of a record; none if it makes no call."""
    from streamer.core.mapping.decode import decode  # noqa: PLC0415 - the schemas' library takes a while to load
    from streamer.core.mapping.explaining import explain  # noqa: PLC0415

    if end.call is None:
        return []
    event = mapper.read(value, record_time_ms)
    assert not isinstance(event, Filtered), "it has a call"
    document = decode(value, strip_registry_prefix=settings.strip_registry_prefix)
    return explain(settings, document, event, orjson.loads(end.call.body))


def as_json(fields: "Sequence[Explained]") -> list[dict[str, Any]]:
    """The explanation in the JSON object of a record."""
    return [
        {"field": one.field, "value": one.value, "from": one.pointers, "settings": one.settings, "rule": one.rule}
        for one in fields
    ]


def print_table(where: str, end: DryEnd, fields: "Sequence[Explained]") -> None:
    """The explanation for people, below a line about the record."""
    why = ": ".join(filter(None, (end.reason, end.detail)))
    print(f"{where}: {end.outcome}{f' ({why})' if why else ''}")
    print_rows(
        [
            {
                "field": one.field,
                "value": _shown(one.value),
                "from": ", ".join((*one.pointers, *one.settings)) or "-",
                "rule": one.rule,
            }
            for one in fields
        ],
        "table",
    )


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
