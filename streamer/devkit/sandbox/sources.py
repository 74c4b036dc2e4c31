"""Which Kafka records calls were made from, as whoever produced the records told the sandbox.

A call does not say where its record lies, and streamer sends Segment nothing that only a sandbox could use. So whoever
produces the records may tell the sandbox where they lie, before or after the calls arrive.
"""

from collections import OrderedDict
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streamer.core.model import MAX_CALL_BYTES, Json

MAX_SOURCES: Final = 20_000
"""Most messageIds of which the records are remembered."""

MAX_SOURCES_BYTES: Final = 16_000_000
"""Most bytes of the values of all records that are remembered, as compact JSON."""

MAX_RECORDS_AN_ID: Final = 5
"""Most records of one messageId: the latest that were told."""


class Source(BaseModel):
    """One record that became, or will become, a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: Annotated[str, Field(min_length=1, max_length=249)]
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    value: Json = None
    """The record's value, decoded; None: it was not told. One over Segment's limit for a call is not kept."""


class ToldSource(Source):
    """A record with the messageId that its call has."""

    message_id: Annotated[str, Field(alias="messageId", min_length=1, max_length=1_000)]


class SourcesError(ValueError):
    """A list of records cannot be used; the text says where and why, a line for each mistake."""


_TOLD: Final = TypeAdapter(list[ToldSource])


def read_sources(document: bytes) -> list[ToldSource]:
    """Read a list of ``{"messageId", "topic", "partition", "offset"}``, each with a ``value`` if that is known.

    Raises:
        SourcesError: it is not such a list.
    """
    try:
        return _TOLD.validate_json(document)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, fault['loc'])) or 'list'}: {fault['msg']}" for fault in error.errors())
        raise SourcesError("\n".join(lines)) from error


class Sources:
    """The records of the messageIds that were told latest."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        # messageId -> (topic, partition, offset, value as JSON or None) of each record, oldest first.
        self._records: OrderedDict[str, list[tuple[str, int, int, bytes | None]]] = OrderedDict()
        self._bytes = 0

    def tell(self, message_id: str, source: Source) -> None:
        """Remember a record; the messageIds that were told longest ago are forgotten for it."""
        place = (source.topic, source.partition, source.offset)
        value = _compact(source.value)
        told = self._records.setdefault(message_id, [])
        self._records.move_to_end(message_id)
        kept = [record for record in told if record[:3] != place][-MAX_RECORDS_AN_ID + 1 :]
        self._bytes -= _size(told)
        self._records[message_id] = [*kept, (*place, value)]
        self._bytes += _size(self._records[message_id])
        while len(self._records) > MAX_SOURCES or self._bytes > MAX_SOURCES_BYTES:
            _, forgotten = self._records.popitem(last=False)
            self._bytes -= _size(forgotten)

    def of(self, message_id: str | None) -> list[Source]:
        """The records of a messageId, in the order in which they were told."""
        told = self._records.get(message_id, []) if message_id else []
        return [
            Source.model_construct(
                topic=topic, partition=partition, offset=offset, value=None if value is None else orjson.loads(value)
            )
            for topic, partition, offset, value in told
        ]


def _compact(value: Any) -> bytes | None:
    if value is None:
        return None
    try:
        body = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
    return body if len(body) <= MAX_CALL_BYTES else None


def _size(records: list[tuple[str, int, int, bytes | None]]) -> int:
    return sum(len(value) for _, _, _, value in records if value)
