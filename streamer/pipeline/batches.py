"""How the calls of a destination are batched."""

from streamer.core.delivery.batching import Batcher
from streamer.core.records.open_record import OpenRecord
from streamer.destinations import Destination


def batcher_for(destination: Destination) -> Batcher[OpenRecord]:
    """A batcher with the limits of a destination."""
    settings = destination.settings
    batch = settings.batch
    return Batcher(
        max_bytes=batch.max_bytes,
        # Of a larger one the destination would get a burst, and then nothing for seconds.
        max_calls=min(settings.max_batch_calls, settings.rate_limit or settings.max_batch_calls),
        linger_seconds=batch.linger,
        envelope_bytes=destination.envelope_bytes,
    )
