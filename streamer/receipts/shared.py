"""The topic of receipts in one process: every integration's receipts go there, and those of other instances come.

    Delivery --note--> Channel --> Unshared --> ReceiptWriter --> topic
                          |                                         |
                       Receipts  <--restore--  ReceiptFollower <----+

Nothing here stops or delays an event. When the topic is away, receipts wait, and then the oldest are given up; when it
is slow, commits wait for a moment. Both cost repeats after a rebalance at most.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Final

from streamer.core.records.followed import Place
from streamer.receipts.channel import Channel
from streamer.receipts.follower import ReceiptFollower
from streamer.receipts.ports import Topic
from streamer.receipts.receipts import Receipts
from streamer.receipts.topic_state import TopicState
from streamer.receipts.writer import ReceiptWriter
from streamer.timings import PRODUCTION, Timings

_RUN_ID_BYTES: Final = 8


class SharedReceipts:
    """The writer and the reader of the topic, and the integrations that share their receipts through it."""

    def __init__(self, topic: Topic, *, window_seconds: float, timings: Timings = PRODUCTION) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            topic: where receipts are shared.
            window_seconds: how long a receipt counts.
            timings: how long to wait for what.
        """
        run_id = secrets.token_bytes(_RUN_ID_BYTES)
        self.topic = topic.name
        self.state = TopicState(topic.name, timings.receipts_retry)
        self._channels: dict[str, Channel] = {}
        self._publisher = topic.publisher()
        self.writer = ReceiptWriter(
            self._publisher,
            self.state,
            instance=f"{socket.gethostname()}, process {os.getpid()}",
            run_id=run_id,
            timings=timings,
        )
        self.follower = ReceiptFollower(
            topic, self._channels, self.state, run_id=run_id, window_seconds=window_seconds, timings=timings
        )

    def join(
        self,
        integration: str,
        receipts: Receipts,
        *,
        destination_name: str,
        destination: str,
        assigned: Callable[[], Mapping[Place, float]],
    ) -> Channel:
        """Share the receipts of an integration, until `leave`; the arguments are those of `Channel`."""
        channel = Channel(
            integration,
            receipts,
            destination_name=destination_name,
            destination=destination,
            assigned=assigned,
            note=self.writer.note,
        )
        self._channels[integration] = channel
        return channel

    def leave(self, channel: Channel) -> None:
        """Share the receipts of an integration no longer; its store is about to be closed."""
        self.follower.save()
        if self._channels.get(channel.integration) is channel:  # another one may have taken its place
            del self._channels[channel.integration]

    async def run(self) -> None:
        """Write and follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follower.run(), name="follow the topic of receipts")
            await self.follower.is_ready.wait()
            tasks.create_task(self._publisher.run(), name="producer of receipts")
            tasks.create_task(self.writer.run(), name="write receipts to their topic")
