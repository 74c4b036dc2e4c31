"""streamer: survey events from Kafka to Segment, committed only after delivery."""

from importlib.metadata import version

__version__ = version("streamer")
