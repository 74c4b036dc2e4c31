"""Kafka in memory: topics, consumer groups and a writer of dead letters, without a broker and without waiting.

It does what `streamer.kafka` does as far as a pipeline relies on it; `tests/contract/test_kafka.py` holds it to the
real thing. Faults are switched on by attributes.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from streamer.core.dead_letters.letter import Refusal
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.dead_letters.topic_settings import TopicSettings, settings_for
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.core.records.group_member import GroupMember
from streamer.core.records.log_ends import LogEnds
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka import (
    CommitResult,
    DamagedError,
    EndsAnswer,
    LeftOutError,
    PositionsGoneError,
    RefusedWriteError,
    Salvaged,
    StoredPosition,
)
from streamer.kafka import TopicPartition as Place

Headers = Sequence[tuple[str, bytes | None]]

RETENTION_SECONDS: Final = 604_800.0

MAX_AHEAD_MS: Final = 3_600_000
"""How far ahead the time of a record may be: the broker's default of message.timestamp.after.max.ms."""


class MemoryRecord(NamedTuple):
    """A record as Kafka hands it out."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class Log:
    """One partition: its records, and where it begins and ends. Offsets without a record are holes."""

    first: int = 0
    end: int = 0
    open_from: int | None = None
    """Where an open transaction begins: nothing from there on is handed out."""
    has_leader: bool = True
    records: list[MemoryRecord] = field(default_factory=list)

    @property
    def last_stable(self) -> int:
        """Below it records are handed out."""
        return self.end if self.open_from is None else self.open_from


class MemoryCluster:
    """All topics and groups. Public attributes are its faults."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Log]] = {}
        self.groups: dict[str, Group] = {}
        self.is_away = False
        """Whether no broker answers."""
        self.is_frozen = False
        """Whether brokers take questions and never answer; records come no more either."""
        self.join_hangs = False
        """Whether a member that joins gets no assignment."""
        self.damaged: dict[Place, range] = {}
        """Offsets that cannot be read, not even at a second look, in one batch."""
        self.salvage_fails = False
        """Whether a second look at what cannot be read gets no answer."""
        self.leaderless: set[Place] = set()
        """Partitions that no broker leads."""
        self.forbidden: set[str] = set()
        """Topics that may be seen and not read."""
        self.max_record_bytes: dict[str, int] = {}
        """Longest value with key and headers that a topic takes; others take any."""
        self.compacted: set[str] = set()
        """Topics that take no record without a key."""
        self.max_age_ms: dict[str, int] = {}
        """How old the time of a record may be in a topic (message.timestamp.before.max.ms); others take any."""
        self.write_errors: deque[Exception] = deque()
        """How the next writes fail, instead of being stored."""
        self.commit_results: deque[CommitResult] = deque()
        """How the next commits end, instead of being stored."""
        self.closed: set[str] = set()
        """Topics whose positions the group may not store. Of a commit, those of other topics are stored."""
        self._arrived = asyncio.Event()

    def create(self, topic: str, partitions: int = 1) -> str:
        """Make a topic; returns its name."""
        self.logs[topic] = [Log() for _ in range(partitions)]
        self._announce()
        return topic

    def delete(self, topic: str) -> None:
        """Delete a topic with its records."""
        del self.logs[topic]

    def append(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> list[MemoryRecord]:
        """Write records."""
        log = self.logs[topic][partition]
        written = []
        for value in values:
            written.append(MemoryRecord(topic, partition, log.end, timestamp, key, value, headers))
            log.end += 1
        log.records += written
        self._announce()
        return written

    def leave_a_hole(self, place: Place, offsets: int = 1) -> None:
        """Markers of transactions: offsets without records."""
        self.logs[place.topic][place.partition].end += offsets
        self._announce()

    def begin_transaction(self, place: Place) -> None:
        """Hold back what is written from now on."""
        log = self.log(place)
        log.open_from = log.end

    def end_transaction(self, place: Place, *, is_committed: bool) -> None:
        """Hand out what was held back, or make holes of it; either way a marker follows."""
        log = self.log(place)
        assert log.open_from is not None, "there is an open transaction"
        if not is_committed:
            log.records = [record for record in log.records if record.offset < log.open_from]
        log.open_from = None
        self.leave_a_hole(place)

    def delete_records(self, place: Place, before: int) -> None:
        """Do as retention does."""
        log = self.logs[place.topic][place.partition]
        log.first = before
        log.records = [record for record in log.records if record.offset >= before]

    def log(self, place: Place) -> Log:
        """A partition."""
        found: Log = self.logs[place.topic][place.partition]
        return found

    def group(self, group_id: str) -> "Group":
        """A consumer group; made when first asked for."""
        return self.groups.setdefault(group_id, Group(self))

    async def answer(self) -> None:
        """A turn of the network.

        Raises:
            UnavailableError: the brokers are away.
        """
        await asyncio.sleep(0)
        if self.is_frozen:
            await asyncio.get_running_loop().create_future()
        if self.is_away:
            raise UnavailableError("no broker answers")

    async def something_arrives(self) -> None:
        """Wait until a record is written or a topic is made."""
        await self._arrived.wait()

    def _announce(self) -> None:
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()


class Group:
    """A consumer group: what it has stored, and its members."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.stored: dict[Place, StoredPosition] = {}
        self.members: list[MemorySource] = []
        self._cluster = cluster
        self._changing = asyncio.Lock()

    async def rebalance(self) -> None:
        """Take all partitions and give them out again, by range, as the eager protocol does."""
        async with self._changing:
            members = list(self.members)
            for member in members:
                member.is_stable.clear()
            for member in members:
                await member.revoke()
            for number, member in enumerate(members):
                member.assign(self._share(number, members, member.topics))

    def _share(self, number: int, members: Sequence["MemorySource"], topics: Sequence[str]) -> frozenset[Place]:
        share: set[Place] = set()
        for topic in topics:
            partitions = range(len(self._cluster.logs.get(topic, ())))
            each, more = divmod(len(partitions), len(members))
            begin = number * each + min(number, more)
            share |= {Place(topic, at) for at in partitions[begin : begin + each + (number < more)]}
        return frozenset(share)


class MemorySource:
    """A member of a group: a `streamer.pipeline.ports.RecordSource`."""

    def __init__(
        self,
        cluster: MemoryCluster,
        group: Group,
        topics: Sequence[str],
        on_assigned: Callable[[frozenset[Place]], None],
        on_revoked: Callable[[frozenset[Place]], Awaitable[None]],
    ) -> None:
        self.topics = topics
        self.is_stable = asyncio.Event()
        self.commits: list[Mapping[Place, tuple[int, str]]] = []
        """Every commit that was asked for."""
        self._cluster = cluster
        self._group = group
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._assigned: frozenset[Place] = frozenset()
        self._positions: dict[Place, int] = {}
        self._fetched_at: dict[Place, float] = {}
        self._held: set[Place] = set()

    async def join(self) -> None:
        await self._cluster.answer()
        if self._cluster.join_hangs:
            await asyncio.get_running_loop().create_future()
        self._group.members.append(self)
        await self._group.rebalance()

    async def leave(self) -> None:
        if self in self._group.members:
            self._group.members.remove(self)
            self._assigned = frozenset()
            if self._group.members:
                await self._group.rebalance()

    async def members(self, *, timeout_seconds: float) -> Sequence[GroupMember]:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._cluster.answer()
        except TimeoutError as error:
            raise UnavailableError("the coordinator does not answer") from error
        told = [
            GroupMember("streamer", "memory", len(member._assigned), is_this=member is self)
            for member in self._group.members
        ]
        return sorted(told, key=lambda member: not member.is_this)

    async def revoke(self) -> None:
        """Take what was given; called by the group."""
        await self._on_revoked(self._assigned)
        self._assigned = frozenset()

    def assign(self, partitions: frozenset[Place]) -> None:
        """Give partitions; called by the group."""
        self._assigned = partitions
        self._positions = {place: at for place, at in self._positions.items() if place in partitions}
        self._fetched_at.clear()
        self._held.clear()
        self._on_assigned(partitions)
        self.is_stable.set()

    async def poll(
        self, partitions: Collection[Place], *, max_records: int, timeout_seconds: float
    ) -> Mapping[Place, Sequence[Record]]:
        await self.is_stable.wait()
        await asyncio.sleep(0)
        readable = [place for place in partitions if place in self._assigned]
        taken = self._read(readable, max_records)
        if not taken and timeout_seconds:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._cluster.something_arrives()
            except TimeoutError:
                return {}
            taken = self._read([place for place in readable if place in self._assigned], max_records)
        return taken

    def _read(self, partitions: Sequence[Place], max_records: int) -> dict[Place, Sequence[Record]]:
        if self._cluster.is_away or self._cluster.is_frozen:
            return {}
        forbidden = [place for place in partitions if place.topic in self._cluster.forbidden]
        if forbidden:
            raise LeftOutError(forbidden, PartitionFault(Obstacle.NOT_AUTHORISED, "TopicAuthorizationFailedError"))
        partitions = [place for place in partitions if self._is_fetched(place)]
        gone = {place for place in partitions if not self._is_in_log(place)}
        if gone:
            raise PositionsGoneError(gone)
        taken: dict[Place, Sequence[Record]] = {}
        for place in partitions:
            self._fetched_at[place] = time.time()
            at, log = self._positions[place], self._cluster.log(place)
            end = self._end_of_sound(place, at)
            records = [record for record in log.records if at <= record.offset < end][:max_records]
            if records:
                taken[place] = records
                max_records -= len(records)
            self._positions[place] = records[-1].offset + 1 if records else max(at, end)
        damaged = [place for place in partitions if self._positions[place] in self._cluster.damaged.get(place, ())]
        if damaged and not taken:
            raise DamagedError(damaged)
        return taken

    def _end_of_sound(self, place: Place, at: int) -> int:
        """Where the log ends, or what follows cannot be read."""
        end, damaged = self._cluster.log(place).last_stable, self._cluster.damaged.get(place)
        return end if damaged is None or damaged.stop <= at else max(damaged.start, at)

    async def salvage(self, partition: Place, offset: int, *, max_records: int) -> Salvaged | PartitionFault:
        assert max_records
        await asyncio.sleep(0)
        if self._cluster.is_away or self._cluster.salvage_fails:
            return PartitionFault(Obstacle.NO_LEADER, "no broker answers")
        damaged = self._cluster.damaged.get(partition, range(0))
        if offset in damaged:
            why = "the batch is damaged: its checksum is wrong"
            return Salvaged(next_offset=damaged.stop, unreadable=why, timestamp=1_700_000_000_000)
        return Salvaged(next_offset=offset)

    def _is_fetched(self, place: Place) -> bool:
        return place in self._positions and place not in self._held and self.fault(place) is None

    def _is_in_log(self, place: Place) -> bool:
        if place.topic not in self._cluster.logs or place not in self._positions:
            return True
        log = self._cluster.log(place)
        return log.first <= self._positions[place] <= log.end

    async def stored_positions(self, partitions: Collection[Place]) -> Mapping[Place, StoredPosition | PartitionFault]:
        await self._cluster.answer()
        return {place: self._group.stored.get(place, StoredPosition(None, "")) for place in partitions}

    def partitions_of(self, topic: str) -> Collection[Place]:
        return [Place(topic, number) for number in range(len(self._cluster.logs.get(topic, ())))]

    async def log_ends(self, partitions: Collection[Place], *, timeout_seconds: float) -> EndsAnswer:
        logs = self._cluster.logs
        partitions = partitions or [Place(topic, at) for topic in self.topics for at in range(len(logs.get(topic, ())))]
        ends = {}
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._cluster.answer()
        except (TimeoutError, UnavailableError) as error:
            return EndsAnswer({}, dict.fromkeys(partitions, str(error) or "no answer in time"), heard_at=None)
        faults = {}
        for place in partitions:
            if self.fault(place) is None:
                log = self._cluster.log(place)
                ends[place] = LogEnds(log.end, log.last_stable)
            else:
                faults[place] = "LeaderNotAvailableError"
        return EndsAnswer(ends, faults, heard_at=time.monotonic() if ends else None)

    async def timestamp_at(self, partition: Place, offset: int, *, timeout_seconds: float) -> int | None:
        with contextlib.suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(timeout_seconds):
                await self._cluster.answer()
            records = self._cluster.log(partition).records
            return next((record.timestamp for record in records if record.offset >= offset), None)
        return None

    async def log_bounds(self, partitions: Collection[Place]) -> Mapping[Place, tuple[int, int] | PartitionFault]:
        await asyncio.sleep(0)
        if self._cluster.is_away or self._cluster.is_frozen:
            return dict.fromkeys(partitions, PartitionFault(Obstacle.NO_LEADER, "no broker answers"))
        return {
            place: self.fault(place) or (self._cluster.log(place).first, self._cluster.log(place).end)
            for place in partitions
        }

    async def offset_at(self, partition: Place, epoch_ms: int) -> int | None:
        await self._cluster.answer()
        records = self._cluster.log(partition).records
        return next((record.offset for record in records if record.timestamp >= epoch_ms), None)

    async def position(self, partition: Place) -> int | None:
        await asyncio.sleep(0)
        return self._positions.get(partition)

    async def commit(self, positions: Mapping[Place, tuple[int, str]]) -> CommitResult:
        return await self._commit(positions, is_for_group=False)

    async def store_begins(self, begins: Mapping[Place, int]) -> CommitResult:
        return await self._commit({place: (begin, "") for place, begin in begins.items()}, is_for_group=True)

    async def _commit(self, positions: Mapping[Place, tuple[int, str]], *, is_for_group: bool) -> CommitResult:
        self.commits.append(positions)
        await asyncio.sleep(0)
        if self._cluster.commit_results:
            return self._cluster.commit_results.popleft()
        if self._cluster.is_away or self._cluster.is_frozen:
            return CommitResult.TIMED_OUT
        forbidden = {place.topic for place in positions} & (self._cluster.forbidden | self._cluster.closed)
        for place, (offset, metadata) in positions.items():
            if (place in self._assigned or is_for_group) and place.topic not in forbidden:
                self._group.stored[place] = StoredPosition(offset, metadata)
        return CommitResult.NOT_AUTHORISED if forbidden else CommitResult.STORED

    def seek(self, partition: Place, offset: int) -> None:
        if partition in self._assigned:
            self._positions[partition] = offset
            self._held.discard(partition)

    def leave_out(self, partition: Place) -> None:
        self._held.add(partition)

    def fault(self, partition: Place) -> PartitionFault | None:
        if partition.topic not in self._cluster.logs:
            return PartitionFault(Obstacle.TOPIC_MISSING, "UnknownTopicOrPartitionError")
        if partition in self._cluster.leaderless or not self._cluster.log(partition).has_leader:
            return PartitionFault(Obstacle.NO_LEADER, "no broker leads the partition")
        return None

    def missing_topics(self) -> Sequence[str]:
        return [topic for topic in self.topics if topic not in self._cluster.logs]

    def gone(self, partitions: Collection[Place]) -> Sequence[Place]:
        return [place for place in partitions if place.topic not in self._cluster.logs]

    def look_for_topics(self) -> None:
        """What is missing is known at once here."""

    def fetched_at(self, partition: Place) -> float | None:
        return self._fetched_at.get(partition) if partition in self._assigned else None

    def has_fetched(self, partition: Place) -> bool:
        at = self._positions.get(partition)
        return at is not None and partition in self._fetched_at and self._cluster.log(partition).end > at


class MemoryWriter:
    """Writes dead letters: a `streamer.pipeline.ports.LetterWriter`."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._is_started = False

    async def start(self) -> None:
        await self._cluster.answer()
        self._is_started = True

    async def stop(self) -> None:
        self._is_started = False

    async def write(self, topic: str, record: Record, headers: Headers, *, timeout_seconds: float) -> None:
        assert timeout_seconds > 0
        if not self._is_started:
            raise UnavailableError("not connected")
        await self._cluster.answer()
        if topic not in self._cluster.logs:
            raise UnavailableError("UnknownTopicOrPartitionError")
        if self._cluster.write_errors:
            raise self._cluster.write_errors.popleft()
        value = record.value
        if value is None and record.key is None:
            value, headers = b"", [*headers, ("streamer.value.null", b"1")]
        now = int(time.time() * 1000)
        timestamp = record.timestamp if record.timestamp >= 0 else now
        # The client encodes the names as UTF-8, and so raises what this raises.
        size = len(value or b"") + len(record.key or b"") + sum(len(n.encode()) + len(t or b"") for n, t in headers)
        if size > self._cluster.max_record_bytes.get(topic, size):
            raise RefusedWriteError(Refusal.TOO_LARGE, "MessageSizeTooLargeError")
        if topic in self._cluster.compacted and record.key is None:
            raise RefusedWriteError(Refusal.UNCLEAR, "UnknownError")
        if now - timestamp > self._cluster.max_age_ms.get(topic, now) or timestamp > now + MAX_AHEAD_MS:
            raise RefusedWriteError(Refusal.TIME, "InvalidTimestampError")
        partitions = len(self._cluster.logs[topic])
        self._cluster.append(
            topic,
            [value],
            partition=record.partition if record.partition < partitions else 0,
            key=record.key,
            headers=[(name, None if text is None else memoryview(text).tobytes()) for name, text in headers],
            timestamp=timestamp,
        )


class MemoryPublisher:
    """Writes records of webhooks' calls, as `streamer.kafka.Publisher` does."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self.published: list[Sequence[OutgoingRecord]] = []
        """What was asked for, request by request, whether it was written or not."""

    async def publish(self, records: Sequence[OutgoingRecord], *, timeout_seconds: float) -> list[OutgoingRecord]:
        self.published.append(list(records))
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._cluster.answer()
        except TimeoutError as error:
            raise UnavailableError("not confirmed in time") from error
        if self._cluster.write_errors:
            raise self._cluster.write_errors.popleft()
        for topic in dict.fromkeys(record.topic for record in records):
            if topic not in self._cluster.logs:
                raise UnavailableError("UnknownTopicOrPartitionError")
        return [record for record in records if not self._write(record)]

    def _write(self, record: OutgoingRecord) -> bool:
        size = len(record.value or b"") + len(record.key or b"")
        size += sum(len(name.encode()) + len(text or b"") for name, text in record.headers)
        if size > self._cluster.max_record_bytes.get(record.topic, size):
            return False
        partition = sum(record.key or b"") % len(self._cluster.logs[record.topic])
        self._cluster.append(
            record.topic,
            [record.value],
            partition=partition,
            key=record.key,
            headers=list(record.headers),
            timestamp=record.timestamp,
        )
        return True


class MemoryBrokers:
    """The way in: a `streamer.pipeline.ports.Brokers`. Notes the sources it has made."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.sources: list[MemorySource] = []

    async def preflight(self) -> None:
        await self.cluster.answer()

    async def missing_topics(self, topics: Collection[str]) -> Sequence[str]:
        await self.cluster.answer()
        return sorted(set(topics) - self.cluster.logs.keys())

    async def create_dead_letter_topic(self, topic: str, *, sources: Collection[str]) -> TopicSettings | None:
        await self.cluster.answer()
        if topic in self.cluster.logs:
            return None
        known = [
            TopicSettings(topic=source, partitions=len(self.cluster.logs[source]), replicas=1, values=None)
            for source in sources
        ]
        settings = settings_for(topic, known)
        self.cluster.create(topic, settings.partitions)
        return settings

    async def retention_seconds(self, topics: Collection[str]) -> Mapping[str, float]:
        await self.cluster.answer()
        return dict.fromkeys(topics, RETENTION_SECONDS)

    def writer(self) -> MemoryWriter:
        return MemoryWriter(self.cluster)

    def source(
        self,
        *,
        group_id: str,
        topics: Sequence[str],
        on_assigned: Callable[[frozenset[Place]], None],
        on_revoked: Callable[[frozenset[Place]], Awaitable[None]],
    ) -> MemorySource:
        source = MemorySource(self.cluster, self.cluster.group(group_id), topics, on_assigned, on_revoked)
        self.sources.append(source)
        return source
