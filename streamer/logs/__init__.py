"""Structured logs: one typed catalogue of events, one way to write them."""

from streamer.logs.events import Event
from streamer.logs.logger import EventLogger, configured, logger, place_of, reconfigure

__all__ = ["Event", "EventLogger", "configured", "logger", "place_of", "reconfigure"]
