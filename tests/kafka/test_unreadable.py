"""What is read of bytes that the client cannot read, and what is given up."""

import struct
from collections.abc import Callable

import pytest
from aiokafka import TopicPartition

from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka.unreadable import Salvaged, read
from tests.kafka.batches import batch_of, checked, with_codec, with_name, with_wrong_checksum

PLACE = TopicPartition("surveys", 3)
STRANGE = b"caf\xe9"


def read_all(fetched: bytes, offset: int = 0, *, max_records: int = 100) -> Salvaged:
    found = read(
        PLACE,
        offset,
        fetched,
        aborted=None,
        high_watermark=1_000,
        max_records=max_records,
        isolation_level=1,
    )
    assert isinstance(found, Salvaged)
    return found


def offsets(found: Salvaged) -> list[int]:
    return [record.offset for record in found.records]


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4], ids=["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_strange_header_name_becomes_text_and_its_record_is_as_it_was(compression: int) -> None:
    """For Kafka a name is just bytes. It can be written again, so that a dead letter can carry it."""
    values = [b"0" * 300, b"1" * 300]
    batch = batch_of(values, headers=[("name", b"\xff")], compression=compression)
    assert batch[22] & 7 == compression
    found = read_all(with_name(batch, b"name", STRANGE))
    assert [record.value for record in found.records] == values
    assert [record.headers for record in found.records] == [(("caf\\xe9", b"\xff"),)] * 2
    assert (found.next_offset, found.unreadable) == (2, "")


def test_reading_begins_in_the_middle_of_a_batch_and_goes_on_into_the_next_one() -> None:
    found = read_all(with_name(batch_of([b"x"] * 5), b"name", STRANGE) + batch_of([b"y"] * 2, base_offset=5), 3)
    assert offsets(found) == [3, 4, 5, 6]
    assert found.next_offset == 7


def test_a_limit_on_records_is_kept() -> None:
    found = read_all(batch_of([b"x"] * 5), max_records=2)
    assert (offsets(found), found.next_offset) == ([0, 1], 2)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (with_wrong_checksum, "the batch is damaged: its checksum is wrong"),
        (lambda batch: with_codec(batch, 7), "the batch is compressed with a codec that streamer does not know"),
        (
            lambda batch: with_codec(batch, 4),
            "the rest of the batch does not follow Kafka's format",
        ),
    ],
    ids=["checksum", "unknown codec", "not what the codec says"],
)
def test_a_batch_that_cannot_be_read_is_given_up_as_a_whole(damage: Callable[[bytes], bytes], why: str) -> None:
    sound, damaged, next_one = (batch_of([b"x"] * 5, base_offset=offset) for offset in (0, 5, 10))
    found = read_all(sound + damage(damaged) + next_one)
    assert (offsets(found), found.next_offset, found.unreadable) == ([0, 1, 2, 3, 4], 5, ""), "first what precedes it"
    found = read_all(damage(damaged) + next_one, 5)
    assert (offsets(found), found.next_offset) == ([], 10)
    assert found.unreadable.startswith(why)
    assert found.timestamp == 1_700_000_000_000


def test_a_record_that_cannot_be_read_takes_the_rest_of_its_batch_along() -> None:
    batch = batch_of([b"0", b"1", b"marked", b"3"])
    found_at = batch.index(b"marked")
    damaged = checked(batch[: found_at - 1] + b"\x7f" + batch[found_at:])  # its value claims to be longer than it is
    found = read_all(damaged)
    assert offsets(found) == [0, 1]
    found = read_all(damaged, found.next_offset)
    assert (offsets(found), found.next_offset) == ([], 4)
    assert found.unreadable
    assert "marked" not in found.unreadable


@pytest.mark.parametrize("claim", [-7, 1 << 30])
def test_a_damaged_header_cannot_claim_more_than_there_is(claim: int) -> None:
    """The number of offsets in a batch is in its header, which is as damaged as the rest."""
    batch = bytearray(batch_of([b"x"] * 5, base_offset=5))
    struct.pack_into(">i", batch, 23, claim)
    assert read_all(bytes(batch) + batch_of([b"y"], base_offset=10), 5).next_offset == 10
    assert 6 <= read_all(bytes(batch), 5).next_offset <= 1_000


@pytest.mark.parametrize("fetched", [struct.pack(">qi", 5, -5) + bytes(90), struct.pack(">qi", 5, 30) + b"\x02" * 30])
def test_a_batch_without_an_end_is_a_fault_of_its_partition(fetched: bytes) -> None:
    """Where the next batch begins is not known, so nothing can be skipped."""
    found = read(PLACE, 5, fetched, aborted=None, high_watermark=9, max_records=9, isolation_level=1)
    assert isinstance(found, PartitionFault)
    assert found.obstacle is Obstacle.READ_FAILED


@pytest.mark.parametrize("fetched", [b"", batch_of([b"x"] * 5)[:50]])
def test_where_nothing_came_nothing_is_given_up(fetched: bytes) -> None:
    found = read_all(fetched, 7)
    assert (offsets(found), found.next_offset, found.unreadable) == ([], 7, "")


def test_records_of_aborted_transactions_stay_out() -> None:
    aborted = batch_of([b"x"] * 2, producer_id=9)
    found = read(
        PLACE,
        0,
        with_name(aborted, b"name", STRANGE) + with_name(batch_of([b"y"], base_offset=2), b"name", STRANGE),
        aborted=[(9, 0)],
        high_watermark=9,
        max_records=9,
        isolation_level=1,
    )
    assert isinstance(found, Salvaged)
    assert [record.value for record in found.records] == [b"y"]
