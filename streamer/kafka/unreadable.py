"""Records and batches that the client cannot read: found where they are, read tolerantly, or given up.

Traps of the client (aiokafka 0.14):

- An error in the middle of what was fetched is raised out of ``getmany`` and does not say whose it is. What that call
  had drained from other partitions is lost with it, and so is everything that precedes the error. So `watch_for_damage`
  ends the reading of such a partition in front of the error instead, and notes the partition.
- The error may be of any kind: a damaged batch raises what the library of its codec raises.
- The name of a header must be UTF-8. For Kafka it is just bytes, and producers write others.
- The text of the error may quote the record; ours never does.

What was noted is fetched once more, by a request of our own, and read by the client's parser in pure Python, with
tolerant names of headers. Only what cannot be read this time either is given up: from the error to the end of its
batch. Reading ends there in any case: the batch may have been the marker that ends an aborted transaction, and the next
fetch, which begins behind it, tells anew which transactions were aborted.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import KafkaError, UnsupportedCodecError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from streamer.core.model import Record
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS
from streamer.kafka.partition_faults import fault_in_metadata, fault_of

MAX_FETCH_BYTES: Final = 1 << 20
"""Most bytes of one fetch of our own; a larger first batch comes nevertheless."""

MAX_VALUE_BYTES: Final = 8 << 20
"""Reading ends once the values have so many bytes: a compressed batch may unpack to a hundred times its size."""

MAX_WAIT_MS: Final = 500
"""How long the broker may wait for records; it has some, unless they were deleted meanwhile."""

MAGIC_OF_BATCHES: Final = 2
"""From this format on, batches have headers with names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What a fetch of our own brought from one partition: records, or a range of offsets that is given up."""

    records: Sequence[Record] = field(default=(), repr=False)
    next_offset: int
    """Where to read on: behind the records, or behind the range."""
    unreadable: str = ""
    """Why everything up to ``next_offset`` is given up; "" where nothing is."""
    timestamp: int = -1
    """That of what is given up, in milliseconds since the epoch; -1: not known."""


def watch_for_damage(consumer: AIOKafkaConsumer, on_damage: Callable[[TopicPartition], None]) -> None:
    """Have a started consumer end the reading of a partition in front of what it cannot read, and tell it."""
    fetcher = consumer._fetcher  # noqa: SLF001 - where the results of fetches are kept
    fetcher._records = _Results(fetcher._records.items(), on_damage)  # noqa: SLF001


class _Results(OrderedDict[TopicPartition, Any]):
    """The client's results of fetches, each of which ends in front of what cannot be read."""

    def __init__(
        self, results: Iterable[tuple[TopicPartition, Any]], on_damage: Callable[[TopicPartition], None]
    ) -> None:
        self._on_damage = on_damage
        super().__init__()
        self.update(results)

    def __setitem__(self, partition: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult):
            records = result._partition_records  # noqa: SLF001 - see above
            # Its class is changed because a wrapper around it would cost every record 0.1 us more.
            records.__class__ = _UntilDamage
            records.on_damage = self._on_damage
        super().__setitem__(partition, result)


class _UntilDamage(PartitionRecords):  # type: ignore[misc]  # the library has no type information
    """What one fetch brought of one partition, up to what cannot be read."""

    on_damage: Callable[[TopicPartition], None]
    _records_iterator: Iterator[Record] | None

    def __next__(self) -> Record:
        assert self._records_iterator is not None, "nobody reads on after the end"
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None  # as the client has it: it breaks a reference cycle
            raise
        except Exception:  # noqa: BLE001 - see the top of the module
            self._records_iterator = None
            self.on_damage(self._tp)
            raise StopIteration from None


async def salvage(
    consumer: AIOKafkaConsumer,
    partition: TopicPartition,
    offset: int,
    *,
    max_records: int,
    isolation_level: int,
) -> Salvaged | PartitionFault:
    """Fetch a partition from ``offset`` on, once more, and read it tolerantly; or say why nothing can be fetched.

    Args:
        consumer: knows the partition's leader.
        partition: which.
        offset: of the first record wanted.
        max_records: most records returned.
        isolation_level: as the consumer has it: 0 or 1 (without records of aborted transactions).
    """
    client = consumer._client  # noqa: SLF001 - its connections
    if (fault := fault_in_metadata(client.cluster, partition)) is not None:
        return fault
    wanted = [(partition.topic, [(partition.partition, offset, MAX_FETCH_BYTES)])]
    request = FetchRequest(MAX_WAIT_MS, 1, MAX_FETCH_BYTES, isolation_level, wanted, rack_id="")
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
            answer = await client.send(client.cluster.leader_for_partition(partition), request)
    except (KafkaError, TimeoutError) as error:
        return fault_of(error)
    [(_, [(_, code, high_watermark, *rest)])] = answer.topics
    if code:
        return fault_of(for_code(code)())
    # Aborted transactions came with version 4 of the answer; the replica to prefer, which stands between them and the
    # records, with version 11.
    aborted = None if answer.API_VERSION < 4 else rest[-3 if answer.API_VERSION >= 11 else -2]  # noqa: PLR2004
    return read(
        partition,
        offset,
        rest[-1],
        aborted=aborted,
        high_watermark=high_watermark,
        max_records=max_records,
        isolation_level=isolation_level,
    )


def read(
    partition: TopicPartition,
    offset: int,
    fetched: bytes,
    *,
    aborted: Sequence[tuple[int, int]] | None,
    high_watermark: int,
    max_records: int,
    isolation_level: int,
) -> Salvaged | PartitionFault:
    """Read what was fetched from ``offset`` on; ``aborted``: producers and first offsets of aborted transactions."""
    batches = _Batches(fetched)
    records = PartitionRecords(partition, batches, aborted, offset, None, None, True, isolation_level)
    found: list[Record] = []
    value_bytes = 0
    damage: Exception | None = None
    try:
        for record in records:
            found.append(record)
            value_bytes += len(record.value or b"")
            if len(found) >= max_records or value_bytes >= MAX_VALUE_BYTES:
                break
    except Exception as error:  # noqa: BLE001 - see the top of the module
        damage = error
    if damage is None or found or records.next_fetch_offset > offset:
        return Salvaged(records=found, next_offset=records.next_fetch_offset)
    if batches.batch is None:
        return PartitionFault(
            Obstacle.READ_FAILED,
            f"at offset {offset} the broker sends no batch whose end can be found; delete what cannot be read with "
            "kafka-delete-records, or restore the partition's replica",
        )
    is_intact = batches.is_intact()
    following = batches.next_base_offset()
    claimed = getattr(batches.batch, "next_offset", offset + 1)
    last = high_watermark if following is None else following
    # A header whose checksum is wrong may claim anything.
    end = claimed if is_intact else min(claimed, last) if following is None else following
    return Salvaged(
        next_offset=max(end, offset + 1),
        unreadable=_explain(damage, is_intact=is_intact),
        timestamp=getattr(batches.batch, "max_timestamp", None) or -1,
    )


def _explain(damage: Exception, *, is_intact: bool) -> str:
    if not is_intact:
        return "the batch is damaged: its checksum is wrong"
    if isinstance(damage, UnsupportedCodecError):
        return "the batch is compressed with a codec that streamer does not know"
    return f"the rest of the batch does not follow Kafka's format ({type(damage).__name__})"


class _Batches(_MemoryRecordsPy):  # type: ignore[misc]  # the library has no type information
    """What was fetched, batch by batch, as the client's parser wants it."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(bytes(fetched or b""))
        self.batch: Any = None
        """The present one; None: before the first one, and where its header is damaged."""
        self._raw = memoryview(b"")

    def next_batch(self) -> Any:
        """The next batch; its names may be any bytes."""
        self._raw, self.batch = self._next_slice, None
        batch = super().next_batch()
        self.batch = _Batch(self._raw) if self._raw[self.MAGIC_OFFSET] >= MAGIC_OF_BATCHES else batch
        return self.batch

    def is_intact(self) -> bool:
        """Whether the checksum of the present batch is right."""
        if self._raw[self.MAGIC_OFFSET] < MAGIC_OF_BATCHES:
            return True  # each message has its own
        return bool(_DefaultRecordBatchPy(self._raw).validate_crc())

    def next_base_offset(self) -> int | None:
        """Where the batch behind the present one begins; None: no other one was fetched."""
        following = self._next_slice
        return None if following is None else int.from_bytes(following[:8], "big", signed=True)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # the library has no type information
    """A batch as the client reads it, but for the names of headers."""

    def __iter__(self) -> "_Batch":
        super().__iter__()
        self._buffer: bytearray = _Tolerant(self._buffer)
        return self


class _Tolerant(bytearray):
    """Bytes whose parts become text whatever they are: the client decodes nothing but names."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _Tolerant(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        """The text, with a backslash notation for what is not in the encoding, so that it can be written again."""
        return super().decode(encoding, errors)
