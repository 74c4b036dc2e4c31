"""``streamer demo``: sample events on their whole way, with a real Kafka."""

from streamer.devkit.demo.run import main

__all__ = ["main"]
