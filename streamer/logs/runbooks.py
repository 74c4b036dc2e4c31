"""Which section of the runbooks helps with a log event. Every event of level ``error`` has one; so do some warnings.

A section has the name of an alert of deploy/prometheus/streamer.rules.yaml. Lines about a fault have its place in the
field ``runbook``.
"""

from collections.abc import Mapping
from typing import Final

from streamer.logs.events import Event

PAGE: Final = "docs/runbooks/README.md"
"""Where the runbooks are in the repository."""

ALERTS: Final[Mapping[Event, str]] = {
    Event.CONFIG_REJECTED: "StreamerConfigReloadFailed",
    Event.SERVER_TOKEN_UNREADABLE: "StreamerConfigReloadFailed",
    Event.KAFKA_UNAVAILABLE: "StreamerKafkaAway",
    Event.KAFKA_CREDENTIALS_MISSING: "StreamerConfigReloadFailed",
    Event.KAFKA_CREDENTIALS_REJECTED: "StreamerKafkaAway",
    Event.TRANSACTION_OPEN: "StreamerNoProgress",
    Event.TOPICS_MISSING: "StreamerKafkaAway",
    Event.PARTITION_LEFT_OUT: "StreamerPartitionLeftOut",
    Event.RECORDS_UNREADABLE: "StreamerDeadLetters",
    Event.OFFSETS_COMMIT_FAILED: "StreamerCommitFailing",
    Event.OFFSETS_RESET: "StreamerOffsetsReset",
    Event.RECORDS_LOST: "StreamerRecordsLost",
    Event.BATCH_RETRYING: "StreamerRetriesHigh",
    Event.EVENT_DEAD_LETTERED: "StreamerDeadLetters",
    Event.TOPIC_FILTERED_OUT: "StreamerTopicFilteredOut",
    Event.DEAD_LETTER_FAILED: "StreamerDeadLettersUnwritable",
    Event.DESTINATION_HELD: "StreamerDestinationHeld",
    Event.DESTINATION_BACKING_OFF: "StreamerNoProgress",
    Event.DESTINATION_KEY_UNREADABLE: "StreamerConfigReloadFailed",
    Event.INTEGRATION_GUARDED: "StreamerIntegrationGuarded",
    Event.RECEIPTS_UNUSABLE: "StreamerStateDirUnusable",
    Event.STATE_UNWRITABLE: "StreamerStateDirUnusable",
    Event.CALL_DEAD_LETTERED: "StreamerDeadLetters",
    Event.DIRECTORY_UNAVAILABLE: "StreamerDirectoryUnavailable",
    Event.IDENTIFICATION_SUSPENDED: "StreamerDirectoryUnavailable",
    Event.OUTBOX_STALLED: "StreamerOutboxStalled",
    Event.OUTBOX_SKIPPED: "StreamerOutboxSkipped",
    Event.PIPELINE_RESTARTED: "StreamerInternalError",
    Event.TASK_FAILED: "StreamerInternalError",
    Event.OBSERVER_FAILED: "StreamerInternalError",
    Event.TASK_STALLED: "StreamerPipelineRestarting",
    Event.WEBHOOK_REJECTED: "StreamerWebhooksFailing",
    Event.WEBHOOK_SECRETS_UNREADABLE: "StreamerConfigReloadFailed",
    Event.CALL_TOO_LARGE: "StreamerDeadLetters",
}
"""The alert whose section helps, by event."""


def runbook_of(event: Event) -> str | None:
    """The place of the section that helps: a path in the repository, with an anchor. None: there is none."""
    alert = ALERTS.get(event)
    return None if alert is None else f"{PAGE}#{alert.lower()}"
