"""Asks now and then who the members of the consumer group are. It only looks: what fails changes nothing else."""

import asyncio
from collections.abc import Sequence

from streamer.core.errors import UnavailableError
from streamer.core.records.group_member import GroupMember
from streamer.logs.observing import observing
from streamer.pipeline.ports import RecordSource
from streamer.timings import Timings


class Members:
    """The members of one integration's group, as the brokers said last."""

    def __init__(self, integration: str, *, source: RecordSource, timings: Timings) -> None:
        """Know nothing yet; ``integration`` is for the log."""
        self._integration = integration
        self._source = source
        self._timings = timings
        self.latest: Sequence[GroupMember] = ()
        """Empty: not asked yet, or the coordinator did not answer."""

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            with observing("members of the group", integration=self._integration):
                try:
                    self.latest = await self._source.members(timeout_seconds=self._timings.ask_timeout)
                except UnavailableError:
                    self.latest = ()  # that brokers do not answer is said by those who need them
            await asyncio.sleep(self._timings.members_every)
