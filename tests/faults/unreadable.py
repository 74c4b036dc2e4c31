"""Records that brokers take and no client can read, and how the oracles come to know of them all the same."""

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from tests.conftest import TOPIC_TIMEOUT_SECONDS, connected_admin
from tests.kafka.batches import batch_of, with_codec

LZ4: Final = 3
"""Number of the codec."""

HEADER_BYTES: Final = 61
"""Of a batch, before its records."""
LENGTH_AT: Final = 8
LENGTH_FROM: Final = 12
"""Where the length of a batch stands, and where the part begins that it counts."""

FRAME: Final = bytes.fromhex("04224d186440a7")
"""Begin of a frame of LZ4: independent blocks of up to 64 KB, and a checksum of the content at the end."""
NOT_COMPRESSED: Final = 1 << 31
"""Bit of a block's length."""
END_OF_BLOCKS: Final = bytes(4)
WRONG_CHECKSUM: Final = b"\xde\xad\xbe\xef"
"""Of the content. Brokers do not look at it, when the batch is produced or after a crash; what unpacks it does."""

UNREADABLE: Final = b"unreadable"
"""Stands for the value of a record that cannot be read: it maps to the same end, a dead letter for ``decode_error``."""


def unreadable_batch(values: Sequence[bytes | None]) -> bytes:
    """A batch whose own checksum is right, and whose records cannot be unpacked."""
    batch = batch_of(values)
    header, records = batch[:HEADER_BYTES], batch[HEADER_BYTES:]
    block = struct.pack("<I", len(records) | NOT_COMPRESSED) + records
    body = header[LENGTH_FROM:] + FRAME + block + END_OF_BLOCKS + WRONG_CHECKSUM
    return with_codec(header[:LENGTH_AT] + struct.pack(">i", len(body)) + body, LZ4)


async def read_around(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    """All records of a topic, by partition and offset, with `UNREADABLE` ones in the places of those that are."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    async with consumer:
        async with connected_admin(bootstrap_servers) as admin:
            [description] = await admin.describe_topics([topic])
        partitions = sorted(TopicPartition(topic, known["partition"]) for known in description["partitions"])
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        return [record for place in partitions for record in await _read_partition(consumer, place, ends[place])]


async def _read_partition(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> list[ConsumerRecord]:
    records: list[ConsumerRecord] = []
    while (offset := await consumer.position(place)) < end:
        try:
            async with asyncio.timeout(TOPIC_TIMEOUT_SECONDS):
                records.append(await consumer.getone(place))
        except TimeoutError:
            raise
        except Exception:  # noqa: BLE001 - it is of whatever library unpacks the batch
            records.append(_unreadable(place, offset))
            consumer.seek(place, offset + 1)
    return records


def _unreadable(place: TopicPartition, offset: int) -> ConsumerRecord:
    return ConsumerRecord(
        topic=place.topic,
        partition=place.partition,
        offset=offset,
        timestamp=-1,
        timestamp_type=0,
        key=None,
        value=UNREADABLE,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=len(UNREADABLE),
        headers=(),
    )
