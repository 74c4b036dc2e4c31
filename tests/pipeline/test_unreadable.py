"""Records that cannot be read: what precedes them, what follows them, and the other partitions."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streamer.core.model import DeadLetterReason
from streamer.kafka import TopicPartition as Place
from tests.pipeline.engine import LETTERS, TOPIC, Engine, eventually, hand_of

DAMAGED = Place(TOPIC, 0)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


def headers_of(engine: Engine) -> list[dict[str, bytes | None]]:
    return [dict(letter.headers) for letter in engine.letters()]


async def test_everything_around_a_damaged_batch_is_read_and_the_batch_is_set_aside(engine: Engine) -> None:
    """A dead letter for each offset, without a value: where it was and what is wrong. Nothing is uncounted."""
    for partition in range(2):
        engine.cluster.append(TOPIC, [b"x"] * 10, partition=partition)
    engine.cluster.damaged[DAMAGED] = range(4, 7)
    with capture_logs() as lines:
        async with engine.running() as pipeline:
            hand = hand_of(pipeline)
            await eventually(lambda: len(hand.open) == 17)
            read = [call.record.offset for call in hand.open if call.record.partition == 0]
            assert sorted(read) == [0, 1, 2, 3, 7, 8, 9]
            await eventually(lambda: len(engine.letters()) == 3)
            hand.deliver()
            await eventually(lambda: engine.committed(0) == 10)
            account = engine.accounts[0][TOPIC, 0]
            assert (account.consumed, account.delivered, account.dead_lettered[DeadLetterReason.DECODE_ERROR]) == (
                10,
                7,
                3,
            )
            assert not pipeline.is_guarded
    for offset, (letter, headers) in enumerate(zip(engine.letters(), headers_of(engine), strict=True), 4):
        assert not letter.value
        assert headers["streamer.reason"] == b"decode_error"
        assert headers["streamer.value.omitted"] == b"1"
        assert headers["__connect.errors.topic"] == TOPIC.encode()
        assert headers["__connect.errors.partition"] == b"0"
        assert headers["__connect.errors.offset"] == b"%d" % offset
        assert headers["__connect.errors.exception.message"] == b"the batch is damaged: its checksum is wrong"
    [line] = [line for line in lines if line["event"] == "records.unreadable"]
    assert (line["partition"], line["offset"], line["records"]) == (0, 4, 3)


async def test_a_large_damaged_batch_does_not_look_like_a_wrong_dialect(engine: Engine) -> None:
    """The mass guard would stop the integration: a disk is to blame, and no configuration."""
    engine.cluster.append(TOPIC, [b"x"] * 3_000)
    engine.cluster.damaged[DAMAGED] = range(2_990)
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 10)
        await eventually(lambda: len(engine.letters()) == 2_990)
        assert not pipeline.is_guarded


async def test_a_damaged_record_is_found_among_1000_idle_partitions_without_asking_each_of_them(tmp_path: Path) -> None:
    """A second for each of them was more than the watchdog waits."""
    engine = Engine(tmp_path, partitions=1_000)
    engine.cluster.append(TOPIC, [b"x"] * 3, partition=500)
    engine.cluster.damaged[Place(TOPIC, 500)] = range(1, 2)
    async with engine.running() as pipeline:
        polls = 0
        poll = pipeline.source.poll

        async def count(*args: object, **named: object) -> object:
            nonlocal polls
            polls += 1
            return await poll(*args, **named)  # type: ignore[arg-type]

        pipeline.source.poll = count  # type: ignore[method-assign,assignment]
        began = time.monotonic()
        await eventually(lambda: len(hand_of(pipeline).open) == 2)
        await eventually(engine.letters)
        assert time.monotonic() - began < 10
        assert polls < 100
        engine.cluster.append(TOPIC, [b"x"], partition=999)
        await eventually(lambda: len(hand_of(pipeline).open) == 3)


async def test_damage_is_read_again_after_a_restart_until_its_letters_are_written(engine: Engine) -> None:
    engine.cluster.append(TOPIC, [b"x"] * 5)
    engine.cluster.damaged[DAMAGED] = range(2, 4)
    engine.cluster.max_record_bytes[LETTERS] = 1
    async with engine.running() as pipeline:
        await eventually(lambda: len(hand_of(pipeline).open) == 3)
        hand_of(pipeline).deliver()
        await eventually(lambda: engine.committed(0) == 2)
    assert engine.letters() == []
    del engine.cluster.max_record_bytes[LETTERS]
    async with engine.running(instance="two"):
        await eventually(lambda: len(engine.letters()) == 2)
        await eventually(lambda: engine.committed(0) == 5)


async def test_a_fetch_that_fails_gives_nothing_up(engine: Engine) -> None:
    """What cannot be fetched is not unreadable: the partition waits, and the others go on."""
    engine.cluster.append(TOPIC, [b"x"] * 5)
    engine.cluster.damaged[DAMAGED] = range(2, 4)
    engine.cluster.salvage_fails = True
    async with engine.running() as pipeline:
        await eventually(lambda: DAMAGED in pipeline.assignment.left_out)
        engine.cluster.append(TOPIC, [b"x"], partition=1)
        await eventually(lambda: any(call.record.partition == 1 for call in hand_of(pipeline).open))
        assert engine.letters() == []
        engine.cluster.damaged.clear()  # it was damaged in transit
        await eventually(lambda: len(hand_of(pipeline).open) == 6)
    assert engine.letters() == []
