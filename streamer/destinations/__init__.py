"""Where calls go: permits and probes, and one module for each API that is called."""

from streamer.destinations.destination import Destination
from streamer.destinations.http import Exchange
from streamer.destinations.product_fruits import open_product_fruits
from streamer.destinations.segment import SegmentClient
from streamer.destinations.sprig import open_sprig
from streamer.settings import DestinationSettings
from streamer.status import DestinationStatus
from streamer.timings import PRODUCTION, Timings

__all__ = ["Destination", "Exchange", "open_destination"]


def open_destination(
    name: str, settings: DestinationSettings, timings: Timings = PRODUCTION, *, former: DestinationStatus | None = None
) -> Destination:
    """The destination that the configuration names; nothing is sent yet. A new API is chosen here.

    Args:
        name: in the configuration.
        settings: where calls go, and how.
        timings: how long to wait for what.
        former: of the destination that this one replaces; it goes on counting there.

    Raises:
        UnavailableError: its credentials cannot be read.
    """
    destination = _open(name, settings, timings)
    if former is not None:
        destination.status.go_on_counting(former)
    return destination


def _open(name: str, settings: DestinationSettings, timings: Timings) -> Destination:
    match settings.kind:
        case "segment":
            client = SegmentClient(settings)
            ask_about_key = client.ask_about_key if settings.asks_about_key else None
            return Destination(name, settings, client=client, timings=timings, ask_about_key=ask_about_key)
        case "sprig":
            return Destination(name, settings, client=open_sprig(settings), timings=timings)
        case "product_fruits":
            return Destination(name, settings, client=open_product_fruits(settings), timings=timings)
