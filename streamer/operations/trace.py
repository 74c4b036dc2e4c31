"""Finds events, and puts their stories together from what Kafka and running instances know.

Likely places first: the topic of receipts, the instances, the dead-letter topics. Only if none of them knows the event
are the source topics searched, the newest records first. Each place that was looked at, and each that could not be, is
noted: "no such event" means nothing without it.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamer.core.audit import NOTHING_STORED, Partition, Place, Stored
from streamer.core.model import Record
from streamer.core.pushing import new_mapper
from streamer.core.seeking import Seeker, meaning_of, newest_first
from streamer.core.story import KnownLetter, SeenRecord, Story
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.gathering import Gathering, Known, Progress
from streamer.operations.instances import Instances
from streamer.operations.proofs import record_at
from streamer.operations.stored import stored_by
from streamer.settings import Settings

MAX_EVENTS: Final = 20
"""Most events of one person that are told of: the newest."""


@dataclass(slots=True)
class Trace:
    """What was found, and where was looked."""

    stories: list[Story] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    """Where was looked, in order."""
    unknown: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""


class Tracer:
    """One search."""

    def __init__(
        self,
        settings: Settings,
        reader: TopicReader,
        instances: Instances,
        names: Sequence[str],
        *,
        since: float,
        on_progress: Progress,
    ) -> None:
        """Prepare.

        Args:
            settings: the whole configuration.
            reader: connected.
            instances: who may know of the event.
            names: of the integrations to search.
            since: only records of this time or later, in seconds since the epoch.
            on_progress: told of the progress.
        """
        self._settings = settings
        self._reader = reader
        self._names = names
        self._since = since
        self._bounds: dict[str, Mapping[Partition, tuple[int, int]]] = {}
        self._stored: dict[tuple[str, Partition], Stored] = {}
        self._found = Gathering(settings, reader, instances, names, since=since, on_progress=on_progress)

    async def by_message_id(self, message_id: str, *, is_thorough: bool = False) -> Trace:
        """The stories of a messageId, as its producer knows it or as it was sent.

        Args:
            message_id: of the event.
            is_thorough: whether the source topics are searched to their end, for copies of it.

        Raises:
            UnavailableError: the brokers cannot be asked, or a record cannot be read.
        """
        ids = {
            (name, found)
            for name in self._names
            for found in Seeker(self._settings.mapping(name), message_id=message_id).message_ids
        }
        await self._found.ask_all(ids)
        if is_thorough or not self._found.known:
            seekers = {name: Seeker(self._settings.mapping(name), message_id=message_id) for name in self._names}
            await self._search(seekers, 0 if is_thorough else 1)
        return await self._tell()

    async def by_place(self, place: Place) -> Trace:
        """The stories of the record at a place.

        Raises:
            UnavailableError: the brokers cannot be asked, or the record cannot be read.
        """
        readers, record = self._readers_of(place[0]), await self._record(place)
        if record is not None:
            self._found.reach_back_to(record.timestamp / 1000)
        if record is not None or place[2] < (await self._bounds_of(place[:2]))[0]:
            for name in readers:
                message_id = None if record is None else _message_id(self._settings, name, record)
                self._found.note(name, message_id or "").places[place] = None
        self._found.looked.append(f"the record {place[0]}:{place[1]}:{place[2]}")
        if not readers:
            self._found.unknown.append(f"no integration reads the topic {place[0]}")
        await self._found.ask_all({key for key in self._found.known if key[1]}, places={place})
        return await self._tell()

    async def by_user_id(self, user_id: str) -> Trace:
        """The stories of the newest events of a person, by user id or anonymous id.

        Raises:
            UnavailableError: the brokers cannot be asked, or a record cannot be read.
        """
        seekers = {name: Seeker(self._settings.mapping(name), user_id=user_id) for name in self._names}
        await self._search(seekers, MAX_EVENTS)
        await self._found.ask_all(set(self._found.known))
        return await self._tell()

    async def _search(self, seekers: Mapping[str, Seeker], enough: int) -> None:
        """Search the source topics, the newest records first, until so many were found; 0: all of them."""
        by_topic: dict[str, list[tuple[str, Seeker]]] = {}
        for name, seeker in seekers.items():
            if seeker.can_match:
                for topic in self._settings.integrations[name].topics:
                    by_topic.setdefault(topic, []).append((name, seeker))
        bounds = await self._reader.bounds_between(by_topic, self._since, None) if by_topic else {}
        note, found = self._found.counter("records", bounds), set[Place]()
        for place, span in newest_first(bounds):
            async with contextlib.aclosing(self._reader.read({place: span})) as polls:
                async for records in polls:
                    for record in records:
                        for name, seeker in by_topic[record.topic]:
                            message_id = seeker.matches(record)
                            if message_id is not None:
                                at = record.topic, record.partition, record.offset
                                self._found.note(name, message_id).places[at] = None
                                found.add(at)
                    note(len(records))
            if enough and len(found) >= enough:
                break
        self._found.looked += [f"records in {topic}" for topic in sorted({topic for topic, _ in bounds})]

    async def _tell(self) -> Trace:
        """Read the records that were found, and what their groups have stored, and make the stories."""
        found = self._found
        told = {(name, place) for (name, _), known in found.known.items() for place in known.places}
        for name, place in list(told):
            message_id = next(own for (at, own), known in found.known.items() if at == name and place in known.places)
            for other in self._readers_of(place[0]):
                if (other, place) not in told:  # whoever reads the topic has a story of it as well
                    found.note(other, message_id).places[place] = None
        stories: list[Story] = []
        for (name, message_id), known in found.known.items():
            places: list[Place | None] = [*known.places] or [None]
            stories += [await self._story(name, message_id, known, place) for place in places]
        return Trace(stories, found.looked, found.unknown)

    async def _story(self, name: str, message_id: str, known: Known, place: Place | None) -> Story:
        record = None if place is None else await self._record(place)
        stored, log_start = NOTHING_STORED, 0
        if place is not None:
            log_start, _ = await self._bounds_of(place[:2])
            stored = await self._stored_for(name, place[:2])
        return Story(
            integration=name,
            message_id=message_id or None,
            place=place,
            record=None if record is None or place is None else SeenRecord(place=place, time=record.timestamp / 1000),
            meaning=None if record is None else meaning_of(new_mapper(self._settings.mapping(name)), record),
            receipt=known.receipt,
            open=[event for event in known.open if (event["topic"], event["partition"], event["offset"]) == place],
            letters=[
                KnownLetter(told=letter.told, place=at, is_redriven=at in self._found.redriven)
                for letter, at in known.letters
                if letter.told.place in {None, place}
            ],
            stored=stored,
            log_start=log_start,
        )

    async def _record(self, place: Place) -> Record | None:
        """The record at a place; None: it is not there any more, or was never there."""
        topic, partition, offset = place
        first, end = await self._bounds_of((topic, partition))
        if not first <= offset < end:
            return None
        record = await record_at(self._reader, (topic, partition), offset, offset + 1)
        return record if record is not None and record.offset == offset else None

    async def _bounds_of(self, partition: Partition) -> tuple[int, int]:
        """The bounds of a partition, asked once for each topic; (0, 0): there is no such partition."""
        topic = partition[0]
        if topic not in self._bounds:
            self._bounds[topic] = await self._reader.bounds([topic])
        return self._bounds[topic].get(partition, (0, 0))

    async def _stored_for(self, name: str, partition: Partition) -> Stored:
        """What the group of an integration has stored for a partition, asked once."""
        if (name, partition) not in self._stored:
            self._stored[name, partition] = (await stored_by(self._settings, name, [partition]))[partition]
        return self._stored[name, partition]

    def _readers_of(self, topic: str) -> list[str]:
        return [name for name in self._names if topic in self._settings.integrations[name].topics]


def _message_id(settings: Settings, name: str, record: Record) -> str | None:
    """The messageId of a record, as far as it can be read."""
    return Seeker(settings.mapping(name)).message_id_of(record)
