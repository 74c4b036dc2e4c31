"""``streamer demo``: the whole way of sample events, on a real Kafka."""

from streamer.devkit.demo.run import main

__all__ = ["main"]
