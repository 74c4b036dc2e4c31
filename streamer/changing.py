"""Carries out a changed configuration in a running service. What has to be done is decided in `settings.changes`.

    prepare     open what is new; whatever cannot be opened is found out here, while everything still runs as before
    carry_out   other mappers at once; then drain those that restart or end, exchange the destinations, start them again

Nothing is taken from a part that is not concerned: it goes on without noticing. Whatever fails after `prepare` is a bug
of ours on one part; that part is started again as far as it got, and the others are not affected.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamer import logs
from streamer.core.errors import UnavailableError
from streamer.destinations import Destination, open_destination
from streamer.fleet import Fleet
from streamer.integration import Integration
from streamer.logs.logger import place_of
from streamer.logs.observing import observing
from streamer.pipeline.sharing import open_receipts
from streamer.receipts import Receipts
from streamer.settings.changes import Plan


class Change:
    """One change of a fleet; one at a time."""

    def __init__(self, fleet: Fleet, plan: Plan) -> None:
        """Open nothing yet."""
        self._fleet = fleet
        self._plan = plan
        self._destinations: dict[str, Destination] = {}
        self._receipts: dict[str, Receipts] = {}
        self.restarted: Sequence[str] = plan.restarted
        """The integrations that drain and begin anew, those included that the mass guard has stopped: only so do they
        read again what they hold, and map it in the new way."""
        self.faults: list[str] = []
        """What could not be opened, or what went wrong."""

    async def prepare(self) -> None:
        """Open what is new, and note what cannot be opened."""
        fleet, settings = self._fleet, self._plan.settings
        for name in (*self._plan.opened, *self._plan.replaced):
            former = fleet.destinations[name].status if name in fleet.destinations else None
            with self._noting(f"destinations.{name}"):
                self._destinations[name] = open_destination(
                    name, settings.destinations[name], fleet.timings, former=former
                )
        for name in self._plan.started:
            destination = self._destination(settings.integrations[name].destination)
            if destination is not None:
                with self._noting(f"integrations.{name}"):
                    self._receipts[name] = await asyncio.to_thread(open_receipts, name, settings, destination)

    async def discard(self) -> None:
        """Close what was opened: the change is not carried out."""
        for name, destination in self._destinations.items():
            with observing(f"end of the destination {name}"):
                await destination.close()
        for name, receipts in self._receipts.items():
            with observing("end of the receipts", integration=name):
                await asyncio.to_thread(receipts.close)

    async def carry_out(self) -> None:
        """Make the change. It ends when everything that restarts has been started."""
        fleet, plan = self._fleet, self._plan
        fleet.follow(plan.settings)
        if plan.is_log_changed:
            with self._noting("log"):
                logs.reconfigure(plan.settings.log)
        guarded = [name for name in plan.remapped if fleet.integrations[name].is_guarded]
        self.restarted = (*plan.restarted, *guarded)
        self._change_those_that_stay()
        async with asyncio.TaskGroup() as drains:
            for name in (*self.restarted, *plan.ended):
                drains.create_task(fleet.drain(name), name=f"drain {name}")
        ended = [fleet.integrations.pop(name) for name in plan.ended]
        await self._exchange_destinations()
        self._start()
        for integration in ended:
            await _end(integration)

    def _change_those_that_stay(self) -> None:
        fleet, plan = self._fleet, self._plan
        for integration in fleet:
            if integration.name in {*self.restarted, *plan.ended}:
                continue
            with self._noting(f"integrations.{integration.name}"):
                if integration.name in plan.remapped:
                    integration.remap(plan.settings, fleet.identification)
                else:
                    integration.keep(plan.settings)

    async def _exchange_destinations(self) -> None:
        for name in (*self._plan.opened, *self._plan.replaced, *self._plan.closed):
            with self._noting(f"destinations.{name}"):
                await self._fleet.exchange(name, self._destinations.get(name))

    def _start(self) -> None:
        fleet, settings = self._fleet, self._plan.settings
        for name in self.restarted:
            with self._noting(f"integrations.{name}"):
                destination = fleet.destinations[settings.integrations[name].destination]
                fleet.integrations[name].adopt(settings, destination, fleet.identification)
            fleet.run(name, is_watched=False)
        for name, receipts in self._receipts.items():
            with self._noting(f"integrations.{name}"):
                fleet.integrations[name] = Integration(
                    name,
                    settings,
                    destination=fleet.destinations[settings.integrations[name].destination],
                    identification=fleet.identification,
                    receipts=receipts,
                    shared=fleet.shared_receipts,
                    taps=fleet.taps,
                    timings=fleet.timings,
                )
                fleet.run(name, is_watched=False)

    def _destination(self, name: str) -> Destination | None:
        """The destination as it will be; None: it could not be opened."""
        if name in (*self._plan.opened, *self._plan.replaced):
            return self._destinations.get(name)
        return self._fleet.destinations[name]

    @contextmanager
    def _noting(self, part: str) -> Iterator[None]:
        """What goes wrong in the block is noted, and does not keep the other parts from being changed."""
        try:
            yield
        except UnavailableError as error:
            self.faults.append(f"{part}: {error}")
        except Exception as error:  # noqa: BLE001 - see above
            self.faults.append(f"{part}: a bug in streamer ({type(error).__name__} at {place_of(error)}); report it")


async def _end(integration: Integration) -> None:
    """Say the last of an integration that is gone, and close what it has; a thread waits for the disk."""
    with observing("summary", integration=integration.name):
        integration.summarise(is_last=True)
    with observing("end of the receipts", integration=integration.name):
        integration.leave()
        await asyncio.to_thread(integration.receipts.close)
