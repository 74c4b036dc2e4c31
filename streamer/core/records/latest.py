"""Which keys have a call on its way, where a record is a whole state: only the newest record of a key counts.

Profiles need this. An old profile that is delivered after a newer one would overwrite it, and events that fail wait by
themselves. So a key has at most one call on its way, and at most one record that waits for its end. Whatever is not
the newest any more is superseded, wherever it is, unless its request has no answer yet:

- the record that waits, as soon as a newer one comes;
- the one before it, when its turn to be sent comes, or when its request was not accepted.

The messageId of such a call is that of its key.
"""

from collections.abc import Iterable

from streamer.core.records.in_flight import InFlight
from streamer.core.records.open_record import Attached, OpenRecord


class Latest(InFlight):
    """The records of one integration that are on their way, by key, and the newest one behind each of them."""

    keeps_latest = True

    def __init__(self) -> None:
        super().__init__()
        self._superseded: list[OpenRecord] = []
        self._overtaken: list[OpenRecord] = []

    def claim(self, candidates: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Those of ``candidates`` that go by themselves; each other waits, instead of the one that waited before."""
        leaders = self._leaders
        going: list[OpenRecord] = []
        for candidate in candidates:
            leader = leaders.setdefault(candidate.message_id, candidate)
            if leader is candidate:
                going.append(candidate)
                continue
            self._superseded += leader.attached or ()
            leader.attached = Attached(candidate)
            self._overtaken.append(leader)
        return going

    def take_superseded(self) -> list[OpenRecord]:
        """The records that waited when a newer one came, since this was last called."""
        superseded, self._superseded = self._superseded, []
        return superseded

    def take_overtaken(self) -> list[OpenRecord]:
        """The records on their way for which a newer one waits since this was last called."""
        overtaken, self._overtaken = self._overtaken, []
        return overtaken

    def newest(self, leader: OpenRecord) -> OpenRecord:
        """The record that goes in the place of ``leader`` from now on; ``leader`` itself if none waits for it."""
        return leader if leader.attached is None else self.ended(leader) or self._again(leader)

    def _again(self, leader: OpenRecord) -> OpenRecord:
        self._leaders[leader.message_id] = leader
        return leader
