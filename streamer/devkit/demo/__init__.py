"""``streamer demo``: sample events on their whole way, with a real Kafka; and a place to play."""

from streamer.devkit.demo.run import Stay, keep, play

__all__ = ["Stay", "keep", "play"]
