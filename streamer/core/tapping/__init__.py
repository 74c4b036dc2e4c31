"""What `streamer tap` shows of the calls that leave: which of them, how many, and how much of each."""

from streamer.core.tapping.conditions import Condition
from streamer.core.tapping.lines import AnsweredBatch
from streamer.core.tapping.tap import MAX_RATE, Tap, TapRequest

__all__ = ["MAX_RATE", "AnsweredBatch", "Condition", "Tap", "TapRequest"]
