"""The service: who runs, who owns which state, how it starts and stops. It has no rules of its own.

    Service --------- owns: accounts, receipts, destinations (state, permits, connections), the HTTP server
      `-- Pipeline    one per integration, replaced when it fails: ledgers, calls in flight, parked events, dead letters

A pipeline that fails is started again after a wait, and the others do not notice. The first SIGTERM or SIGINT drains, the
second ends at once. The exit code is 0 after a drained signal, and 78 when a broker refuses our credentials.
"""

import asyncio
import contextlib
import signal
import time
from collections import defaultdict
from typing import Final

import uvloop

from streamer import logs
from streamer.core.account import Account
from streamer.core.errors import SettingsError
from streamer.dead_letters import GuardMemory
from streamer.destination import Destination
from streamer.logs import Event, logger
from streamer.pipeline import Pipeline
from streamer.receipts import Receipts
from streamer.settings import Settings

RESTART_MIN_SECONDS: Final = 1.0
RESTART_MAX_SECONDS: Final = 60.0
HEALTHY_AFTER_SECONDS: Final = 120.0
"""A pipeline that ran so long is started again after the shortest wait."""

SUMMARY_SECONDS: Final = 60.0

FORCED: Final = 143
"""Exit code when a second signal cut the drain short."""


def main(settings: Settings) -> int:
    """Run the service until a signal; returns the exit code.

    Raises:
        SettingsError: a broker refuses our credentials or protocol.
        UnavailableError: the HTTP port, a write key file or the state directory cannot be used.
    """
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
        self.restarts = 0
        self.last_error = ""
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
            SettingsError: a broker refuses our credentials or protocol.
        """
        wait = RESTART_MIN_SECONDS
        while not stop.is_set():
            began = time.monotonic()
            self.pipeline = self._new_pipeline()
            try:
                await self.pipeline.run(stop)
            except SettingsError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and this one starts again
                if time.monotonic() - began > HEALTHY_AFTER_SECONDS:
                    wait = RESTART_MIN_SECONDS
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
            observe_latency=lambda records, now: None,
            guard_memory=self._guard_memory,
        )

    def _tell_failure(self, error: Exception, wait_seconds: float) -> None:
        cause = _root_of(error)
        self.restarts += 1
        self.last_error = type(cause).__name__
        logger().emit(
            Event.PIPELINE_RESTARTED,
            integration=self.name,
            error_type=type(cause).__name__,
            stack=logs.place_of(cause),
            wait_seconds=wait_seconds,
        )


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
        self.destinations = {
            name: Destination(name, destination) for name, destination in settings.destinations.items()
        }
        self.integrations = {
            name: Integration(name, settings, self.destinations[integration.destination])
            for name, integration in settings.integrations.items()
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then drain.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            UnavailableError: the HTTP port cannot be used.
        """
        logger().emit(Event.SERVICE_STARTED)
        try:
            async with asyncio.TaskGroup() as tasks:
                summary = tasks.create_task(self._summarise(), name="summary")
                pipelines = [
                    tasks.create_task(integration.run(stop), name=f"integration {name}")
                    for name, integration in self.integrations.items()
                    if not integration.settings.is_held
                ]
                await stop.wait()
                self.is_draining = True
                if pipelines:
                    await asyncio.wait(pipelines)
                summary.cancel()
        except* SettingsError as group:
            raise _root_of(group) from None
        finally:
            for destination in self.destinations.values():
                await destination.close()
            for integration in self.integrations.values():
                integration.receipts.close()
            logger().emit(Event.SERVICE_STOPPED)

    async def _summarise(self) -> None:
        while True:
            await asyncio.sleep(SUMMARY_SECONDS)


def _root_of(error: BaseException) -> BaseException:
    """The first single error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
