"""Looks for an event among the records of one integration: by its messageId, or by the id of its person.

Mapping a record takes some 20 microseconds, so records that cannot be the one are passed over by a look at their bytes
where that is certain. JSON text without a backslash has each string in it as it is, so an id that stands in a string
stands in the bytes as well. An id of digits may come from a number, which JSON can write in many ways; and a derived id
stands nowhere: these records are mapped.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

import orjson

from streamer.core.audit import Partition
from streamer.core.errors import RecordError
from streamer.core.mapping import Mapper
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.mapping.naming import message_id_of
from streamer.core.model import DeadLetterReason, Filtered, MappingSettings, Outcome, Record
from streamer.core.pushing import PUSHES, new_mapper
from streamer.core.pushing.profiles import ProfileMapper
from streamer.core.pushing.triggers import TriggerMapper
from streamer.core.story import Meaning

CHUNK_RECORDS: Final = 50_000
"""So many offsets of a partition are searched before it is the next one's turn."""

_DERIVED: Final = re.compile(r"[a-z]+_[0-9a-f]{40}")
_NUMBER: Final = re.compile(r"-?[0-9]+")


class Seeker:
    """Tells which records of one integration are the ones that are looked for."""

    def __init__(self, settings: MappingSettings, *, message_id: str | None = None, user_id: str | None = None) -> None:
        """Prepare.

        Args:
            settings: of the integration.
            message_id: as the producer knows it, or with the suffix, as it is sent.
            user_id: of the person, or their anonymous id.
        """
        # Discarded records are looked for, too.
        self._mapper = new_mapper(replace(settings, discard=False))
        self._user_id = user_id
        suffix = settings.message_id_suffix
        ids = set() if message_id is None else {message_id + suffix, message_id}
        self.message_ids: Collection[str] = ids
        """The messageIds, as they are sent, that are looked for."""
        own_ids = {found.removesuffix(suffix) for found in ids}
        self.can_match = user_id is None or settings.kind == "segment"
        """Whether any record of the integration can be the one."""
        self._needles: tuple[bytes, ...] | None = None
        if user_id is not None:
            self._needles = None if _NUMBER.fullmatch(user_id) else (user_id.encode(),)
        elif _is_native(settings.dialect):
            self._needles = tuple(found.encode(errors="surrogatepass") for found in own_ids)
        else:
            self.can_match = any(_DERIVED.fullmatch(found) for found in own_ids)

    def matches(self, record: Record) -> str | None:
        """The messageId of a record that is looked for, "" if it has none; None: it is another one."""
        value, needles = record.value, self._needles
        if value is None:
            return None
        if needles is not None and b"\\" not in value and not any(needle in value for needle in needles):
            return None
        if self._user_id is not None:
            return self._of_user(record)
        message_id = self.message_id_of(record)
        return message_id if message_id in self.message_ids else None

    def message_id_of(self, record: Record) -> str | None:
        """The messageId of a record, as far as it can be read; None: it has none."""
        mapper = self._mapper
        try:
            if isinstance(mapper, Mapper):
                event = mapper.read(record.value, record.timestamp, record.headers)
                return None if isinstance(event, Filtered) else mapper.message_id_of(event)
            call = mapper.map(record.value, record.timestamp, record.headers, record.key)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, it is not the search
            return message_id_of(error)
        return None if isinstance(call, Filtered) else call.message_id

    def _of_user(self, record: Record) -> str | None:
        try:
            call = self._mapper.map(record.value, record.timestamp, record.headers, record.key)
        except Exception:  # noqa: BLE001 - see above; its call would name the person
            return None
        if isinstance(call, Filtered):
            return None
        sent = orjson.loads(call.body)
        return call.message_id if self._user_id in {sent.get("userId"), sent.get("anonymousId")} else None


def _is_native(dialect: str) -> bool:
    """Whether the records of a dialect bring their messageIds along, as strings."""
    known = DIALECTS.get(dialect)
    return known.message_id_key is not None if known is not None else dialect in PUSHES and dialect != "profiles"


def newest_first(bounds: Mapping[Partition, tuple[int, int]]) -> Iterator[tuple[Partition, tuple[int, int]]]:
    """Pieces of all partitions, from their ends on, in turns."""
    ends = {place: end for place, (first, end) in bounds.items() if end > first}
    while ends:
        for place, end in list(ends.items()):
            first = max(bounds[place][0], end - CHUNK_RECORDS)
            yield place, (first, end)
            if first > bounds[place][0]:
                ends[place] = first
            else:
                del ends[place]


def meaning_of(mapper: Mapper | ProfileMapper | TriggerMapper, record: Record) -> Meaning:
    """What the configuration makes of a record; a bug of ours on it is treated as the service does."""
    try:
        call = mapper.map(record.value, record.timestamp, record.headers, record.key)
    except RecordError as error:
        return Meaning(outcome=Outcome.DEAD_LETTERED, reason=error.reason, detail=error.detail, call=None)
    except Exception as error:  # noqa: BLE001 - see above
        reason = DeadLetterReason.INTERNAL_ERROR
        return Meaning(outcome=Outcome.DEAD_LETTERED, reason=reason, detail=type(error).__name__, call=None)
    if isinstance(call, Filtered):
        return Meaning(outcome=Outcome.FILTERED, reason=call.reason, detail=None, call=None)
    return Meaning(outcome=Outcome.DELIVERED, reason=None, detail=None, call=orjson.loads(call.body))
