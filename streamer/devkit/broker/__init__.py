"""A real Apache Kafka from packages alone, for trying and testing."""

from streamer.devkit.broker.broker import HOST, Broker, free_port

__all__ = ["HOST", "Broker", "free_port"]
