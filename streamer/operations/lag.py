"""Asks Kafka how far consumer groups are behind; no instance of streamer has to run for it."""

import contextlib
from collections.abc import Callable, Collection
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.records.group_member import GroupMember
from streamer.core.records.lag import GroupLag, PartitionLag, partition_lag
from streamer.kafka.cluster import retention_seconds
from streamer.kafka.members import members_of
from streamer.kafka.stored_positions import stored_positions
from streamer.kafka.topic_reader import Bounds, TopicReader
from streamer.settings import KafkaSettings, Settings
from streamer.settings.inbound import INBOUND

MAX_STALL_SECONDS: Final = 10.0
"""Longest wait for the oldest record of a partition; without it, its age is not known."""

_Group = tuple[str, str, Collection[str]]
"""Integration (empty: none in the configuration), group, topics."""


def groups_of(settings: Settings, integrations: Collection[str], group_ids: Collection[str]) -> list[_Group]:
    """The groups that are meant: those of some integrations (of all if none is named), and others by name.

    Of a group that no integration of the configuration has, the positions in all its topics are asked for.
    """
    known: list[_Group] = [(name, one.group_id, one.topics) for name, one in settings.integrations.items()]
    if settings.inbound is not None:
        known.append((INBOUND, settings.inbound.group_id, [settings.inbound.topic]))
    others = sorted(set(group_ids) - {group for _, group, _ in known})
    topics = sorted({topic for _, _, of_group in known for topic in of_group})
    return [
        *(one for one in known if one[0] in integrations or one[1] in group_ids or not (integrations or group_ids)),
        *(("", group, topics) for group in others),
    ]


async def survey(
    settings: Settings,
    groups: Collection[_Group],
    *,
    now: Callable[[], float],
    on_progress: Callable[[int, int], None],
) -> list[GroupLag]:
    """How far groups are behind.

    Args:
        settings: where the brokers are.
        groups: see `groups_of`.
        now: seconds since the epoch.
        on_progress: called after each partition whose oldest record was read, with how many there are.

    Raises:
        SettingsError: a file that the connection needs cannot be used.
        UnavailableError: the brokers cannot be asked, or a right is missing.
    """
    # Lag is counted to the end of the log, also where an open transaction keeps records from being read.
    kafka = settings.kafka.model_copy(update={"isolation_level": "read_uncommitted"})
    topics = {topic for _, _, of_group in groups for topic in of_group}
    members = await members_of(kafka, [group for _, group, _ in groups])
    retention = await retention_seconds(kafka, topics)
    async with TopicReader(kafka, max_stall_seconds=MAX_STALL_SECONDS) as reader:
        bounds = await reader.bounds(topics)
        found = [await _group(kafka, group, bounds, members) for group in groups]
        behind = [one for group in found for one in group.partitions if one.lag]
        for done, one in enumerate(behind, start=1):
            await _note_oldest(reader, one, now=now(), retention_seconds=retention.get(one.topic))
            on_progress(done, len(behind))
    return found


async def _group(
    kafka: KafkaSettings, group: _Group, bounds: Bounds, members: dict[str, list[GroupMember]]
) -> GroupLag:
    integration, group_id, topics = group
    places = [place for place in bounds if place[0] in topics]
    stored = await stored_positions(kafka, group_id, places)
    partitions = [
        partition_lag(place, bounds[place], stored[place].offset, stored[place].metadata)
        for place in places
        if integration or stored[place].offset is not None
    ]
    told = [f"{one.client_id} on {one.host} ({one.partitions} partitions)" for one in members.get(group_id, ())]
    existing = {topic for topic, _ in places}
    missing = [topic for topic in topics if topic not in existing] if integration else []
    return GroupLag(
        integration=integration, group=group_id, partitions=partitions, members=told, missing_topics=missing
    )


async def _note_oldest(reader: TopicReader, one: PartitionLag, *, now: float, retention_seconds: float | None) -> None:
    """Read the first record at or above the position. Where that fails, its age stays unknown."""
    bounds = {(one.topic, one.partition): (one.begin, one.end)}
    with contextlib.suppress(UnavailableError):
        async with contextlib.aclosing(reader.read(bounds)) as polls:
            async for records in polls:
                oldest = records[0]
                one.note_oldest(oldest.offset, oldest.timestamp, now=now, retention_seconds=retention_seconds)
                return
        one.age_seconds = 0.0  # nothing but markers of transactions
