"""What shuts a destination whatever it answers: its requests cannot show that they are in vain.

Segment answers 200 to an unknown write key and drops the events. So a probe would lose its event, and a 2xx proves
nothing: only whoever has asked about the key elsewhere may shut the destination, and open it again.
"""

from typing import NamedTuple

from streamer.core.delivery.transitions import State


class Standing(NamedTuple):
    """How a destination stands, for whoever looks at it."""

    state: State
    since: float
    """Monotonic seconds."""
    reason: str
    """"" when ok."""


class Bar:
    """Whether a destination is shut, and why. It begins open.

    Attributes:
        reason: why it is shut; "": it is not known yet whether there is a reason. None: it is open.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._since = 0.0

    def shut(self, reason: str, now: float) -> None:
        """Shut it, or change the reason; ``now`` in monotonic seconds."""
        if reason != self.reason:
            self._since = now
        self.reason = reason

    def open(self) -> None:
        """Open it."""
        self.reason = None

    @property
    def is_shut(self) -> bool:
        """Whether no request may begin."""
        return self.reason is not None

    def over(self, standing: Standing) -> Standing:
        """How a destination stands that would stand like this without the bar."""
        return Standing(State.HELD, self._since, self.reason) if self.reason else standing
