"""The receipts of integrations, as the configuration says: where they are, what they prove, who shares them."""

import time

from streamer.destinations import Destination
from streamer.kafka import ReceiptTopic
from streamer.receipts import Receipts, destination_fingerprint
from streamer.receipts.channel import Channel
from streamer.receipts.shared import SharedReceipts
from streamer.settings import Settings
from streamer.status import SharedStatus
from streamer.timings import Timings


def shared_receipts(settings: Settings, timings: Timings) -> SharedReceipts | None:
    """What lets instances know each other's receipts; None: nobody asks for that."""
    if settings.receipts.topic is None:
        return None
    window = settings.receipts.window
    topic = ReceiptTopic(settings.kafka, settings.receipts.topic, window_seconds=window, timings=timings)
    return SharedReceipts(topic, window_seconds=window, timings=timings)


def status_of(shared: SharedReceipts, channel: Channel) -> SharedStatus:
    """How the receipts of one integration are shared."""
    return SharedStatus(
        topic=shared.topic,
        fault=shared.state.fault,
        waiting=shared.writer.unshared.receipts,
        missing_total=shared.writer.unshared.given_up[channel.integration],
        restored_total=channel.restored_total,
        behind=shared.follower.behind,
    )


def open_receipts(name: str, settings: Settings, destination: Destination) -> Receipts:
    """Open the receipts of an integration; blocks for seconds if they were not closed.

    Raises:
        UnavailableError: another process uses the state directory, or the key of the destination cannot be read.
    """
    return Receipts.open(
        settings.state_dir / name / "receipts",
        window_seconds=settings.receipts.window,
        max_bytes=settings.receipts.max_bytes,
        now=time.time(),
        destination=fingerprint_of(destination),
    )


def fingerprint_of(destination: Destination) -> str:
    """What changes with the place where deliveries go, or with the key: receipts of another one prove nothing."""
    settings = destination.settings
    return destination_fingerprint(settings.url, settings.read_key(), settings.message_id_suffix)
