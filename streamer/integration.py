"""One integration, over the pipelines that run it one after the other: what outlives them, when the next one starts."""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, NamedTuple

from streamer import logs
from streamer.core.delivery.limiting import Limit, LimitedTime
from streamer.core.delivery.parked import Parked
from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.pushing import new_mapper
from streamer.core.records.account import Account, Totals
from streamer.core.records.custody import Custody
from streamer.core.records.drain import Drain
from streamer.core.records.filtered_out import FilteredOut
from streamer.core.records.open_record import OpenRecord
from streamer.destinations import Destination
from streamer.kafka import Brokers
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline import Pipeline
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.delivery import Delivery
from streamer.pipeline.endings import unless_cancelled
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.watchdog import StalledError
from streamer.receipts import ProblemKind, Receipts, destination_fingerprint
from streamer.settings import Settings
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.timings import Timings


class Integration:
    """One integration, over the pipelines that run it one after the other."""

    def __init__(self, name: str, settings: Settings, *, destination: Destination, timings: Timings) -> None:
        """Open the receipts; nothing is connected before `run`.

        Args:
            name: of the integration.
            settings: the whole configuration.
            destination: borrowed from the service.
            timings: how long to wait for what.
        """
        self.name = name
        self.settings = settings.integrations[name]
        self.destination = destination
        self.accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        self.pipeline: Pipeline | None = None
        self.has_started = self.settings.is_paused
        """Whether it has joined its consumer group once, or is paused: then nobody waits for it."""
        self.consecutive_stalls = 0
        """How often the watchdog has ended its pipeline lately."""
        self.restarts = 0
        self.last_error = ""
        self.latency_seconds: defaultdict[str, Histogram] = defaultdict(lambda: Histogram(LATENCY_SECONDS))
        """Broker's time of a record to its 2xx, by topic."""
        self.contact = Contact(name, timings)
        """Whether the brokers answer."""
        self.limited = LimitedTime()
        """What has kept it from being faster."""
        self.filtered_out = FilteredOut()
        """Topics that have nothing to deliver, because all their latest records are ``not_in_stream``."""
        self._drain = Drain()
        self._settled_at_stall = 0
        self._began = time.monotonic()
        """When the present pipeline was started."""
        self._all_settings = settings
        self._timings = timings
        directory = settings.state_dir / name
        self._guard_memory = GuardMemory(directory, fingerprint=settings.fingerprint())
        self.receipts = Receipts.open(
            directory / "receipts",
            window_seconds=settings.receipts.window,
            max_bytes=settings.receipts.max_bytes,
            now=time.time(),
            destination=self._destination_fingerprint(),
        )
        destination.on_key_changed(self._on_key_changed)

    def _destination_fingerprint(self) -> str:
        settings = self.destination.settings
        return destination_fingerprint(settings.url, settings.read_key(), settings.message_id_suffix)

    def _on_key_changed(self) -> None:
        """The destination has another write key: what was delivered with the former one proves nothing."""
        self.receipts.serve(self._destination_fingerprint(), time.time())

    def release_guard(self) -> None:
        """Let it run again although the mass guard has stopped it; call this before `run`."""
        self._guard_memory.release()
        logger().emit(Event.GUARD_RELEASED, integration=self.name)

    async def run(self, stop: asyncio.Event) -> None:
        """Run pipelines until ``stop`` is set.

        Raises:
            SettingsError: a broker and our set-up refuse each other, and they never worked together before.
        """
        wait = self._timings.restart_min
        while not stop.is_set():
            self._began = time.monotonic()
            self.pipeline = self._new_pipeline()
            try:
                await unless_cancelled(self.pipeline.run(stop))
            except Exception as error:
                # At the start somebody is watching. Later, a password that was changed on one side only must not end
                # what still works.
                if isinstance(error, SettingsError) and not self.has_started:
                    raise
                if time.monotonic() - self._began > self._timings.healthy_after:
                    wait, self.consecutive_stalls = self._timings.restart_min, 0
                self._tell_failure(error, wait)
                await _sleep_unless(stop, wait)
                wait = min(wait * 2, self._timings.restart_max)

    def _new_pipeline(self) -> Pipeline:
        settings = self._all_settings
        return Pipeline(
            self.name,
            settings,
            brokers=Brokers(settings.kafka, fetch_share=1 / len(settings.integrations), timings=self._timings),
            make_worker=self._new_delivery,
            account_of=lambda topic, partition: self.accounts[topic, partition],
            on_connected=self._on_connected,
            guard_memory=self._guard_memory,
            contact=self.contact,
            timings=self._timings,
        )

    def _new_delivery(self, custody: Custody, dead_letters: DeadLetters) -> Delivery:
        limits = self.settings.limits
        return Delivery(
            self.name,
            destination=self.destination,
            mapper=new_mapper(self._all_settings.mapping(self.name)),
            receipts=self.receipts,
            parked=Parked(max_per_partition=limits.max_parked_per_partition, max_bytes=limits.max_open_bytes),
            custody=custody,
            dead_letters=dead_letters,
            observe_latency=self._observe_latency,
        )

    def _on_connected(self) -> None:
        self.has_started = True

    def _moves(self) -> bool:
        """Whether records have ended since the last stall, or the pipeline has run long enough without one."""
        is_healthy = time.monotonic() - self._began > self._timings.healthy_after
        return is_healthy or sum(account.settled for account in self.accounts.values()) > self._settled_at_stall

    def _observe_latency(self, records: Sequence[OpenRecord], now: float) -> None:
        ages: defaultdict[str, list[float]] = defaultdict(list)
        for record in records:
            ages[record.ledger.topic].append(now - record.record.timestamp / 1000)
        for topic, seconds in ages.items():
            self.latency_seconds[topic].observe_all(seconds)

    def totals(self) -> Totals:
        """The account of the integration, summed over its partitions."""
        ledgers = self.pipeline.assignment.ledgers.values() if self.pipeline is not None else ()
        return Totals.of(self.accounts.values(), in_flight=sum(ledger.open_records for ledger in ledgers))

    def drain_eta_seconds(self, now: float) -> dict[str, float]:
        """How long the lag of each topic takes at the rate of the last minute, where that can be said.

        Args:
            now: monotonic seconds.
        """
        return self._drain.seconds(self.pipeline.lags(now) if self.pipeline is not None else {})

    def note_rate(self, now: float) -> None:
        """Note how much was settled by ``now``, in monotonic seconds."""
        if self._drain.is_due(now):
            settled: Counter[str] = Counter()
            for (topic, _), account in self.accounts.items():
                settled[topic] += account.settled
            self._drain.note(settled, now)

    def note_limit(self, seconds: float) -> None:
        """Note what keeps it from being faster now; the last time was ``seconds`` ago."""
        if self.consecutive_stalls and self._moves():
            self.consecutive_stalls = 0
        if self.settings.is_paused:
            limit = Limit.PAUSED
        else:
            limit = Limit.FETCH if self.pipeline is None else self.pipeline.limited_by(time.monotonic())
        self.limited.add(limit, seconds)

    def summarise(self) -> None:
        """Log what has happened since the start, once a minute, and how far it is behind."""
        for part, observe in (("topics", self._watch_topics), ("findings", self.tell_findings)):
            with observing(part, integration=self.name):
                observe()
        behind = Behind(None, None, None)
        with observing("lag", integration=self.name):
            behind = self._behind(time.monotonic())
        logger().emit(
            Event.SUMMARY,
            integration=self.name,
            **asdict(self.totals()),
            lag=behind.lag,
            drain_eta_seconds=behind.drain_eta_seconds,
            silent_seconds=behind.silent_seconds,
            destination=self.settings.destination,
            destination_state=self.destination.state.value,
        )

    def _behind(self, now: float) -> "Behind":
        lags = self.pipeline.lags(now) if self.pipeline is not None else {}
        known = [lag for lag in lags.values() if lag is not None]
        etas = self._drain.seconds(lags)
        silent = self.contact.silent_seconds(now)
        return Behind(
            lag=sum(known) if lags and len(known) == len(lags) else None,
            drain_eta_seconds=round(max(etas.values()), 1) if lags and len(etas) == len(lags) else None,
            silent_seconds=round(silent, 1) if silent is not None and self.contact.is_silent(now) else None,
        )

    def tell_findings(self) -> None:
        """Log what befell the receipts, and what was accepted although a platform's documents rule it out."""
        for problem in self.receipts.take_problems():
            logger().emit(_RECEIPT_EVENTS[problem.kind], integration=self.name, detail=problem.detail)
        if self.pipeline is None:
            return
        self.pipeline.dead_letters.tell()
        warnings = self.pipeline.worker.take_warnings()
        for warning, records in warnings.items():
            logger().emit(Event.RECORD_WARNING, integration=self.name, reason=warning, records=records)

    def _watch_topics(self) -> None:
        """Tell of topics that begin or cease to be filtered as a whole."""
        for topic in sorted(self.filtered_out.look(self.accounts)):
            records = self.filtered_out.topics.get(topic)
            event = Event.TOPIC_RESUMED if records is None else Event.TOPIC_FILTERED_OUT
            logger().emit(event, integration=self.name, topic=topic, records=records)

    def _tell_failure(self, error: Exception, wait_seconds: float) -> None:
        cause = root_of(error)
        self.restarts += 1
        self.consecutive_stalls = self.consecutive_stalls + 1 if isinstance(cause, StalledError) else 0
        self._settled_at_stall = sum(account.settled for account in self.accounts.values())
        self.last_error = type(cause).__name__
        if isinstance(cause, SettingsError | UnavailableError):  # its text is ours, and says what to correct
            logger().emit(Event.KAFKA_UNAVAILABLE, integration=self.name, detail=str(cause), wait_seconds=wait_seconds)
            return
        logger().emit(
            Event.PIPELINE_RESTARTED,
            integration=self.name,
            error_type=type(cause).__name__,
            stack=logs.place_of(cause),
            wait_seconds=wait_seconds,
        )


class Behind(NamedTuple):
    """How far an integration is behind, as a line says it: what is not known is None, and left out."""

    lag: int | None
    drain_eta_seconds: float | None
    silent_seconds: float | None


_RECEIPT_EVENTS: Final = {
    ProblemKind.POWER_LOST: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.UNREADABLE: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.OTHER_DESTINATION: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.FULL: Event.RECEIPTS_SHRUNK,
    ProblemKind.UNUSABLE: Event.RECEIPTS_UNUSABLE,
}


def root_of(error: BaseException) -> BaseException:
    """The first single error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
