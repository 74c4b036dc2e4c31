"""The way back in the status document."""

from collections import Counter
from typing import Final

from streamer.core.inbound.call import CallOutcome
from streamer.core.model import Json
from streamer.status import ConsumerStatus, DirectoryStatus, InboundStatus, WebhooksStatus
from streamer.status.consumer_document import account_of, place_of, state_of, sum_of, time_or_null

_TERMS: Final = {"delivered": CallOutcome.APPLIED.value, "filtered": CallOutcome.IGNORED.value}
"""Terms of an account that have other names for calls."""


def inbound_of(inbound: InboundStatus, now: float) -> Json:
    """The way back; what another process does is null. ``now`` in seconds since the epoch."""
    return {
        "environment": inbound.environment,
        **({"state": None} if inbound.consumer is None else _consumer(inbound.consumer, now)),
        "types": _types(inbound),
        "remarks": dict(inbound.remarks),
        "directory": None if inbound.directory is None else _directory(inbound.directory),
        "webhooks": None if inbound.webhooks is None else _webhooks(inbound.webhooks),
    }


def _consumer(consumer: ConsumerStatus, now: float) -> dict[str, Json]:
    accounts = [
        {_TERMS.get(term, term): value for term, value in account_of(partition).items()}
        for partition in consumer.partitions
    ]
    return {
        **state_of(consumer, now),
        "account": sum_of(accounts),
        "partitions": [
            {**place_of(partition, now), "account": account}
            for partition, account in zip(consumer.partitions, accounts, strict=True)
        ],
    }


def _types(inbound: InboundStatus) -> dict[str, dict[str, int]]:
    """Calls by type, and by outcome or reason."""
    types: dict[str, Counter[str]] = {}
    for (_, kind, outcome, reason), number in sorted(inbound.calls.items()):
        types.setdefault(kind, Counter())[reason or outcome] += number
    return {kind: dict(counts) for kind, counts in types.items()}


def _directory(directory: DirectoryStatus) -> Json:
    return {
        "up": directory.is_up,
        "reason": directory.reason or None,
        "users": directory.users,
        "devices": directory.devices,
        "transactions": directory.transaction_seconds.count,
        "outbox": {
            "records": directory.outbox_records,
            "oldest": time_or_null(directory.outbox_oldest_at),
            "publishing": directory.is_publishing,
            "published": directory.published,
            "skipped": directory.skipped,
            "reason": directory.publishing_fault or None,
        },
    }


def _webhooks(webhooks: WebhooksStatus) -> Json:
    found: dict[str, dict[str, Json]] = {}
    for (webhook, result), number in webhooks.requests.items():
        found.setdefault(webhook, {"requests": {}, "calls": 0})["requests"][result] = number
    for (webhook, _), number in webhooks.calls.items():
        found.setdefault(webhook, {"requests": {}, "calls": 0})["calls"] += number
    return found
