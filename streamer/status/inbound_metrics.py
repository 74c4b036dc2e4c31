"""The metrics of the way back: names, labels, and where each number is found. Part of the catalogue of metrics."""

from collections.abc import Callable
from typing import Final, NamedTuple

from streamer.core.inbound.call import Remark
from streamer.status import DirectoryStatus, InboundStatus, WebhooksStatus
from streamer.status.series import Reading, Series, counter, gauge, histogram

_WITH_DIRECTORY: Final = "where calls are applied (directory is not false)"
_WITH_WEBHOOKS: Final = "where webhooks are received (inbound.listen is not false)"


class Inbound(NamedTuple):
    """What a metric of the way back is read from."""

    status: InboundStatus
    now: float


def _directory(read: Callable[[DirectoryStatus], Reading]) -> Callable[[Inbound], Reading]:
    return lambda inbound: None if inbound.status.directory is None else read(inbound.status.directory)


def _webhooks(read: Callable[[WebhooksStatus], Reading]) -> Callable[[Inbound], Reading]:
    return lambda inbound: None if inbound.status.webhooks is None else read(inbound.status.webhooks)


def _remarks(inbound: Inbound) -> Reading:
    if inbound.status.directory is None:
        return None
    return {remark.value: inbound.status.remarks.get(remark.value, 0) for remark in Remark}


def _calls(inbound: Inbound) -> Reading:
    return {
        (str(partition), kind, outcome, reason): number
        for (partition, kind, outcome, reason), number in inbound.status.calls.items()
    }


def _outbox_age(inbound: Inbound) -> Reading:
    directory = inbound.status.directory
    if directory is None or directory.outbox_records is None:
        return None
    oldest = directory.outbox_oldest_at
    return 0.0 if oldest is None else max(inbound.now - oldest, 0.0)


OF_INBOUND: Final[tuple[Series[Inbound], ...]] = (
    counter(
        "streamer_webhook_requests_total",
        "Requests to webhooks by their result. Webhooks that do not exist are _other.",
        _webhooks(lambda webhooks: webhooks.requests),
        "webhook",
        "result",
        exists=_WITH_WEBHOOKS,
    ),
    histogram(
        "streamer_webhook_request_duration_seconds",
        "Seconds from the first byte of a request to its answer.",
        _webhooks(lambda webhooks: webhooks.request_seconds),
        "webhook",
        exists=_WITH_WEBHOOKS,
    ),
    counter(
        "streamer_webhook_calls_total",
        "Calls accepted from webhooks. authenticated: whether the signature or a bearer token covers the call.",
        _webhooks(
            lambda webhooks: {
                (webhook, str(authenticated).lower()): number
                for (webhook, authenticated), number in webhooks.calls.items()
            }
        ),
        "webhook",
        "authenticated",
        exists=_WITH_WEBHOOKS,
    ),
    counter(
        "streamer_inbound_calls_total",
        "Calls by what became of them. Types that Segment does not have are _other.",
        _calls,
        "partition",
        "type",
        "outcome",
        "reason",
        exists=f"{_WITH_DIRECTORY}, from the first such call on",
    ),
    counter(
        "streamer_inbound_remarks_total",
        "What was decided about calls that a person may want to know.",
        _remarks,
        "remark",
        exists=_WITH_DIRECTORY,
    ),
    gauge(
        "streamer_directory_users",
        "Users in the directory, counted once a minute.",
        _directory(lambda directory: directory.users),
        exists=f"{_WITH_DIRECTORY}, once they were counted",
    ),
    gauge(
        "streamer_directory_devices",
        "Devices in the directory, counted once a minute.",
        _directory(lambda directory: directory.devices),
        exists=f"{_WITH_DIRECTORY}, once they were counted",
    ),
    gauge(
        "streamer_directory_up",
        "1: the database of the directory can be used. 0: it cannot; calls wait on Kafka.",
        _directory(lambda directory: directory.is_up),
        exists=_WITH_DIRECTORY,
    ),
    histogram(
        "streamer_directory_transaction_duration_seconds",
        "Seconds for one transaction that applies calls.",
        _directory(lambda directory: directory.transaction_seconds),
        exists=_WITH_DIRECTORY,
    ),
    gauge(
        "streamer_outbox_records",
        "Profiles and triggers that are not published yet, of all instances together.",
        _directory(lambda directory: directory.outbox_records),
        exists=f"{_WITH_DIRECTORY} and its database can be asked",
    ),
    gauge(
        "streamer_outbox_age_seconds",
        "For how long the oldest of them has waited. 0: none waits.",
        _outbox_age,
        exists=f"{_WITH_DIRECTORY} and its database can be asked",
    ),
    counter(
        "streamer_outbox_skipped_total",
        "Profiles and triggers that this instance left out, because the brokers refuse them for good.",
        _directory(lambda directory: directory.skipped),
        exists=_WITH_DIRECTORY,
    ),
)
