"""What the sharing of receipts needs of Kafka. `streamer.kafka` is the real thing; tests share in memory."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.model import Record


class Publisher(Protocol):
    """Writes records; see `streamer.kafka.Publisher`."""

    async def publish(
        self, records: Sequence[OutgoingRecord], *, timeout_seconds: float
    ) -> Sequence[OutgoingRecord]: ...
    async def run(self) -> None: ...


class Follower(Protocol):
    """Reads one topic and goes on with what comes; see `streamer.kafka.TopicFollower`."""

    @property
    def has_grown(self) -> bool: ...
    async def bounds(self) -> Mapping[int, tuple[int, int]]: ...
    async def found_at(self, epoch_ms: int) -> Mapping[int, tuple[int, int] | None]: ...
    def seek(self, positions: Mapping[int, int]) -> None: ...
    async def poll(self, *, max_records: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]: ...


class Topic(Protocol):
    """The topic of receipts; see `streamer.kafka.ReceiptTopic`."""

    @property
    def name(self) -> str: ...
    async def ensure(self) -> None: ...
    def follower(self) -> AbstractAsyncContextManager[Follower]: ...
    def publisher(self) -> Publisher: ...
