"""The service: who runs, who owns which state, how it starts and stops. It has no rules of its own.

    Service                     owns the HTTP server and the history
      |-- Fleet                 owns the destinations (state, permits, connections), what is known of the users of
      |     |                   devices, and the tasks of the integrations
      |     `-- Integration     owns accounts and receipts; runs one pipeline after the other
      |           `-- Pipeline  owns the ledgers, calls in flight, parked events and dead letters
      `-- Inbound               the way back: webhooks, and the directory of users with a pipeline of its own

A pipeline that fails is replaced after a wait, and the others do not notice. The first SIGTERM or SIGINT drains, the
second ends at once. The exit code is 0 after a drained signal, and 78 when our set-up can never join the brokers.
"""

import asyncio
import gc
import os
import time
from collections.abc import Iterator, Sequence
from typing import Final

import uvloop

from streamer import __version__, logs, tracing
from streamer.access import Access
from streamer.commit import commit
from streamer.core.errors import SettingsError
from streamer.destinations import Destination
from streamer.fleet import Fleet
from streamer.inbound.inbound import Inbound
from streamer.integration import Integration
from streamer.kafka.client_lines import ABOUT_CONNECTIONS
from streamer.level_signals import LEVEL_SIGNALS, Wish
from streamer.listening import SOCKET_NAME
from streamer.logs import Event, logger
from streamer.logs.events import DEBUG
from streamer.logs.observing import observing
from streamer.pipeline.identifying import Identification
from streamer.pipeline.runner import Runner, root_of
from streamer.server import Server
from streamer.service_view import ServiceView
from streamer.settings import Settings
from streamer.settings.inbound import INBOUND
from streamer.status.histogram import DURATION_SECONDS, Histogram
from streamer.status.history import STEP_SECONDS, History
from streamer.stop_signals import FORCED, STOP_SIGNALS
from streamer.timings import PRODUCTION, Timings
from streamer.whereabouts import Whereabouts

SAMPLE_SECONDS: Final = 0.25
"""How often it is looked how late the event loop is, and what limits each integration."""

GC_THRESHOLD: Final = 50_000
"""Objects made and not freed before the collector looks for cycles; Python's own default is 700."""


def main(settings: Settings, *, release_guard: Sequence[str] = ()) -> int:
    """Run the service until a signal; returns the exit code.

    Args:
        settings: the whole configuration.
        release_guard: integrations that run again although the mass guard has stopped them.

    Raises:
        SettingsError: a broker refuses our credentials or protocol, or an integration to release does not exist.
        UnavailableError: the HTTP port, a write key file or the state directory cannot be used.
    """
    if STOP_SIGNALS.count:
        return 0  # it came while all this was loaded: nothing was opened yet
    # Events die by their reference counts; a cycle collector that looks at every young object costs a third of the CPU.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    configured = logs.configured(settings.log, said_elsewhere=ABOUT_CONNECTIONS)
    with (
        configured,
        tracing.configured(tracing.switch_of(os.environ), _groups(settings), lambda: STOP_SIGNALS.count > 1),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_run_until_signal(settings, release_guard))


def _groups(settings: Settings) -> dict[str, str]:
    """The consumer group of each integration, the way back included."""
    groups = {name: integration.group_id for name, integration in settings.integrations.items()}
    return groups if settings.inbound is None else groups | {INBOUND: settings.inbound.group_id}


async def _run_until_signal(settings: Settings, release_guard: Sequence[str]) -> int:
    stop = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"

    def on_signal(count: int) -> None:
        stop.set()
        if count > 1:
            running.cancel()

    loop = asyncio.get_running_loop()
    with (
        LEVEL_SIGNALS.passed_to(lambda wish: loop.call_soon_threadsafe(_change_level, wish)),
        STOP_SIGNALS.passed_to(lambda count: loop.call_soon_threadsafe(on_signal, count)),
    ):
        try:
            service = Service(settings)
            service.release_guard(release_guard)
            await service.run(stop)
        except asyncio.CancelledError:
            return FORCED
    return 0


def _change_level(wish: Wish) -> None:
    log = logger()
    log.change_level(DEBUG if wish is Wish.DEBUG else log.configured_level)


class Service:
    """All integrations, destinations and the HTTP server of one process."""

    def __init__(self, settings: Settings, timings: Timings = PRODUCTION) -> None:
        """Open what is on local disk; nothing is connected before `run`.

        Args:
            settings: the whole configuration.
            timings: how long to wait for what; tests pass shorter ones.

        Raises:
            UnavailableError: a write key file or the state directory cannot be used.
        """
        self._fleet = Fleet(settings, timings)
        self._timings = timings
        self.started_at = time.time()
        self.is_listening = asyncio.Event()
        """Set once all ports are open."""
        self.is_draining = False
        self.loop_lag_seconds = Histogram(DURATION_SECONDS)
        """How late the event loop runs what is due."""
        self.history = History()
        self.inbound = None if settings.inbound is None else Inbound(settings, timings)
        """The way back; None: it is off."""
        self._view = ServiceView(self)
        access = Access(host=settings.server.host, token_file=settings.server.token_file)
        self._server = Server(
            settings.server, self._view, access, socket=settings.state_dir / SOCKET_NAME, more=[Whereabouts(self)]
        )

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._fleet.settings

    @property
    def destinations(self) -> dict[str, Destination]:
        """By name, as they are now."""
        return self._fleet.destinations

    @property
    def integrations(self) -> dict[str, Integration]:
        """By name, as they are now."""
        return self._fleet.integrations

    @property
    def identification(self) -> Identification | None:
        """Knows the users of devices; None: no integration asks for them."""
        return self._fleet.identification

    @property
    def port(self) -> int:
        """The port on which health, metrics and status are served, once running."""
        return self._server.port

    def release_guard(self, names: Sequence[str]) -> None:
        """Let integrations run again that the mass guard has stopped; call this before `run`.

        Raises:
            SettingsError: one of them is not in the configuration.
        """
        unknown = [name for name in names if name not in self.integrations]
        if unknown:
            raise SettingsError([f"--release-guard {name}: there is no integration of this name" for name in unknown])
        for name in names:
            self.integrations[name].release_guard()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then drain.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            UnavailableError: an HTTP port or a secret of a webhook cannot be used.
        """
        logger().emit(Event.CONFIG_LOADED, config_sha256=self.settings.fingerprint())
        await self._server.start()
        logger().emit(Event.SERVICE_STARTED, version=__version__, commit=commit())
        for integration in self._fleet:
            with observing("findings", integration=integration.name):
                integration.tell_findings()
        try:
            if self.inbound is not None:
                await self.inbound.start()
            self.is_listening.set()
            async with asyncio.TaskGroup() as tasks:
                side_tasks = [
                    tasks.create_task(self._summarise(), name="summary"),
                    tasks.create_task(self._sample(), name="sample"),
                    tasks.create_task(self._note_history(), name="history"),
                ]
                self._fleet.start(tasks)
                way_back = None
                if self.inbound is not None:
                    way_back = tasks.create_task(self.inbound.run(stop), name="inbound")
                await stop.wait()
                self.is_draining = True
                await self._fleet.drain_all()
                if way_back is not None:
                    await asyncio.wait({way_back})
                for task in side_tasks:
                    task.cancel()
        except ExceptionGroup as group:
            # Not "except*": early Python 3.11 puts what is raised there into another group.
            refused = group.subgroup(SettingsError)
            if refused is None:
                raise
            raise root_of(refused) from None
        finally:
            self._summarise_all(is_last=True)
            await self._close()
            logger().emit(Event.SERVICE_STOPPED)

    async def _close(self) -> None:
        """Close everything. What cannot be closed must not keep receipts from being written out."""
        if self.inbound is not None:
            with observing("end of the webhooks"):
                await self.inbound.stop()
        await self._fleet.close()
        with observing("end of the HTTP server"):
            await self._server.stop()

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(self._timings.summary_every)
            self._summarise_all()

    def _summarise_all(self, *, is_last: bool = False) -> None:
        for integration in self._fleet:
            with observing("summary", integration=integration.name):
                integration.summarise(is_last=is_last)
        if self.inbound is not None and self.inbound.keeper is not None:
            with observing("summary", integration=INBOUND):
                self.inbound.keeper.summarise(is_last=is_last)

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(SAMPLE_SECONDS)
            passed = loop.time() - began
            self.loop_lag_seconds.observe(max(passed - SAMPLE_SECONDS, 0.0))
            with observing("traces"):
                tracing.tracer().tell()
            for destination in self.destinations.values():
                with observing("requests that hang"):
                    destination.end_hanging()
            for runner in self._runners():
                with observing("limit", integration=runner.name):
                    runner.note_limit(passed)
                with observing("rate", integration=runner.name):
                    runner.note_rate(loop.time())
            logger().write_folded()

    async def _note_history(self) -> None:
        while True:
            with observing("history"):
                self.history.note(self._view.status(), time.time())
            await asyncio.sleep(STEP_SECONDS)

    def _runners(self) -> Iterator[Runner]:
        yield from (integration.runner for integration in self._fleet)
        if self.inbound is not None and self.inbound.keeper is not None:
            yield self.inbound.keeper.runner
