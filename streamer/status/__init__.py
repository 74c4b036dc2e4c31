"""What the service knows of itself: the snapshot, and how it is shown as a document and as metrics."""

from streamer.core.records.group_member import GroupMember
from streamer.status.destination_snapshot import BatchResult, DestinationStatus, Reload
from streamer.status.inbound_snapshot import DirectoryStatus, WebhooksStatus
from streamer.status.partition_snapshot import AssignedPartition, PartitionStatus
from streamer.status.snapshot import (
    Check,
    ConfigStatus,
    ConsumerStatus,
    GuardEvidence,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    ReceiptsStatus,
    RecentLetter,
    ServiceStatus,
    StatusSource,
)

__all__ = [
    "AssignedPartition",
    "BatchResult",
    "Check",
    "ConfigStatus",
    "ConsumerStatus",
    "DestinationStatus",
    "DirectoryStatus",
    "GroupMember",
    "GuardEvidence",
    "InboundStatus",
    "IntegrationState",
    "IntegrationStatus",
    "PartitionStatus",
    "ReceiptsStatus",
    "RecentLetter",
    "Reload",
    "ServiceStatus",
    "StatusSource",
    "WebhooksStatus",
]
