"""What is shown of the way back: `streamer.status` filled in."""

from typing import TYPE_CHECKING, Final

from streamer.inbound.inbound import Inbound
from streamer.inbound.listener import Listener
from streamer.inbound.tally import CallKind
from streamer.inbound.webhook_counts import Result
from streamer.kafka import Publisher
from streamer.status import ConsumerStatus, DirectoryStatus, InboundStatus, WebhooksStatus

if TYPE_CHECKING:
    from streamer.inbound.keeper import Keeper


_BOTH: Final = (True, False)


def inbound_status(inbound: Inbound, consumer: ConsumerStatus | None) -> InboundStatus:
    """The way back, at this moment; ``consumer`` is what applies calls here."""
    keeper, listener = inbound.keeper, inbound.listener
    return InboundStatus(
        environment=inbound.environment,
        consumer=consumer,
        directory=None if keeper is None else _directory(keeper),
        calls={} if keeper is None else {_texts(kind): number for kind, number in keeper.tally.calls.items()},
        remarks={} if keeper is None else {remark.value: n for remark, n in keeper.tally.remarks.items()},
        webhooks=None if listener is None else _webhooks(listener, inbound.publisher),
    )


def _texts(kind: CallKind) -> tuple[int, str, str, str]:
    return kind.partition, kind.type, kind.outcome.value, str(kind.reason)


def _directory(keeper: "Keeper") -> DirectoryStatus:
    counts, waiting, relay = keeper.counts, keeper.waiting, keeper.relay
    oldest = None if waiting is None else waiting.oldest
    return DirectoryStatus(
        is_up=keeper.availability.is_up,
        reason=keeper.availability.reason,
        users=None if counts is None else counts.users,
        devices=None if counts is None else counts.devices,
        transaction_seconds=keeper.tally.transaction_seconds,
        outbox_records=None if waiting is None else waiting.records,
        outbox_oldest_at=None if oldest is None else oldest / 1_000_000,
        is_publishing=relay.has_lock,
        published=relay.published,
        skipped=relay.skipped,
        publishing_fault=relay.fault,
    )


def _webhooks(listener: Listener, publisher: Publisher | None) -> WebhooksStatus:
    counts = listener.counts
    return WebhooksStatus(
        requests={
            (webhook, result.value): counts.requests[webhook, result]
            for webhook in counts.duration_seconds
            for result in Result
        },
        calls={
            (webhook, is_known): counts.calls[webhook, is_known] for webhook in counts.webhooks for is_known in _BOTH
        },
        request_seconds=counts.duration_seconds,
        publishing_fault="" if publisher is None else publisher.fault or "",
    )
