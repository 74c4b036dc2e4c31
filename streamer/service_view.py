"""What the service shows of itself: `streamer.status` filled in from the parts that own the state."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from streamer import __version__
from streamer.core.delivery.transitions import State
from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.records.ledger import PartitionLedger
from streamer.destinations import Destination
from streamer.integration import Integration
from streamer.kafka import TopicPartition
from streamer.logs import logger
from streamer.logs.observing import observing
from streamer.pipeline import Pipeline
from streamer.pipeline.runner import Runner
from streamer.receipts import Receipts
from streamer.settings import Settings
from streamer.status import (
    AssignedPartition,
    Check,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ReceiptsStatus,
    ServiceStatus,
)
from streamer.status.histogram import Histogram

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
    def started_at(self) -> float:
        """Seconds since the epoch."""

    @property
    def is_draining(self) -> bool:
        """Whether the service is ending."""

    @property
    def loop_lag_seconds(self) -> Histogram:
        """How late the event loop runs what is due."""


class ServiceView:
    """Tells the state of the service; a `streamer.status.StatusSource`."""

    def __init__(self, service: Parts) -> None:
        self._service = service

    def live(self) -> Sequence[Check]:
        """Whether this process works. That the event loop turns is shown by the answer itself."""
        return [_is_moving(integration.runner) for integration in self._service.integrations.values()]

    def ready(self) -> Sequence[Check]:
        """Whether events flow, or could."""
        draining, integrations = self._service.is_draining, self._service.integrations.values()
        return [
            Check("draining", ok=not draining, detail="finishing requests in flight" if draining else ""),
            *(_is_joined(integration.runner, _filtered_out(integration)) for integration in integrations),
            self._destinations(),
        ]

    def started(self) -> Sequence[Check]:
        """Whether every integration has joined its group once."""
        return [_has_started(integration.runner) for integration in self._service.integrations.values()]

    def status(self) -> ServiceStatus:
        """Everything, at this moment."""
        service = self._service
        return ServiceStatus(
            version=__version__,
            python=platform.python_version(),
            commit=os.environ.get("STREAMER_COMMIT", "unknown"),
            config_sha256=service.settings.fingerprint(),
            mapping_version=MAPPING_VERSION,
            started_at=service.started_at,
            is_draining=service.is_draining,
            integrations=[self._show(integration) for integration in service.integrations.values()],
            destinations=[destination.status for destination in service.destinations.values()],
            loop_lag_seconds=service.loop_lag_seconds,
            last_faults=list(logger().last_faults),
        )

    def _destinations(self) -> Check:
        """One destination held leaves the others delivering: ready, degraded. All held: not ready."""
        held = [d for d in self._service.destinations.values() if d.state is State.HELD]
        detail = "; ".join(f"{d.name} held: {d.status.reason}" for d in held)
        return Check("destinations", ok=len(held) < len(self._service.destinations), detail=detail)

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
            reason="its state cannot be shown; see the log for observer.failed",
            restarts=integration.runner.restarts,
            receipts=ReceiptsStatus(is_available=False, entries=0, bytes=0, shrunk_total=0),
        )

    def _integration(self, integration: Integration) -> IntegrationStatus:
        runner, now = integration.runner, time.monotonic()
        pipeline = runner.pipeline
        return IntegrationStatus(
            name=integration.name,
            dialect=integration.settings.dialect,
            group=integration.settings.group_id,
            destination=integration.settings.destination,
            state=self._state_of(integration.runner),
            reason=runner.last_error,
            restarts=runner.restarts,
            partitions=[
                _partition(runner, TopicPartition(*place), integration.receipts)
                for place in sorted({*runner.accounts, *(pipeline.assignment.left_out if pipeline else ())})
            ],
            latency_seconds=integration.latency_seconds,
            drain_eta_seconds=runner.drain_eta_seconds(now),
            kafka_silent_seconds=runner.contact.silent_seconds(now) if runner.contact.is_silent(now) else None,
            filtered_out=integration.filtered_out.topics,
            limited_by=runner.limited.lately,
            limited_seconds=runner.limited.seconds,
            commits={result.value: number for result, number in pipeline.assignment.commits.results.items()}
            if pipeline
            else {},
            rebalances=dict(pipeline.assignment.rebalances) if pipeline else {},
            buffered_records=pipeline.custody.load.records if pipeline else 0,
            buffered_bytes=pipeline.custody.load.bytes + pipeline.worker.parked_bytes if pipeline else 0,
            receipts=ReceiptsStatus(
                is_available=integration.receipts.available,
                entries=integration.receipts.entries(),
                bytes=integration.receipts.bytes(),
                shrunk_total=integration.receipts.shrunk_total,
            ),
        )

    def _state_of(self, runner: Runner) -> IntegrationState:
        pipeline = runner.pipeline
        if runner.subscription.is_paused:
            return IntegrationState.PAUSED
        if self._service.is_draining:
            return IntegrationState.DRAINING
        if pipeline is not None and pipeline.is_guarded:
            return IntegrationState.GUARDED
        if pipeline is not None and pipeline.is_connected:
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
    if runner.subscription.is_paused:
        return Check(name, ok=True, detail="paused by the configuration")
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


def _filtered_out(integration: Integration) -> str:
    topics = ", ".join(sorted(integration.filtered_out.topics))
    return f"nothing of {topics} is delivered; see the log for topic.filtered_out" if topics else ""


def _partition(runner: Runner, place: TopicPartition, receipts: Receipts) -> PartitionStatus:
    pipeline = runner.pipeline
    ledger = pipeline.assignment.ledgers.get(place) if pipeline is not None else None
    assigned = _assigned(pipeline, place, ledger, receipts) if pipeline is not None and ledger is not None else None
    return PartitionStatus(
        topic=place.topic,
        partition=place.partition,
        account=runner.accounts[place],
        assigned=assigned,
        left_out=pipeline.assignment.left_out.fault(place) if pipeline is not None else None,
    )


def _assigned(
    pipeline: Pipeline, place: TopicPartition, ledger: PartitionLedger, receipts: Receipts
) -> AssignedPartition:
    now, asker = time.monotonic(), pipeline.asker
    ends, known_at = asker.ends(place, now), asker.known_at(place)
    transaction_since = asker.open_transaction_since(place, now)
    oldest = ledger.oldest_waiting_timestamp(
        None if ends is None else ends.high_watermark, asker.waiting_timestamp(place, ledger.next_offset)
    )
    retention = pipeline.retention_seconds.get(place.topic)
    return AssignedPartition(
        in_flight=ledger.open_records,
        parked=pipeline.worker.parked_in(place),
        position=ledger.position,
        committed=ledger.committed,
        next_offset=ledger.next_offset,
        high_watermark=None if ends is None else ends.high_watermark,
        ends_known_at=None if known_at is None else time.time() - now + known_at,
        open_transaction_since=None if transaction_since is None else time.time() - now + transaction_since,
        oldest_waiting_at=None if oldest is None else oldest / 1000,
        retention_headroom_seconds=None
        if retention is None
        else retention - (0.0 if oldest is None else max(time.time() - oldest / 1000, 0.0)),
        # What another instance delivered before has its receipt there.
        receipts_since=max(receipts.window_start(time.time()), pipeline.assignment.assigned_since[place])
        if receipts.available
        else None,
    )
