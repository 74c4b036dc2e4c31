"""streamer: survey events from Kafka to Segment, committed only after delivery."""

from importlib.metadata import version
from typing import Final

DISTRIBUTION: Final = "survey-streamer"
"""Name of the package that installs streamer. ``streamer`` on the package index is an unrelated project."""

__version__ = version(DISTRIBUTION)
