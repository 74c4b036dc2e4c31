"""Gathers what is known of messageIds without their records: receipts, what instances have in hand, dead letters."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from streamer.core.audit import Partition, Place
from streamer.core.records.receipt_record import ReceiptBatch
from streamer.core.story import FoundReceipt
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.instances import NOT_STREAMER, Instances
from streamer.operations.proofs import FoundLetter, letters, proof_bounds, receipts
from streamer.operations.redrive import dead_letter_topics
from streamer.receipts import digest_of
from streamer.settings import Settings

Progress = Callable[[str, int, int], None]
"""Called with what is searched, how many records of it were read, and how many there are."""


@dataclass(slots=True)
class Known:
    """What is known of one messageId in one integration, before its record was read."""

    receipt: FoundReceipt | None = None
    open: list[Mapping[str, Any]] = field(default_factory=list)
    letters: list[tuple[FoundLetter, Place]] = field(default_factory=list)
    places: dict[Place, None] = field(default_factory=dict)
    """Of its records."""


class Gathering:
    """What one search has found so far, and where it has looked."""

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
        """Prepare; the arguments are those of `streamer.operations.trace.Tracer`."""
        self._settings = settings
        self._reader = reader
        self._instances = instances
        self._names = names
        self._since = since
        self._on_progress = on_progress
        self.known: dict[tuple[str, str], Known] = {}
        """By integration and messageId; that is empty where it cannot be read."""
        self.redriven: set[Place] = set()
        """Places in dead-letter topics."""
        self.looked: list[str] = []
        """Where was looked, in order."""
        self.unknown = list(instances.problems)
        """What could not be looked at, and why."""

    def reach_back_to(self, since: float) -> None:
        """Look for what is that old (seconds since the epoch), too."""
        self._since = min(self._since, since)

    def note(self, name: str, message_id: str) -> Known:
        """What is known of a messageId in an integration, to be added to."""
        return self.known.setdefault((name, message_id), Known())

    def counter(self, what: str, bounds: Mapping[Partition, tuple[int, int]]) -> Callable[[int], None]:
        """Counts records that are read, for the progress."""
        total, done = sum(end - first for first, end in bounds.values()), 0

        def note(records: int) -> None:
            nonlocal done
            done += records
            self._on_progress(what, done, total)

        return note

    async def ask_all(self, ids: Collection[tuple[str, str]], places: Collection[Place] = ()) -> None:
        """Look into receipts, instances and dead letters for these messageIds of integrations."""
        await self._read_receipts(ids)
        await self._ask_instances({message_id for _, message_id in ids})
        await self._read_letters(ids, places)

    async def _read_receipts(self, ids: Collection[tuple[str, str]]) -> None:
        topic = self._settings.receipts.topic
        if topic is None:
            self.unknown.append("receipts.topic is not set, so only running instances know of deliveries")
            return
        digests = {(name, digest_of(message_id)): message_id for name, message_id in ids}
        bounds = await proof_bounds(self._reader, [topic], self._since)
        note = self.counter("receipts", bounds)
        wanted = {digest for _, digest in digests}
        async with contextlib.aclosing(receipts(self._reader, bounds, note, wanted)) as batches:
            async for batch in batches:
                for offset, digest in zip(batch.offsets, batch.digests, strict=True):
                    message_id = digests.get((batch.integration, digest))
                    if message_id is not None:
                        self._take_receipt(batch, offset, message_id)
        self.looked.append(f"receipts in {topic}")

    def _take_receipt(self, batch: ReceiptBatch, offset: int, message_id: str) -> None:
        known, place = self.note(batch.integration, message_id), (batch.topic, batch.partition, offset)
        known.places[place] = None
        known.receipt = FoundReceipt(place=place, delivered_at=batch.delivered_at, instance=batch.instance, batch=batch)

    async def _ask_instances(self, ids: Iterable[str]) -> None:
        if not self._instances.addresses:
            self.unknown.append("no running instance was found")
            return
        for message_id in ids:
            for answer in await self._instances.get(f"/events/{quote(message_id, safe='')}"):
                if isinstance(answer.document, dict) and "events" in answer.document:
                    for event in answer.document["events"]:
                        self._take_event(event, answer.document["instance"])
                elif (text := f"{answer.instance} was asked: {answer.error or NOT_STREAMER}") not in self.unknown:
                    self.unknown.append(text)
        self.looked += [f"instance {address}" for address in self._instances.addresses]

    def _take_event(self, event: Mapping[str, Any], instance: str) -> None:
        if event["integration"] not in self._names:
            return
        known = self.note(event["integration"], event["message_id"])
        place = event["topic"], event["partition"], event["offset"]
        known.places[place] = None
        if event["state"] != "delivered":
            known.open.append({**event, "instance": instance})
        elif known.receipt is None:
            known.receipt = FoundReceipt(
                place=place, delivered_at=_seconds(event["delivered_at"]), instance=instance, batch=None
            )

    async def _read_letters(self, ids: Collection[tuple[str, str]], places: Collection[Place]) -> None:
        topics = dead_letter_topics(self._settings, self._names)
        bounds = await proof_bounds(self._reader, topics, self._since)
        async with contextlib.aclosing(letters(self._reader, bounds, self.counter("dead letters", bounds))) as found:
            async for letter in found:
                if not isinstance(letter, FoundLetter):
                    self.redriven.update(letter)
                    continue
                told = letter.told.letter
                is_wanted = (told.integration, told.message_id) in ids or letter.told.place in places
                if told.integration in self._names and is_wanted:
                    known = self.note(told.integration, told.message_id or "")
                    known.letters.append((letter, (letter.topic, letter.partition, letter.offset)))
                    if letter.told.place is not None:
                        known.places[letter.told.place] = None
        self.looked += [f"dead letters in {topic}" for topic in topics]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
