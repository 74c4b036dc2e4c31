"""Where calls go: permits and probes, and one module for each API that is called."""

from streamer.destinations.destination import Destination

__all__ = ["Destination"]
