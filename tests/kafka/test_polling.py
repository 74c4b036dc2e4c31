"""Errors of one partition, while another one always has records."""

from collections import deque
from typing import cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError, RecordTooLargeError, TopicAuthorizationFailedError

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.records.obstacles import Obstacle
from streamer.kafka.poll_errors import DamagedError, LeftOutError, PositionsGoneError
from streamer.kafka.polling import Polling

BUSY, OTHER = TopicPartition("busy", 0), TopicPartition("other", 0)
RECORD = OutgoingRecord(topic="busy", partition=0, key=None, value=b"x", headers=[], timestamp=-1)


class Consumer:
    """A client that answers as it is told: records of the busy partition, or an error."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = deque(answers)
        self.paused: set[TopicPartition] = set()

    async def getmany(
        self, *_partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[OutgoingRecord]]:
        assert timeout_ms >= 0
        assert max_records
        answer = self.answers.popleft() if self.answers else None
        if answer is not None:
            raise answer
        return {BUSY: [RECORD]}

    def assignment(self) -> set[TopicPartition]:
        return {BUSY, OTHER}

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)


def polling(*answers: Exception | None) -> Polling:
    return Polling(cast("AIOKafkaConsumer", Consumer(*answers)))


async def poll(polling: Polling) -> list[TopicPartition]:
    return list(await polling.poll([BUSY, OTHER], max_records=5, timeout_seconds=0.0))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OffsetOutOfRangeError({OTHER: 5}), PositionsGoneError),
        (TopicAuthorizationFailedError("other"), LeftOutError),
        (RecordTooLargeError("%s %s %s", OTHER, 5, 1), LeftOutError),
    ],
)
async def test_an_error_that_comes_after_records_is_raised_by_the_next_poll(
    error: Exception, kind: type[PositionsGoneError | LeftOutError]
) -> None:
    """The client forgets it. Where another partition always comes first, it would never be raised."""
    polls = polling(None, error)
    assert await poll(polls) == [BUSY], "nothing of the other one is lost"
    with pytest.raises(kind) as raised:
        await poll(polls)
    assert isinstance(raised.value, PositionsGoneError | LeftOutError)
    assert raised.value.partitions == {OTHER}
    assert await poll(polls) == [BUSY]


async def test_an_error_about_a_right_says_so() -> None:
    with pytest.raises(LeftOutError) as raised:
        await poll(polling(TopicAuthorizationFailedError("other")))
    assert raised.value.fault.obstacle is Obstacle.NOT_AUTHORISED


async def test_damage_is_told_before_anything_else_is_read_until_the_partition_is_sought() -> None:
    polls = polling()
    polls.note_damage(OTHER)
    for _ in range(2):
        with pytest.raises(DamagedError) as raised:
            await poll(polls)
        assert raised.value.partitions == {OTHER}
    assert list(await polls.poll([BUSY], max_records=5, timeout_seconds=0.0)) == [BUSY], "it is not asked about"
    polls.forget_damage(OTHER)
    assert await poll(polls) == [BUSY]
