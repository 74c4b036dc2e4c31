"""What the service knows of itself: the snapshot, and how it is shown as a document and as metrics."""

from streamer.core.records.group_member import GroupMember
from streamer.status.inbound_snapshot import DirectoryStatus, WebhooksStatus
from streamer.status.snapshot import (
    AssignedPartition,
    BatchResult,
    Check,
    ConsumerStatus,
    DestinationStatus,
    GuardEvidence,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ReceiptsStatus,
    RecentLetter,
    Reload,
    ServiceStatus,
    StatusSource,
)

__all__ = [
    "AssignedPartition",
    "BatchResult",
    "Check",
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
