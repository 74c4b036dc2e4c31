"""The service: who runs, who owns which state, how it starts and stops. It has no rules of its own.

    Service --------- owns: accounts, receipts, destinations (state, permits, connections), the HTTP server
      `-- Pipeline    one per integration, replaced when it fails: ledgers, calls in flight, parked events, dead letters

A pipeline that fails is started again after a wait, and the others do not notice. The first SIGTERM or SIGINT drains,
the second ends at once. The exit code is 0 after a drained signal, and 78 when a broker refuses our credentials.
"""

import asyncio
import contextlib
import gc
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import uvloop

from streamer import logs
from streamer.core.account import Account
from streamer.core.errors import SettingsError
from streamer.core.ledger import OpenRecord
from streamer.dead_letters import GuardMemory
from streamer.destination import Destination
from streamer.logs import Event, logger
from streamer.pipeline import Pipeline
from streamer.receipts import ProblemKind, Receipts
from streamer.server import Server
from streamer.settings import Settings
from streamer.status.histogram import DURATION_SECONDS, LATENCY_SECONDS, Histogram
from streamer.status.view import ServiceView
from streamer.watchdog import StalledError

RESTART_MIN_SECONDS: Final = 1.0
RESTART_MAX_SECONDS: Final = 60.0
HEALTHY_AFTER_SECONDS: Final = 600.0
"""A pipeline that ran so long is started again after the shortest wait; its stall is not counted with earlier ones."""

SUMMARY_SECONDS: Final = 60.0

LOOP_LAG_EVERY_SECONDS: Final = 0.25

GC_THRESHOLD: Final = 50_000
"""Objects made and not freed before the collector looks for cycles; Python's own default is 700."""

FORCED: Final = 143
"""Exit code when a second signal cut the drain short."""


def main(settings: Settings) -> int:
    """Run the service until a signal; returns the exit code.

    Raises:
        SettingsError: a broker refuses our credentials or protocol.
        UnavailableError: the HTTP port, a write key file or the state directory cannot be used.
    """
    # Events die by their reference counts; a cycle collector that looks at every young object costs a third of the CPU.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    with logs.configured(settings.log), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_until_signal(settings))


async def _run_until_signal(settings: Settings) -> int:
    stop = asyncio.Event()
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"

    def on_signal() -> None:
        if stop.is_set():
            running.cancel()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await Service(settings).run(stop)
    except asyncio.CancelledError:
        return FORCED
    return 0


class Integration:
    """One integration, over the pipelines that run it one after the other."""

    def __init__(self, name: str, settings: Settings, destination: Destination) -> None:
        self.name = name
        self.settings = settings.integrations[name]
        self.destination = destination
        self.accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.pipeline: Pipeline | None = None
        self.has_started = self.settings.is_held
        """Whether it has joined its consumer group once, or need not."""
        self.stalls_in_row = 0
        """How often the watchdog has ended its pipeline lately."""
        self.restarts = 0
        self.last_error = ""
        self.latency_seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LATENCY_SECONDS))
        """Broker's time of a record to its 2xx, by topic."""
        self.drain_eta_seconds: dict[str, float] = {}
        self._settled_before: Counter[str] = Counter()
        self._all_settings = settings
        directory = settings.state_dir / name
        self._guard_memory = GuardMemory(directory, fingerprint=settings.fingerprint())
        self.receipts = Receipts.open(
            directory / "receipts",
            window_seconds=settings.receipts.window,
            max_bytes=settings.receipts.max_bytes,
            now=time.time(),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run pipelines until ``stop`` is set.

        Raises:
            SettingsError: a broker and our set-up refuse each other, and they never worked together before.
        """
        wait = RESTART_MIN_SECONDS
        while not stop.is_set():
            began = time.monotonic()
            self.pipeline = self._new_pipeline()
            try:
                await self.pipeline.run(stop)
            except Exception as error:
                # At the start somebody is watching. Later, a password that was changed on one side only must not end
                # what still works.
                if isinstance(error, SettingsError) and not self.has_started:
                    raise
                if time.monotonic() - began > HEALTHY_AFTER_SECONDS:
                    wait, self.stalls_in_row = RESTART_MIN_SECONDS, 0
                self._tell_failure(error, wait)
                await _sleep_unless(stop, wait)
                wait = min(wait * 2, RESTART_MAX_SECONDS)

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(
            self.name,
            self._all_settings,
            destination=self.destination,
            receipts=self.receipts,
            account_of=lambda topic, partition: self.accounts[topic, partition],
            on_connected=self._on_connected,
            observe_latency=self._observe_latency,
            guard_memory=self._guard_memory,
        )

    def _on_connected(self) -> None:
        self.has_started = True

    def _observe_latency(self, records: Sequence[OpenRecord], now: float) -> None:
        for record in records:
            self.latency_seconds[record.record.topic].observe(now - record.record.timestamp / 1000)

    def summarise(self) -> None:
        """Log what has happened since the start, once a minute, and note when the lag will be worked off."""
        self._estimate_drain()
        self.tell_findings()
        accounts = self.accounts.values()
        ledgers = self.pipeline.assignment.ledgers.values() if self.pipeline is not None else ()
        logger().emit(
            Event.SUMMARY,
            integration=self.name,
            consumed=sum(account.consumed for account in accounts),
            delivered=sum(account.delivered for account in accounts),
            duplicate=sum(account.duplicate for account in accounts),
            filtered=sum(account.filtered.total() for account in accounts),
            dead_lettered=sum(account.dead_lettered.total() for account in accounts),
            handed_back=sum(account.handed_back for account in accounts),
            in_flight=sum(ledger.open_records for ledger in ledgers),
            destination=self.settings.destination,
            destination_state=self.destination.state.value,
        )

    def tell_findings(self) -> None:
        """Log what befell the receipts, and what was accepted although a platform's documents rule it out."""
        for problem in self.receipts.take_problems():
            logger().emit(_RECEIPT_EVENTS[problem.kind], integration=self.name, detail=problem.detail)
        warnings = self.pipeline.take_warnings() if self.pipeline is not None else {}
        for warning, records in warnings.items():
            logger().emit(Event.RECORD_WARNING, integration=self.name, reason=warning, records=records)

    def _estimate_drain(self) -> None:
        """How long the lag of each topic takes at the rate of the last minute; absent where nothing was settled."""
        settled: Counter[str] = Counter()
        for (topic, _), account in self.accounts.items():
            settled[topic] += account.settled
        lags = self.pipeline.lags() if self.pipeline is not None else {}
        rates = {topic: (settled[topic] - self._settled_before[topic]) / SUMMARY_SECONDS for topic in settled}
        self.drain_eta_seconds = {topic: lag / rates[topic] for topic, lag in lags.items() if rates.get(topic, 0) > 0}
        self._settled_before = settled

    def _tell_failure(self, error: Exception, wait_seconds: float) -> None:
        cause = _root_of(error)
        self.restarts += 1
        self.stalls_in_row = self.stalls_in_row + 1 if isinstance(cause, StalledError) else 0
        self.last_error = type(cause).__name__
        if isinstance(cause, SettingsError):  # its text is ours, and says what to correct
            logger().emit(Event.KAFKA_UNAVAILABLE, integration=self.name, detail=str(cause), wait_seconds=wait_seconds)
            return
        logger().emit(
            Event.PIPELINE_RESTARTED,
            integration=self.name,
            error_type=type(cause).__name__,
            stack=logs.place_of(cause),
            wait_seconds=wait_seconds,
        )


_RECEIPT_EVENTS: Final = {
    ProblemKind.POWER_LOST: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.UNREADABLE: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.FULL: Event.RECEIPTS_SHRUNK,
    ProblemKind.UNUSABLE: Event.RECEIPTS_UNUSABLE,
}


class Service:
    """All integrations, destinations and the HTTP server of one process."""

    def __init__(self, settings: Settings) -> None:
        """Open what is on local disk; nothing is connected before `run`.

        Raises:
            UnavailableError: a write key file or the state directory cannot be used.
        """
        self.settings = settings
        self.started_at = time.time()
        self.is_draining = False
        self.loop_lag_seconds = Histogram(DURATION_SECONDS)
        """How late the event loop runs what is due."""
        self.destinations = {
            name: Destination(name, destination) for name, destination in settings.destinations.items()
        }
        self.integrations = {
            name: Integration(name, settings, self.destinations[integration.destination])
            for name, integration in settings.integrations.items()
        }
        self._server = Server(settings.server, ServiceView(self))

    @property
    def port(self) -> int:
        """The port on which health, metrics and status are served, once running."""
        return self._server.port

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then drain.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            UnavailableError: the HTTP port cannot be used.
        """
        logger().emit(Event.CONFIG_LOADED, config_sha256=self.settings.fingerprint())
        await self._server.start()
        logger().emit(Event.SERVICE_STARTED)
        for integration in self.integrations.values():
            integration.tell_findings()
        try:
            async with asyncio.TaskGroup() as tasks:
                side_tasks = [
                    tasks.create_task(self._summarise(), name="summary"),
                    tasks.create_task(self._measure_loop_lag(), name="loop lag"),
                ]
                pipelines = [
                    tasks.create_task(integration.run(stop), name=f"integration {name}")
                    for name, integration in self.integrations.items()
                    if not integration.settings.is_held
                ]
                await stop.wait()
                self.is_draining = True
                if pipelines:
                    await asyncio.wait(pipelines)
                for task in side_tasks:
                    task.cancel()
        except* SettingsError as group:
            raise _root_of(group) from None
        finally:
            for destination in self.destinations.values():
                await destination.close()
            for integration in self.integrations.values():
                integration.receipts.close()
            await self._server.stop()
            logger().emit(Event.SERVICE_STOPPED)

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)
            for integration in self.integrations.values():
                integration.summarise()

    async def _measure_loop_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOP_LAG_EVERY_SECONDS
            await asyncio.sleep(LOOP_LAG_EVERY_SECONDS)
            self.loop_lag_seconds.observe(max(loop.time() - due, 0.0))


def _root_of(error: BaseException) -> BaseException:
    """The first single error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
