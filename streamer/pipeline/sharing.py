"""Joins the sharing of receipts to the brokers of the configuration."""

from streamer.kafka import ReceiptTopic
from streamer.receipts.shared import SharedReceipts
from streamer.settings import Settings
from streamer.timings import Timings


def shared_receipts(settings: Settings, timings: Timings) -> SharedReceipts | None:
    """What lets instances know each other's receipts; None: nobody asks for that."""
    if settings.receipts.topic is None:
        return None
    window = settings.receipts.window
    topic = ReceiptTopic(settings.kafka, settings.receipts.topic, window_seconds=window, timings=timings)
    return SharedReceipts(topic, window_seconds=window, timings=timings)
