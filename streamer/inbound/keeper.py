"""Keeps the directory of users: applies calls to it, publishes its outbox, forgets what is old. Outlives pipelines."""

import asyncio
import time
from dataclasses import replace
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.inbound.rules import Rules
from streamer.core.records.custody import Custody
from streamer.directory.housekeeping import forget
from streamer.directory.outbox import Outbox, Waiting
from streamer.directory.store import Counts, Directory
from streamer.inbound.applying import Applier
from streamer.inbound.availability import Availability, Backoff
from streamer.inbound.relay import Relay
from streamer.inbound.tally import Tally
from streamer.kafka import Brokers, OrderedProducer
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.endings import unless_stopped
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.minute import Minute
from streamer.pipeline.runner import Runner
from streamer.pipeline.subscription import fetch_share_of, subscription_to_calls
from streamer.settings import Settings
from streamer.steering import Steering
from streamer.timings import Timings

_OPENING: Final = "opening"
_LOOKING: Final = "looking"
_FORGETTING: Final = "forgetting"
"""Names of users of the directory."""

_MICROSECONDS: Final = 1_000_000


class Keeper:
    """One process of those that keep a directory."""

    def __init__(self, settings: Settings, timings: Timings) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            settings: the whole configuration; the way back is on, and has a directory.
            timings: how long to wait for what.
        """
        inbound, directory = settings.inbound, settings.directory
        assert inbound is not None
        assert directory is not None
        self._inbound = inbound
        self._rules = settings.inbound_rules()
        self._timings = timings
        self.availability = Availability()
        self.tally = Tally(environment=inbound.environment, is_debugging=inbound.debug)
        self.is_open = False
        """Whether the tables are there, as this version needs them."""
        self.counts: Counts | None = None
        """How many users and devices there are, as counted last."""
        self.waiting: Waiting | None = None
        """What waits in the outbox, as known lately; None: not known."""
        self._directory = Directory(directory, timings)
        self._outbox = Outbox(self._directory.database)
        transactional_id = f"{inbound.group_id}.relay"
        self.relay = Relay(
            self._outbox,
            new_producer=lambda: OrderedProducer(settings.kafka, transactional_id=transactional_id, timings=timings),
            availability=self.availability,
            timings=timings,
        )
        guard_memory = GuardMemory(None, fingerprint="")
        self.runner = Runner(
            subscription_to_calls(settings),
            new_brokers=lambda: Brokers(settings.kafka, fetch_share=fetch_share_of(settings), timings=timings),
            make_worker=self._new_applier,
            guard_memory=guard_memory,
            timings=timings,
        )
        self.steering = Steering(self.runner, guard_memory=guard_memory)
        """Has it obey the orders of operators."""
        self._minute = Minute(self.runner, destination_state=lambda: "ok" if self.availability.is_up else "held")

    def follow(self, rules: Rules) -> None:
        """Decide about the next calls by other rules. The names of events that were sent before stay ours."""
        self._rules = replace(rules, own_events=rules.own_events | self._rules.own_events)
        worker = None if self.runner.pipeline is None else self.runner.pipeline.worker
        if isinstance(worker, Applier):
            worker.rules = self._rules

    def _new_applier(self, custody: Custody, dead_letters: DeadLetters) -> Applier:
        return Applier(
            self.runner.name,
            directory=self._directory,
            rules=self._rules,
            custody=custody,
            dead_letters=dead_letters,
            tally=self.tally,
            availability=self.availability,
            on_applied=self.relay.wake,
            timings=self._timings,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the directory until ``stop`` is set, then drain.

        Raises:
            SettingsError: a broker and our set-up refuse each other, and they never worked together before.
        """
        try:
            if await unless_stopped(stop, self._open()):
                async with asyncio.TaskGroup() as tasks:
                    others = [
                        tasks.create_task(self.relay.run(), name="relay"),
                        tasks.create_task(self._look(), name="look at the outbox"),
                        tasks.create_task(self._count(), name="count users"),
                        tasks.create_task(self._forget(), name="forget what is old"),
                    ]
                    await self.runner.run(stop)
                    for task in others:
                        task.cancel()
        finally:
            await self._directory.close()

    async def _open(self) -> None:
        """Create or update the tables, however long the database is away."""
        backoff = Backoff(self._timings.directory_retry)
        while not self.is_open:
            try:
                await self._directory.migrate()
            except UnavailableError as error:
                self.availability.failed(_OPENING, error)
                await asyncio.sleep(backoff.next_seconds())
            else:
                self.is_open = True
                self.availability.worked(_OPENING)

    async def _look(self) -> None:
        """Look now and then how much waits in the outbox, and whether the database is there while nobody else asks."""
        while True:
            with observing("outbox", integration=self.runner.name):
                try:
                    self.waiting = await self._outbox.waiting()
                except UnavailableError as error:
                    self.waiting = None
                    self.availability.failed(_LOOKING, error)
                else:
                    self.availability.worked(_LOOKING)
                    self._tell_if_stalled(self.waiting)
            await asyncio.sleep(self._timings.outbox_every)

    def _tell_if_stalled(self, waiting: Waiting) -> None:
        age = 0.0 if waiting.oldest is None else time.time() - waiting.oldest / _MICROSECONDS
        if age > self._timings.outbox_stalled:
            logger().emit(
                Event.OUTBOX_STALLED,
                records=waiting.records,
                waiting_seconds=round(age, 1),
                detail=self.relay.fault or None,
            )

    async def _count(self) -> None:
        while True:
            with observing("users", integration=self.runner.name):
                try:
                    self.counts = await self._directory.counts()
                except UnavailableError:
                    self.counts = None  # that it is away is said by those who need it
            await asyncio.sleep(self._timings.directory_count_every)

    async def _forget(self) -> None:
        """Forget what is old. That can wait, but a directory that cannot be written to has to be known."""
        while True:
            await asyncio.sleep(self._timings.directory_forget_every)
            with observing("what is old", integration=self.runner.name):
                try:
                    await forget(
                        self._directory.database,
                        time.time_ns() // 1_000,
                        remember=self._inbound.remember,
                        forget_devices=self._inbound.limits.forget_devices,
                    )
                except UnavailableError as error:
                    self.availability.failed(_FORGETTING, error)
                else:
                    self.availability.worked(_FORGETTING)

    def summarise(self, *, is_last: bool = False) -> None:
        """Log what has happened since this was last called, if anything has, and how far it is behind.

        Args:
            is_last: whether the process ends.
        """
        if self.runner.pipeline is not None:
            self.runner.pipeline.dead_letters.tell()
        self._minute.tell(is_last=is_last)
