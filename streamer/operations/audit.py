"""Audits a range of records: reads what a running streamer leaves behind, and has `streamer.core.audit` judge it.

The order matters: positions first, then receipts and dead letters, then the records. Whatever was settled when the
positions were read had its proof by then, so a streamer that runs meanwhile makes no false alarm.

The receipts of running instances are asked for only where nothing else proves a delivery, 200 at a time.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from streamer.core.audit import (
    Auditor,
    Evidence,
    Fate,
    Knowledge,
    Partition,
    Place,
    Stored,
    Tally,
    Unproved,
    complete_since,
)
from streamer.core.errors import RecordError
from streamer.core.mapping.naming import message_id_of
from streamer.core.model import DeadLetterReason, Filtered, Record
from streamer.core.pushing import new_mapper
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.instances import NOT_STREAMER, Instances
from streamer.operations.proofs import FoundLetter, letters, oldest_of, proof_bounds, receipts
from streamer.operations.redrive import dead_letter_topics
from streamer.operations.stored import stored_by
from streamer.pipeline.intake import MapsRecords
from streamer.receipts import digest_of
from streamer.settings import Settings

MAX_ASKED: Final = 200
"""Most receipts asked for in one question."""

Progress = Callable[[int, int], None]
"""Called with how many records were read, and how many there are in all."""


@dataclass(slots=True)
class Audit:
    """The result for one integration."""

    tally: Tally = field(default_factory=Tally)
    deleted_unread: list[tuple[Partition, range]] = field(default_factory=list)
    """Offsets that retention deleted before they were settled: their records are lost."""

    @property
    def is_clean(self) -> bool:
        """Whether no record is lost or unaccounted."""
        return not self.tally.unaccounted and not self.deleted_unread


@dataclass(slots=True)
class Result:
    """The results of all integrations, and what could not be known."""

    audits: dict[str, Audit] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class _Waiting(NamedTuple):
    """A settled record that nothing proves yet; instances may have its receipt."""

    unproved: Unproved
    fate: Fate


@dataclass(slots=True)
class _Since:
    """Since when the receipts of the instances are complete, in seconds since the epoch; infinity: not known.

    Each has those of what it delivered itself: complete for a partition since it got that. If it is the only one, its
    disk is taken to have those of all that was delivered, also before its last restart.
    """

    all: float = math.inf
    partitions: dict[Partition, float] = field(default_factory=dict)

    def of(self, partition: Partition) -> float:
        return min(self.all, self.partitions.get(partition, math.inf))


async def audit(
    settings: Settings,
    reader: TopicReader,
    instances: Instances,
    names: Sequence[str],
    *,
    since: float,
    until: float,
    on_progress: Progress,
) -> Result:
    """Audit the records of a range of time.

    Args:
        settings: the whole configuration.
        reader: connected.
        instances: who may have receipts.
        names: the integrations to audit.
        since: seconds since the epoch; the broker's time of the records.
        until: not included.
        on_progress: told of the progress.

    Raises:
        UnavailableError: the brokers cannot be asked, or a record cannot be read.
    """
    return await _Auditing(settings, reader, instances, names, on_progress).run(since, until)


class _Auditing:
    """One run."""

    def __init__(
        self, settings: Settings, reader: TopicReader, instances: Instances, names: Sequence[str], progress: Progress
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._instances = instances
        self._names = names
        self._on_progress = progress
        self._done = self._total = 0
        self._evidence = {name: Evidence() for name in names}
        self._result = Result({name: Audit() for name in names})
        self._receipts_since = math.inf
        self._letters_since = -math.inf
        self._instances_since = _Since()

    async def run(self, since: float, until: float) -> Result:
        settings, reader = self._settings, self._reader
        topics = {topic for name in self._names for topic in settings.integrations[name].topics}
        bounds = await reader.bounds_between(topics, since, until)
        starts = {place: first for place, (first, _) in (await reader.bounds(topics)).items()}
        missing = topics - {topic for topic, _ in bounds}
        self._result.remarks += [f"the topic {topic} does not exist" for topic in sorted(missing)]
        self._result.remarks += self._instances.problems
        if not self._instances.addresses:
            self._result.remarks.append("no running instance was found, so none was asked for receipts")
        stored = {
            name: await stored_by(settings, name, [at for at in bounds if at[0] in settings.integrations[name].topics])
            for name in self._names
        }
        for name, positions in stored.items():
            self._result.audits[name].deleted_unread = [
                (place, span) for place, one in positions.items() for span in one.deleted_unread(starts[place])
            ]
        self._total = sum(end - first for first, end in bounds.values())
        await self._read_proofs(since)
        for name in self._names:
            await self._judge_all(name, stored[name], bounds)
        return self._result

    async def _read_proofs(self, since: float) -> None:
        """Read receipts and dead letters of records of this time and later."""
        settings, reader = self._settings, self._reader
        letter_topics = dead_letter_topics(settings, self._names)
        receipt_topics = [settings.receipts.topic] if settings.receipts.topic else []
        letter_bounds = await proof_bounds(reader, letter_topics, since)
        receipt_bounds = await proof_bounds(reader, receipt_topics, since)
        self._total += sum(end - first for each in (letter_bounds, receipt_bounds) for first, end in each.values())
        self._letters_since = complete_since(await oldest_of(reader, letter_topics), from_first=False)
        self._receipts_since = complete_since(await oldest_of(reader, receipt_topics), from_first=True)
        async with contextlib.aclosing(receipts(reader, receipt_bounds, self._note)) as batches:
            async for batch in batches:
                if batch.integration in self._evidence:
                    evidence = self._evidence[batch.integration]
                    evidence.add_receipts((batch.topic, batch.partition), batch.offsets, batch.digests)
        async with contextlib.aclosing(letters(reader, letter_bounds, self._note)) as found:
            async for letter in found:
                self._take_letter(letter)

    def _take_letter(self, letter: FoundLetter | Sequence[Place]) -> None:
        if not isinstance(letter, FoundLetter):
            return
        evidence, place = self._evidence.get(letter.told.letter.integration), letter.told.place
        if evidence is not None and place is not None:
            evidence.add_letter(place)

    async def _judge_all(
        self, name: str, stored: Mapping[Partition, Stored], bounds: Mapping[Partition, tuple[int, int]]
    ) -> None:
        """Judge the records of one integration."""
        mapper = new_mapper(self._settings.mapping(name))
        auditor = Auditor(stored, self._evidence[name])
        tally, waiting = self._result.audits[name].tally, list[_Waiting]()
        known = Knowledge(
            letters_since=self._letters_since,
            has_receipts=not mapper.keeps_latest,
            starts_at=_start(self._settings.integrations[name].start),
        )
        own = {place: span for place, span in bounds.items() if place in stored}
        async with contextlib.aclosing(self._reader.read(own)) as polls:
            async for records in polls:
                for record in records:
                    place = record.topic, record.partition, record.offset
                    fate, message_id = fate_of(mapper, record)
                    end = auditor.judge(place, fate)
                    if end is None:
                        waiting.append(_Waiting(Unproved(place, message_id, record.timestamp / 1000), fate))
                    else:
                        tally.add((record.topic, record.partition), end)
                while len(waiting) >= MAX_ASKED:
                    await self._ask(name, waiting[:MAX_ASKED])
                    self._end(waiting[:MAX_ASKED], auditor, tally, known)
                    del waiting[:MAX_ASKED]
                self._note(len(records))
        if waiting:
            await self._ask(name, waiting)
            self._end(waiting, auditor, tally, known)

    async def _ask(self, name: str, waiting: Sequence[_Waiting]) -> None:
        """Ask the instances for receipts of records, at most `MAX_ASKED`."""
        digests = [entry.fate for entry in waiting if isinstance(entry.fate, bytes)]
        if not digests or not self._instances.addresses:
            return
        answers = await self._instances.get(
            f"/receipts/{name}", {"digests": ",".join(digest.hex() for digest in digests)}
        )
        known = self._instances_since = _Since()
        for answer in answers:
            if not (isinstance(answer.document, dict) and "receipts" in answer.document):
                self._remark(f"{answer.instance} was asked for receipts: {answer.error or NOT_STREAMER}")
                continue
            for digest, place in answer.document["receipts"].items():
                self._evidence[name].add_receipts(
                    (place["topic"], place["partition"]), [place["offset"]], [bytes.fromhex(digest)]
                )
            for one in answer.document["partitions"]:
                known.partitions[one["topic"], one["partition"]] = one["known_since"]
            if len(answers) == 1 and not self._instances.problems:
                known.all = answer.document["known_since"]

    def _end(self, waiting: Sequence[_Waiting], auditor: Auditor, tally: Tally, known: Knowledge) -> None:
        """Judge again, now that everybody was asked."""
        for unproved, fate in waiting:
            end = auditor.judge(unproved.place, fate)
            if end is None:
                since = min(self._receipts_since, self._instances_since.of(unproved.place[:2]))
                known = dataclasses.replace(known, receipts_since=since)
                doubt = auditor.doubt(unproved.place, unproved.record_time, fate, known)
                tally.add_unproved(unproved, doubt)
            else:
                tally.add(unproved.place[:2], end)

    def _remark(self, text: str) -> None:
        if text not in self._result.remarks:
            self._result.remarks.append(text)

    def _note(self, records: int) -> None:
        self._done += records
        self._on_progress(self._done, self._total)


def fate_of(mapper: MapsRecords, record: Record) -> tuple[Fate, str | None]:
    """What the mapping makes of a record, and its messageId as far as it can be read."""
    try:
        call = mapper.map(record.value, record.timestamp, record.headers, record.key)
    except RecordError as error:
        return error.reason, message_id_of(error)
    except Exception as error:  # noqa: BLE001 - a bug of ours on one record: the service dead-letters it as well
        return DeadLetterReason.INTERNAL_ERROR, message_id_of(error)
    if isinstance(call, Filtered):
        return call.reason, None
    return digest_of(call.message_id), call.message_id


def _start(start: str | datetime) -> float:
    """Since when a new group reads, in seconds since the epoch; infinity: since it first ran."""
    if isinstance(start, datetime):
        return start.timestamp()
    return math.inf if start == "latest" else -math.inf
