"""Has the integrations of this instance obey the orders of operators, which are records of the control topic."""

from streamer.steering.control import Control
from streamer.steering.steering import Steering

__all__ = ["Control", "Steering"]
