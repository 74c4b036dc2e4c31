"""What the service shows of itself: `streamer.status` filled in from the parts that own the state."""

import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Final, Protocol

from streamer import __version__
from streamer.commit import commit
from streamer.core.delivery.transitions import State
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.destinations import Destination
from streamer.inbound.inbound import Inbound
from streamer.inbound.showing import inbound_status
from streamer.integration import Integration
from streamer.logs import logger
from streamer.logs.observing import observing
from streamer.pipeline import Pipeline
from streamer.pipeline.runner import Runner
from streamer.pipeline.showing import consumer_status
from streamer.receipts import Receipts
from streamer.reloading import Reloader
from streamer.settings import Settings
from streamer.settings.inbound import INBOUND
from streamer.status import (
    Check,
    ConsumerStatus,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    ReceiptsStatus,
    Reload,
    ServiceStatus,
)
from streamer.status.histogram import Histogram
from streamer.status.history import History
from streamer.status.memory import memory_bytes, memory_limit_bytes
from streamer.status.pausing import pause_in_words
from streamer.tracing import tracer

if TYPE_CHECKING:
    from streamer.inbound.keeper import Keeper

MAX_STALLS: Final = 3
"""Consecutive stalls, each cured by a new pipeline only for a while, at which the process asks to be restarted."""

MAX_NAMED: Final = 5
"""Most partitions that a check names."""


class Parts(Protocol):
    """The service, as far as it is shown."""

    @property
    def settings(self) -> Settings:
        """The configuration in force."""

    @property
    def integrations(self) -> Mapping[str, Integration]:
        """By name."""

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """By name."""

    @property
    def inbound(self) -> Inbound | None:
        """The way back; None: it is off."""

    @property
    def reloader(self) -> Reloader:
        """Reads the configuration again."""

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""

    @property
    def is_draining(self) -> bool:
        """Whether the service is ending."""

    @property
    def loop_lag_seconds(self) -> Histogram:
        """How late the event loop runs what is due."""

    @property
    def history(self) -> History:
        """The last 15 minutes."""


class ServiceView:
    """Tells the state of the service; a `streamer.status.StatusSource`."""

    def __init__(self, service: Parts) -> None:
        self._service = service
        self._states: dict[str, tuple[IntegrationState, float]] = {}
        """In which state each runner was seen last, and since when, in seconds since the epoch."""

    def live(self) -> Sequence[Check]:
        """Whether this process works. That the event loop turns is shown by the answer itself."""
        return [_is_moving(runner) for runner in self._runners()]

    def ready(self) -> Sequence[Check]:
        """Whether events flow, or could."""
        draining, integrations = self._service.is_draining, self._service.integrations.values()
        return [
            Check("draining", ok=not draining, detail="finishing requests in flight" if draining else ""),
            *(_is_joined(integration.runner, _filtered_out(integration)) for integration in integrations),
            self._destinations(),
            *self._way_back(),
        ]

    def started(self) -> Sequence[Check]:
        """Whether every integration has joined its group once, and the directory was opened."""
        keeper = self._keeper()
        opened = [] if keeper is None else [Check("directory", ok=keeper.is_open, detail=keeper.availability.reason)]
        return [*opened, *(_has_started(runner) for runner in self._runners())]

    def status(self) -> ServiceStatus:
        """Everything, at this moment."""
        service = self._service
        return ServiceStatus(
            version=__version__,
            python=platform.python_version(),
            commit=commit(),
            config_sha256=service.settings.fingerprint(),
            mapping_version=MAPPING_VERSION,
            config_reloads=self._config_reloads(),
            config=service.reloader.status,
            trace_spans=tracer().counts(),
            started_at=service.started_at,
            is_draining=service.is_draining,
            integrations=[self._show(integration) for integration in service.integrations.values()],
            destinations=[destination.status for destination in service.destinations.values()],
            loop_lag_seconds=service.loop_lag_seconds,
            inbound=None if service.inbound is None else self._show_inbound(service.inbound),
            last_faults=list(logger().last_faults),
            faults=Counter(logger().faults),
            memory_bytes=memory_bytes(),
            memory_limit_bytes=memory_limit_bytes(),
            instance=f"{socket.gethostname()}, process {os.getpid()}",
            history=service.history,
        )

    def _config_reloads(self) -> Counter[Reload]:
        listener = None if self._service.inbound is None else self._service.inbound.listener
        of_keys = (destination.status.key_reloads for destination in self._service.destinations.values())
        own = self._service.reloader.counts()
        return sum(of_keys, own if listener is None else own + listener.secret_reloads)

    def _destinations(self) -> Check:
        """One destination held leaves the others delivering: ready, degraded. All held: not ready."""
        held = [d for d in self._service.destinations.values() if d.state is State.HELD]
        detail = "; ".join(f"{d.name} held: {d.status.reason}" for d in held)
        return Check("destinations", ok=not held or len(held) < len(self._service.destinations), detail=detail)

    def _keeper(self) -> "Keeper | None":
        return None if self._service.inbound is None else self._service.inbound.keeper

    def _runners(self) -> list[Runner]:
        keeper = self._keeper()
        return [
            *(integration.runner for integration in self._service.integrations.values()),
            *([] if keeper is None else [keeper.runner]),
        ]

    def _way_back(self) -> list[Check]:
        inbound, keeper = self._service.inbound, self._keeper()
        checks = []
        if inbound is not None and inbound.publisher is not None:
            fault = inbound.publisher.fault
            checks.append(Check("webhooks", ok=fault is None, detail=fault or ""))
        if keeper is not None:
            checks.append(Check("directory", ok=keeper.availability.is_up, detail=keeper.availability.reason))
            if keeper.is_open:
                checks.append(_is_joined(keeper.runner))
        return checks

    def _show_inbound(self, inbound: Inbound) -> InboundStatus | None:
        with observing("status", integration=INBOUND):
            keeper = inbound.keeper
            return inbound_status(inbound, None if keeper is None else self._consumer(keeper.runner))
        return None

    def _show(self, integration: Integration) -> IntegrationStatus:
        """All of one integration; if that fails, what needs no part of it, so that the others are shown."""
        with observing("status", integration=integration.name):
            return self._integration(integration)
        return IntegrationStatus(
            name=integration.name,
            dialect=integration.settings.dialect,
            group=integration.settings.group_id,
            destination=integration.settings.destination,
            state=self._state_of(integration.runner),
            topics=integration.settings.topics,
            reason="its state cannot be shown; see the log for observer.failed",
            restarts=integration.runner.restarts,
            is_known=False,
            receipts=ReceiptsStatus(is_available=False, entries=0, bytes=0, shrunk_total=0),
        )

    def _integration(self, integration: Integration) -> IntegrationStatus:
        shared = self._consumer(integration.runner, integration.receipts)
        return IntegrationStatus(
            **{field.name: getattr(shared, field.name) for field in fields(shared)},
            dialect=integration.settings.dialect,
            latency_seconds=integration.latency_seconds,
            filtered_out=integration.filtered_out.topics,
            identified=_identified(integration),
            receipts=ReceiptsStatus(
                is_available=integration.receipts.available,
                entries=integration.receipts.entries(),
                bytes=integration.receipts.bytes(),
                shrunk_total=integration.receipts.shrunk_total,
            ),
        )

    def _consumer(self, runner: Runner, receipts: Receipts | None = None) -> ConsumerStatus:
        state = self._state_of(runner)
        if self._states.get(runner.name, (None, 0.0))[0] is not state:
            self._states[runner.name] = state, time.time()
        return consumer_status(runner, state, state_since=self._states[runner.name][1], receipts=receipts)

    def _state_of(self, runner: Runner) -> IntegrationState:
        pipeline = runner.pipeline
        if runner.is_paused:
            return IntegrationState.PAUSED
        if self._service.is_draining:
            return IntegrationState.DRAINING
        if pipeline is not None and pipeline.is_guarded:
            return IntegrationState.GUARDED
        if pipeline is not None and pipeline.is_connected and not runner.awaits_orders:
            return IntegrationState.RUNNING
        return IntegrationState.RESTARTING if runner.restarts else IntegrationState.STARTING


def _is_moving(runner: Runner) -> Check:
    stalls = runner.consecutive_stalls
    detail = f"{stalls} consecutive stalls" if stalls else ""
    return Check(_check_name(runner), ok=stalls < MAX_STALLS, detail=detail)


def _has_started(runner: Runner) -> Check:
    detail = "" if runner.has_started else "has not joined its consumer group yet"
    return Check(_check_name(runner), ok=runner.has_started, detail=detail)


def _is_joined(runner: Runner, *remarks: str) -> Check:
    name = _check_name(runner)
    pipeline, now = runner.pipeline, time.monotonic()
    silent = runner.contact.silent_seconds(now)
    if silent is not None and runner.contact.is_silent(now):
        return Check(
            name, ok=False, detail=f"no broker has answered for {silent:.0f} s; see the log for kafka.unavailable"
        )
    pause = runner.pause
    if pause is not None and not pause.discards:
        return Check(name, ok=True, detail=pause_in_words(pause, time.time()))
    if pipeline is None or not pipeline.is_connected:
        return Check(name, ok=False, detail="not a member of its consumer group yet; see the log for kafka.unavailable")
    if pipeline.is_guarded:
        return Check(name, ok=True, detail="stopped by the mass guard; see the log for integration.guarded")
    return check_of_reading(name, pipeline, _waiting_for_transactions(pipeline, now), *remarks)


def _check_name(runner: Runner) -> str:
    return f"integration.{runner.name}"


def check_of_reading(name: str, pipeline: Pipeline, *remarks: str) -> Check:
    """Some partitions or topics left out leave the others flowing: ready, degraded. All of them: not ready."""
    left_out = pipeline.assignment.left_out.faults()
    missing = pipeline.source.missing_topics()
    texts = [f"{place.topic}-{place.partition} is not read: {fault.obstacle}" for place, fault in left_out.items()]
    more = [f"{len(texts) - MAX_NAMED} more partitions are not read"] if len(texts) > MAX_NAMED else []
    texts = [*(f"the topic {topic} is missing" for topic in missing), *texts[:MAX_NAMED], *more, *filter(None, remarks)]
    return Check(name, ok=bool(pipeline.assignment.flowing()) or not left_out, detail="; ".join(texts))


def _waiting_for_transactions(pipeline: Pipeline, now: float) -> str:
    blocked = sum(
        pipeline.asker.open_transaction_since(place, now) is not None for place in pipeline.assignment.ledgers
    )
    return f"partitions that wait for a transaction to end: {blocked}" if blocked else ""


def _identified(integration: Integration) -> dict[str, int]:
    counts = {} if integration.identifier is None else integration.identifier.counts
    return {result.value: count for result, count in counts.items()}


def _filtered_out(integration: Integration) -> str:
    topics = ", ".join(sorted(integration.filtered_out.topics))
    return f"nothing of {topics} is delivered; see the log for topic.filtered_out" if topics else ""
