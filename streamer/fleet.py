"""The destinations and integrations of a service: opened, run, and ended one by one.

A destination lends permits to the integrations that deliver to it, so it is opened before them, and closed after them.
Each integration has a task and a signal of its own to end: it drains while the others do not notice.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, NamedTuple

from streamer.destinations import Destination, open_destination
from streamer.integration import Integration
from streamer.logs.observing import observing
from streamer.pipeline.identifying import Identification
from streamer.settings import Settings
from streamer.timings import Timings


class _Run(NamedTuple):
    """One integration that runs."""

    stop: asyncio.Event
    task: asyncio.Task[None]


class Fleet:
    """All destinations and integrations of one process."""

    def __init__(self, settings: Settings, timings: Timings) -> None:
        """Open what is on local disk; nothing is connected before `start`.

        Args:
            settings: the whole configuration.
            timings: how long to wait for what.

        Raises:
            UnavailableError: a write key file or the state directory cannot be used.
        """
        self.settings = settings
        """Those in force."""
        self.timings = timings
        self.destinations: dict[str, Destination] = {
            name: open_destination(name, destination, timings) for name, destination in settings.destinations.items()
        }
        """By name; as `integrations`, it changes while the service runs, so look into it anew each time."""
        self.identification = identification_of(settings, timings)
        """Knows the users of devices; None: no integration has ever asked for them."""
        self.integrations: dict[str, Integration] = {
            name: Integration(
                name,
                settings,
                destination=self.destinations[integration.destination],
                identification=self.identification,
                timings=timings,
            )
            for name, integration in settings.integrations.items()
        }
        """By name."""
        self._tasks: asyncio.TaskGroup | None = None
        self._runs: dict[str, _Run] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        """Of the write keys of destinations."""
        self._side_tasks: list[asyncio.Task[None]] = []
        self._is_draining = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Run everything.

        Args:
            tasks: ends when an integration can never join its brokers.
        """
        self._tasks = tasks
        for destination in self.destinations.values():
            self.watch(destination)
        if self.identification is not None:
            self._run_beside(self.identification.run(), "ask for users of devices")
        for name in self.integrations:
            self.run(name)

    def run(self, name: str) -> None:
        """Run an integration, unless the service is ending."""
        if self._tasks is None or self._is_draining:
            return
        assert name not in self._runs, f"{name} runs already"
        stop = asyncio.Event()
        running = self.integrations[name].runner.run(stop)
        self._runs[name] = _Run(stop, self._tasks.create_task(running, name=f"integration {name}"))

    def watch(self, destination: Destination) -> None:
        """Ask about the write key of a destination from now on, unless the service is ending."""
        if self._tasks is not None and not self._is_draining:
            task = self._tasks.create_task(destination.watch_key(), name=f"write key of {destination.name}")
            self._watches[destination.name] = task

    async def drain(self, name: str) -> None:
        """Let one integration drain: requests in flight end, outcomes are committed, the group is left."""
        if (running := self._runs.get(name)) is not None:
            running.stop.set()
            await asyncio.wait({running.task})
            self._runs.pop(name, None)

    async def drain_all(self) -> None:
        """Let all integrations drain, and start none any more. Then nobody asks about keys and users any longer."""
        self._is_draining = True
        for running in self._runs.values():
            running.stop.set()
        if self._runs:
            await asyncio.wait({running.task for running in self._runs.values()})
        for task in (*self._watches.values(), *self._side_tasks):
            task.cancel()

    async def close(self) -> None:
        """Close everything. What cannot be closed must not keep receipts from being written out."""
        for name, destination in self.destinations.items():
            with observing(f"end of the destination {name}"):
                await destination.close()
        for name, integration in self.integrations.items():
            with observing("end of the receipts", integration=name):
                integration.receipts.close()

    def __iter__(self) -> Iterator[Integration]:
        """All integrations, as they are now."""
        return iter(list(self.integrations.values()))

    def _run_beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._tasks is not None, "asked only while it runs"
        self._side_tasks.append(self._tasks.create_task(work, name=name))


def identification_of(settings: Settings, timings: Timings) -> Identification | None:
    """What finds the users of devices; None: no integration asks for them."""
    if not any(integration.identify_devices for integration in settings.integrations.values()):
        return None
    assert settings.directory is not None, "the configuration was checked"
    from streamer.directory.store import Directory  # noqa: PLC0415 - it needs the extra ``inbound``

    return Identification(Directory(settings.directory, timings), timings)
