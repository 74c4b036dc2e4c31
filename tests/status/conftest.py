"""A service that exists only as its status and checks, which a test sets."""

import time
from dataclasses import dataclass, field

import pytest

from streamer.core.delivery.answers import answer_of_status
from streamer.core.delivery.attempt import Verdict
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.inbound.call import IgnoredReason
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records.account import Account
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.logs import Event
from streamer.logs.fault import FaultLine
from streamer.status import (
    AssignedPartition,
    Check,
    ConsumerStatus,
    DestinationStatus,
    DirectoryStatus,
    GroupMember,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ReceiptsStatus,
    RecentLetter,
    ServiceStatus,
    SharedStatus,
    WebhooksStatus,
)
from streamer.status.histogram import LATENCY_SECONDS, Histogram

NOW = 1_700_000_000.0


def _account() -> Account:
    account = Account()
    account.consumed, account.consumed_bytes = 100, 5_000
    account.delivered, account.duplicate, account.handed_back = 80, 3, 2
    account.known_settled = 5
    account.filtered[FilterReason.TEST_EVENT] = 4
    account.dead_lettered[DeadLetterReason.SCHEMA_INVALID] = 1
    account.lost["retention"] = 7
    return account


def _destination() -> DestinationStatus:
    destination = DestinationStatus(name="production", limit=16, in_flight=2, since=time.monotonic() - 60)
    destination.state, destination.reason, destination.next_step = State.HELD, "401", "Check the write key."
    destination.next_probe_at = time.monotonic() + 30
    destination.record(answer_of_status(200, None), 0.03, 1_000, 25, Verdict.DELIVERED)
    destination.record(answer_of_status(429, 5.0), 0.2, 1_000, 25, Verdict.RETRY_FREE)
    destination.record(answer_of_status(400, None), 0.2, 1_000, 25, Verdict.REFUSED)
    destination.record(answer_of_status(400, None), 0.2, 100, 1, Verdict.REFUSED)
    return destination


def _integration() -> IntegrationStatus:
    latency = Histogram(LATENCY_SECONDS)
    latency.observe(0.2, 80)
    assigned = AssignedPartition(
        in_flight=10,
        parked=1,
        position=190,
        committed=180,
        next_offset=200,
        high_watermark=300,
        ends_known_at=NOW - 2,
        oldest_waiting_at=NOW - 12,
        receipts_since=NOW - 3_600,
    )
    return IntegrationStatus(
        name="sprig",
        dialect="sprig",
        group="streamer.sprig",
        destination="production",
        state=IntegrationState.RUNNING,
        topics=("surveys",),
        partitions=[
            PartitionStatus(topic="surveys", partition=0, account=_account(), assigned=assigned),
            PartitionStatus(topic="surveys", partition=1, account=Account(), assigned=None),
            PartitionStatus(
                topic="surveys",
                partition=2,
                account=Account(),
                assigned=None,
                left_out=PartitionFault(Obstacle.NO_LEADER, "no broker leads the partition"),
            ),
        ],
        latency_seconds={"surveys": latency},
        drain_eta_seconds={"surveys": 30.0},
        filtered_out={"surveys": 250},
        identified={"known": 7, "unknown": 2, "skipped": 0},
        limited_by=Limit.DESTINATION,
        limited_seconds={Limit.DESTINATION: 12.5},
        commits={"stored": 9, "failed": 0},
        rebalances={"assigned": 1, "revoked": 0},
        buffered_records=10,
        buffered_bytes=500,
        state_since=NOW - 600,
        members=[
            GroupMember("streamer-web-7", "10.0.0.7", 2, is_this=True),
            GroupMember("streamer-web-8", "10.0.0.8", 1, is_this=False),
        ],
        recent_letters=[
            RecentLetter(NOW - 30, "surveys", 0, 17, "schema_invalid", "survey: missing", "m-1"),
            RecentLetter(NOW - 20, "surveys", 0, 18, "decode_error", "not JSON", None),
        ],
        receipts=ReceiptsStatus(
            is_available=True,
            entries=80,
            bytes=4_096,
            shrunk_total=0,
            shared=SharedStatus(topic="receipts", fault="", waiting=3, missing_total=2, restored_total=60, behind=5),
        ),
    )


def _inbound() -> InboundStatus:
    account = Account()
    account.consumed, account.delivered, account.filtered[IgnoredReason.STALE] = 10, 6, 3
    seconds = Histogram(LATENCY_SECONDS)
    seconds.observe(0.01, 2)
    requests = Histogram(LATENCY_SECONDS)
    requests.observe(0.01, 4)
    assigned = AssignedPartition(
        in_flight=1, parked=0, position=9, committed=9, next_offset=10, high_watermark=14, oldest_waiting_at=NOW - 1
    )
    return InboundStatus(
        environment="staging",
        consumer=ConsumerStatus(
            name="inbound",
            group="streamer.inbound",
            destination="directory",
            state=IntegrationState.RUNNING,
            partitions=[PartitionStatus(topic="segment.inbound", partition=0, account=account, assigned=assigned)],
            commits={"stored": 3},
        ),
        directory=DirectoryStatus(
            is_up=True,
            reason="",
            users=12,
            devices=34,
            transaction_seconds=seconds,
            outbox_records=7,
            outbox_oldest_at=NOW - 5,
            is_publishing=True,
            published=20,
            skipped=1,
            publishing_fault="",
        ),
        calls={(0, "identify", "applied", ""): 6, (0, "identify", "ignored", "stale"): 3},
        remarks={"email_conflict": 2},
        webhooks=WebhooksStatus(
            requests={("production", "accepted"): 4, ("production", "busy"): 0},
            calls={("production", True): 4},
            request_seconds={"production": requests},
        ),
    )


def _service() -> ServiceStatus:
    return ServiceStatus(
        version="1.2.3",
        python="3.11.7",
        commit="abc",
        config_sha256="0123abcd",
        mapping_version="1",
        started_at=NOW - 3_600,
        instance="web-7, process 4711",
        is_draining=False,
        integrations=[_integration()],
        destinations=[_destination()],
        loop_lag_seconds=Histogram((0.1, 1.0)),
        inbound=_inbound(),
        faults={Event.DESTINATION_HELD: 2},
        memory_bytes=200_000_000,
        memory_limit_bytes=500_000_000,
        last_faults=[
            FaultLine(NOW - 120, "batch.retrying", "sprig", "503", "No action is needed."),
            FaultLine(NOW - 60, "destination.held", "production", "401", "Check the write key."),
        ],
    )


@dataclass
class ToldService:
    """Answers with what a test sets."""

    told: ServiceStatus = field(default_factory=_service)
    checks: dict[str, list[Check]] = field(default_factory=dict)

    def status(self) -> ServiceStatus:
        return self.told

    def live(self) -> list[Check]:
        return self.checks.get("live", [])

    def ready(self) -> list[Check]:
        return self.checks.get("ready", [])

    def started(self) -> list[Check]:
        return self.checks.get("started", [])


@pytest.fixture
def service() -> ToldService:
    return ToldService()
