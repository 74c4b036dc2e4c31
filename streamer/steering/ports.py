"""What following the control topic needs of Kafka. `streamer.kafka.whole_topic` is the real thing."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from streamer.core.model import Record


class Follower(Protocol):
    """Follows the control topic; see `streamer.kafka.whole_topic.WholeTopic` for what each method promises."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def find(self) -> bool: ...
    async def poll(self, seconds: float) -> Sequence[Record]: ...
    async def is_caught_up(self) -> bool: ...
