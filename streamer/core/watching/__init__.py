"""What `streamer top` shows: the statuses of one or several instances, looked at twice, as one picture."""

from streamer.core.watching.board import Board, DestinationRow, InstanceRow, IntegrationRow, board_of
from streamer.core.watching.look import Look

__all__ = ["Board", "DestinationRow", "InstanceRow", "IntegrationRow", "Look", "board_of"]
