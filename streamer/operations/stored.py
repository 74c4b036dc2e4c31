"""What the group of an integration has stored, in the form that rules understand."""

from collections.abc import Collection

from streamer.core.audit import Partition, Stored
from streamer.core.records import statement
from streamer.kafka.stored_positions import stored_positions
from streamer.settings import Settings


async def stored_by(settings: Settings, name: str, partitions: Collection[Partition]) -> dict[Partition, Stored]:
    """What the group of the integration ``name`` has stored for these partitions.

    Raises:
        UnavailableError: the brokers cannot be asked, or a right is missing.
    """
    found = await stored_positions(settings.kafka, settings.integrations[name].group_id, partitions)
    return {
        place: Stored(
            position.offset,
            None if position.offset is None else statement.decode(position.metadata, position.offset),
        )
        for place, position in found.items()
    }
