"""One replay: an integration in a process and with a group of its own, which reads a range and ends.

It is the same engine as the service's, with three differences: its subscription has a window, its state is kept in a
directory of its own, and it ends once the broker holds, for every partition, a position at the end of the window. Until
then it can be stopped and run again at any time. It does not know of the service, and the service not of it.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.records.account import Account, Totals
from streamer.core.records.replay import Bounds, group_of
from streamer.core.records.window import Window
from streamer.destinations import Destination, open_destination
from streamer.fleet import identification_of
from streamer.integration import Integration
from streamer.kafka.stored_positions import stored_positions
from streamer.logs import logger
from streamer.logs.observing import observing
from streamer.pipeline.runner import root_of
from streamer.pipeline.subscription import subscription_of
from streamer.receipts import Deliveries
from streamer.settings import Settings
from streamer.tapping import Taps
from streamer.timings import PRODUCTION, Timings

LOOK_SECONDS: Final = 0.25
"""How often it is looked how far it is."""

OTHERS_SECONDS: Final = 2.0
"""How often, once it is done itself, it is asked whether another process that runs the same replay is done as well."""

TELL_SECONDS: Final = 60.0
"""How often findings are logged."""

RECEIPTS_WINDOW_SECONDS: Final = 3_660 * 86_400.0
"""How long its receipts count: longer than any replay takes."""

MAX_DIGESTS_AT_ONCE: Final = 10_000

DELIVERED_BEFORE: Final = "delivered before the replay"
"""Stands for a topic in the receipts of what was delivered before: no topic has such a name, so that a record of the
replay with such a receipt ends as a duplicate."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be replayed."""

    integration: str
    destination: str
    """Where it goes; that of the integration, or another one."""
    name: str
    rate: int
    """Most calls a second."""
    is_elsewhere: bool
    """Whether the destination is not where the integration delivers to."""

    @property
    def shown(self) -> str:
        """How logs and dead letters call the integration.

        Of a replay to another destination, it is a name that no integration can have: redriven, a dead letter would go
        to the integration's own destination.
        """
        return f"{self.integration}@{self.destination}" if self.is_elsewhere else self.integration


def settings_for(order: Order, settings: Settings, directory: Path) -> Settings:
    """The configuration of a replay: one integration, its destination, and a directory of its own."""
    target = settings.destinations[order.destination]
    rate = order.rate if target.rate_limit is None else min(order.rate, target.rate_limit)
    # Whoever replays what a paused integration has discarded does not want it discarded again.
    integration = settings.integrations[order.integration].model_copy(
        update={"group_id": group_of(order.name), "destination": order.destination, "status": "running"}
    )
    return settings.model_copy(
        update={
            # A static member stays in the group after it has left: nobody could delete it.
            "kafka": settings.kafka.model_copy(update={"group_instance_id": None}),
            "receipts": settings.receipts.model_copy(update={"window": RECEIPTS_WINDOW_SECONDS, "topic": None}),
            "state_dir": directory,
            "destinations": {order.destination: target.model_copy(update={"rate_limit": rate})},
            "integrations": {order.integration: integration},
        }
    )


class Replay:
    """Runs one replay until it is complete or stopped."""

    def __init__(
        self, order: Order, settings: Settings, bounds: Bounds, directory: Path, timings: Timings = PRODUCTION
    ) -> None:
        """Open what is on local disk; nothing is connected before `run`.

        Args:
            order: what to replay.
            settings: the whole configuration.
            bounds: which offsets.
            directory: for its state.
            timings: how long to wait for what.

        Raises:
            UnavailableError: a write key file or the directory cannot be used, or another process runs this replay.
        """
        self._settings = own = settings_for(order, settings, directory)
        self._bounds = bounds
        self._timings = timings
        self._identification = identification_of(own, timings)
        self._destination: Destination = open_destination(
            order.destination, own.destinations[order.destination], timings
        )
        self._integration = Integration(
            order.integration,
            own,
            destination=self._destination,
            identification=self._identification,
            subscription=dataclasses.replace(
                subscription_of(order.integration, own),
                name=order.shown,
                start="earliest",
                window=Window(bounds),
                replay=order.name,
            ),
            taps=Taps(),
            timings=timings,
        )
        self._runner = self._integration.runner
        self.is_complete = False
        """Whether the broker holds a position at the end of each partition's range."""

    def release_guard(self) -> None:
        """Let it go on although its mass guard has stopped it; call this before `run`."""
        self._integration.release_guard()

    def note_delivered(self, digests: Collection[bytes]) -> None:
        """These messageIds were delivered before: records that have them end as duplicates.

        Raises:
            UnavailableError: they cannot be kept, so that copies would be sent.
        """
        receipts, told = self._integration.receipts, list(digests)
        for start in range(0, len(told), MAX_DIGESTS_AT_ONCE):
            piece = told[start : start + MAX_DIGESTS_AT_ONCE]
            receipts.add([Deliveries(DELIVERED_BEFORE, 0, range(len(piece)), piece)], time.time())
        self._check_receipts()

    @property
    def has_forgotten(self) -> bool:
        """Whether what earlier runs have kept of deliveries cannot be used; ask before `run`."""
        return bool(self._integration.receipts.problems)

    def _check_receipts(self) -> None:
        receipts = self._integration.receipts
        if not receipts.available or receipts.shrunk_total:
            raise UnavailableError(
                "what was delivered before cannot be kept, so that copies would be sent: see the space on the disk of"
                " state_dir, and receipts.max_bytes"
            )

    @property
    def is_guarded(self) -> bool:
        """Whether the mass guard has stopped it."""
        pipeline = self._runner.pipeline
        return pipeline is not None and pipeline.is_guarded

    @property
    def parked(self) -> int:
        """Events that have failed and wait for their next attempt."""
        pipeline = self._runner.pipeline
        return 0 if pipeline is None else sum(pipeline.worker.parked_in(place) for place in pipeline.assignment.ledgers)

    @property
    def totals(self) -> Totals:
        """The account of this run."""
        return self._runner.totals()

    @property
    def accounts(self) -> dict[tuple[str, int], Account]:
        """The account of each partition in this run."""
        return {place: self._runner.accounts[place] for place in self._bounds}

    @property
    def lost(self) -> int:
        """Offsets that were gone before they were read."""
        return sum(account.lost.total() for account in self._runner.accounts.values())

    @property
    def was_alone(self) -> bool:
        """Whether no other process can have settled any of it meanwhile: the group has had one assignment."""
        return self._runner.rebalances()["assigned"] <= 1

    @property
    def done(self) -> int:
        """Offsets of the range that are behind it: read, and what they held has its outcome."""
        pipeline = self._runner.pipeline
        ledgers = {} if pipeline is None else pipeline.assignment.ledgers
        return sum(
            ledgers[place].next_offset - begin - ledgers[place].open_records
            for place, (begin, _) in self._bounds.items()
            if place in ledgers
        )

    async def run(self, stop: asyncio.Event, look: Callable[[], None]) -> None:
        """Run until it is complete, ``stop`` is set, or the mass guard stops it; then drain.

        Args:
            stop: set to interrupt it.
            look: called again and again while it runs.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            UnavailableError: what was delivered before cannot be kept any more.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._look_after(look), name="look after the replay"),
                    tasks.create_task(self._destination.watch_key(), name="write key"),
                ]
                if self._identification is not None:
                    beside.append(tasks.create_task(self._identification.run(), name="ask for users of devices"))
                end = asyncio.Event()
                running = tasks.create_task(self._runner.run(end), name="replay")
                try:
                    await self._until_over(stop)
                finally:
                    end.set()
                    await asyncio.wait({running})
                    for task in beside:
                        task.cancel()
        except ExceptionGroup as group:
            # Not "except*": early Python 3.11 puts what is raised there into another group.
            told = group.subgroup((SettingsError, UnavailableError))
            if told is None:
                raise
            raise root_of(told) from None
        self.is_complete = self.is_complete or await self._is_stored()

    async def close(self) -> None:
        """Close everything."""
        with observing("end of the destination"):
            await self._destination.close()
        with observing("end of the receipts"):
            self._integration.close()

    async def _until_over(self, stop: asyncio.Event) -> None:
        while not (stop.is_set() or self.is_guarded):
            pipeline = self._runner.pipeline
            is_over = pipeline is not None and pipeline.assignment.is_over
            if is_over and await self._is_stored():
                self.is_complete = True
                return
            self._check_receipts()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OTHERS_SECONDS if is_over else LOOK_SECONDS):
                    await stop.wait()

    async def _is_stored(self) -> bool:
        """Whether the group has stored the end of every partition, also of those that another process has."""
        ends = {place: end for place, (begin, end) in self._bounds.items() if end > begin}
        group_id = self._runner.subscription.group_id
        try:
            stored = await stored_positions(self._settings.kafka, group_id, ends.keys())
        except UnavailableError:
            return False
        return all((stored[place].offset or 0) >= end for place, end in ends.items())

    async def _look_after(self, look: Callable[[], None]) -> None:
        """Do what the service does for its destinations and integrations now and then."""
        told_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with observing("requests that hang"):
                self._destination.end_hanging()
            with observing("progress"):
                look()
            if time.monotonic() - told_at >= TELL_SECONDS:
                told_at = time.monotonic()
                with observing("findings"):
                    self._integration.tell_findings()
            logger().write_folded()
