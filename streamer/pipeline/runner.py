"""Runs the pipelines of one subscription, one after the other: what outlives them, and when the next one starts."""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable

from streamer import logs
from streamer.core.delivery.limiting import Limit, LimitedTime
from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.model import DeadLetterReason
from streamer.core.records.account import Account, Totals
from streamer.core.records.drain import Drain
from streamer.core.steering.pause import Pause, in_force
from streamer.kafka import CommitResult
from streamer.logs import Event, logger
from streamer.pipeline.assignment import REBALANCES
from streamer.pipeline.contact import Contact
from streamer.pipeline.endings import unless_cancelled
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.pipeline import Pipeline
from streamer.pipeline.ports import Brokers
from streamer.pipeline.subscription import Subscription
from streamer.pipeline.watchdog import StalledError
from streamer.pipeline.worker import MakeWorker
from streamer.status.recent_letters import RecentLetters
from streamer.timings import Timings


class Runner:
    """A pipeline that fails is replaced after a wait. Everything public outlives the pipelines."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        new_brokers: Callable[[], Brokers],
        make_worker: MakeWorker,
        guard_memory: GuardMemory,
        timings: Timings,
    ) -> None:
        """Prepare; nothing is connected before `run`.

        Args:
            subscription: what to consume.
            new_brokers: makes the way to the cluster, anew for each pipeline.
            make_worker: makes what takes the records, anew for each pipeline.
            guard_memory: where a stop by the mass guard is remembered.
            timings: how long to wait for what.
        """
        self.subscription = subscription
        self.accounts: defaultdict[tuple[str, int], Account] = defaultdict(Account)
        """By topic and partition."""
        self.pipeline: Pipeline | None = None
        """The present one."""
        self.has_started = subscription.is_paused
        """Whether it has joined its consumer group once, or is paused: then nobody waits for it."""
        self.consecutive_stalls = 0
        """How often the watchdog has ended its pipeline lately."""
        self.restarts = 0
        self.last_error = ""
        self.discards = False
        """Whether the configuration has all records filtered as ``paused``; its owner knows that."""
        self.awaits_orders = False
        """Whether nothing is read before it is known what operators have ordered."""
        self.order_at: float | None = None
        """When the order was given that it obeys, in seconds since the epoch; None: nobody has ordered anything."""
        self._ordered: Pause | None = None
        self.contact = Contact(subscription.name, timings)
        """Whether the brokers answer."""
        self.recent_letters = RecentLetters()
        self.limited = LimitedTime()
        """What has kept it from being faster."""
        self._new_brokers = new_brokers
        self._make_worker = make_worker
        self._guard_memory = guard_memory
        self._timings = timings
        self._earlier_commits: Counter[CommitResult] = Counter()
        self._earlier_rebalances: Counter[str] = Counter()
        """Of the pipelines before the present one."""
        self._drain = Drain()
        self._settled_at_stall = 0
        self._began = time.monotonic()
        """When the present pipeline was started."""

    @property
    def name(self) -> str:
        """That of the subscription."""
        return self.subscription.name

    @property
    def pause(self) -> Pause | None:
        """What keeps it from delivering because a person wants that; None: nothing."""
        is_configured = self.subscription.is_paused or self.discards
        configured = Pause(discards=not self.subscription.is_paused) if is_configured else None
        return in_force(self._ordered, configured)

    @property
    def is_paused(self) -> bool:
        """Whether its records wait on Kafka because a person wants that."""
        return self.pause is not None and not self.pause.discards

    def await_orders(self) -> None:
        """Read nothing before `steer` is called; everything else may begin."""
        self.awaits_orders = True

    def steer(self, ordered: Pause | None, *, order_at: float | None = None) -> None:
        """Obey an order from now on; calls that are open are delivered nevertheless.

        Args:
            ordered: the pause that it means now.
            order_at: when it was given, in seconds since the epoch.
        """
        self.order_at = order_at
        if self.awaits_orders or ordered != self._ordered:
            self.awaits_orders, self._ordered = False, ordered
            if self.pipeline is not None:
                self.pipeline.look_at_orders()

    def release_guard(self) -> bool:
        """Let it run again if the mass guard has stopped it; whether it had."""
        was_guarded = self._guard_memory.is_guarded()
        if was_guarded:
            self._guard_memory.release()
            if self.pipeline is not None:
                self.pipeline.release_guard()
        return was_guarded

    def _may_read(self) -> bool:
        return not self.awaits_orders and not self.is_paused

    def adopt(self, subscription: Subscription) -> None:
        """Consume something else when it is run again; call this only while it does not run."""
        assert subscription.name == self.name, "what outlives pipelines belongs to a name"
        self.subscription = subscription
        self.has_started = self.has_started or subscription.is_paused
        self.consecutive_stalls = 0

    async def run(self, stop: asyncio.Event, *, is_watched: bool = True) -> None:
        """Run pipelines until ``stop`` is set. After that it can be run again.

        Args:
            stop: when to drain.
            is_watched: whether somebody watches, as at the start of the process. If not, a set-up that the brokers
                refuse is tried again and again.

        Raises:
            SettingsError: a broker and our set-up refuse each other, they never worked together before, and somebody
                watches.
        """
        wait = self._timings.restart_min
        while not stop.is_set():
            self._began = time.monotonic()
            self._keep_counts()
            self.pipeline = self._new_pipeline()
            try:
                await unless_cancelled(self.pipeline.run(stop))
            except Exception as error:
                # At the start somebody is watching. Later, a password that was changed on one side only must not end
                # what still works.
                if isinstance(error, SettingsError) and is_watched and not self.has_started:
                    raise
                if time.monotonic() - self._began > self._timings.healthy_after:
                    wait, self.consecutive_stalls = self._timings.restart_min, 0
                self._tell_failure(error, wait)
                await _sleep_unless(stop, wait)
                wait = min(wait * 2, self._timings.restart_max)

    def _new_pipeline(self) -> Pipeline:
        return Pipeline(
            self.subscription,
            brokers=self._new_brokers(),
            make_worker=self._make_worker,
            account_of=lambda topic, partition: self.accounts[topic, partition],
            on_connected=self._on_connected,
            guard_memory=self._guard_memory,
            contact=self.contact,
            recent_letters=self.recent_letters,
            may_read=self._may_read,
            timings=self._timings,
        )

    def _on_connected(self) -> None:
        self.has_started = True

    def _moves(self) -> bool:
        """Whether records have ended since the last stall, or the pipeline has run long enough without one."""
        is_healthy = time.monotonic() - self._began > self._timings.healthy_after
        return is_healthy or self._settled() > self._settled_at_stall

    def _settled(self) -> int:
        return sum(account.settled for account in self.accounts.values())

    def _keep_counts(self) -> None:
        """What ends with the present pipeline and counts since the start of the process."""
        if self.pipeline is not None:
            self._earlier_commits.update(self.pipeline.assignment.commits.results)
            self._earlier_rebalances.update(self.pipeline.assignment.rebalances)

    def commits(self) -> dict[CommitResult, int]:
        """How many commits have ended in which way."""
        present = {} if self.pipeline is None else self.pipeline.assignment.commits.results
        return {result: self._earlier_commits[result] + present.get(result, 0) for result in CommitResult}

    def rebalances(self) -> dict[str, int]:
        """How often the assignment has changed, by kind."""
        present = {} if self.pipeline is None else self.pipeline.assignment.rebalances
        return {kind: self._earlier_rebalances[kind] + present.get(kind, 0) for kind in REBALANCES}

    def totals(self) -> Totals:
        """The account, summed over the partitions."""
        ledgers = self.pipeline.assignment.ledgers.values() if self.pipeline is not None else ()
        return Totals.of(self.accounts.values(), in_flight=sum(ledger.open_records for ledger in ledgers))

    def dead_letter_reasons(self) -> Counter[DeadLetterReason]:
        """How many records were dead-lettered for each reason, in all partitions."""
        return sum((account.dead_lettered for account in self.accounts.values()), Counter())

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
        if self.is_paused:
            limit = Limit.PAUSED
        else:
            limit = Limit.FETCH if self.pipeline is None else self.pipeline.limited_by(time.monotonic())
        self.limited.add(limit, seconds)

    def _tell_failure(self, error: Exception, wait_seconds: float) -> None:
        cause = root_of(error)
        self.restarts += 1
        self.consecutive_stalls = self.consecutive_stalls + 1 if isinstance(cause, StalledError) else 0
        self._settled_at_stall = self._settled()
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


def root_of(error: BaseException) -> BaseException:
    """The first single error in a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
