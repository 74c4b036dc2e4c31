"""Taps: whoever looks at the calls that leave, while they leave. Nobody looks: a batch costs one comparison."""

from streamer.tapping.taps import Listener, Taps

__all__ = ["Listener", "Taps"]
