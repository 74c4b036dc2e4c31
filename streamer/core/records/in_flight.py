"""Which messageIds are on their way, and who waits for them.

A second record with an id in flight is attached to the first. If the first ends delivered, the attached ones are
duplicates. If it ends otherwise, or its assignment ends, the lowest attached record that is still ours takes its place
and goes by itself: a corrected copy must not die with the malformed one, and nobody waits for a partition that has
left.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from streamer.core.records.ledger import OpenRecord


class Size(NamedTuple):
    """How much of something there is."""

    records: int
    bytes: int


class InFlight:
    """The records of one integration that are on their way, by messageId."""

    def __init__(self) -> None:
        self._leaders: dict[str, OpenRecord] = {}

    def __len__(self) -> int:
        return len(self._leaders)

    def living_size(self) -> Size:
        """The records that are still ours, those attached included."""
        living = [call for call in self._all() if not call.ledger.is_fenced]
        return Size(len(living), sum(call.held_bytes for call in living))

    def _all(self) -> Iterator[OpenRecord]:
        for leader in self._leaders.values():
            yield leader
            yield from leader.attached or ()

    def claim(self, candidates: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Those of ``candidates`` that go by themselves; each other waits for the record with its id on its way."""
        leaders = self._leaders
        going: list[OpenRecord] = []
        for candidate in candidates:
            leader = leaders.setdefault(candidate.message_id, candidate)
            if leader is candidate:
                going.append(candidate)
            elif leader.attached is None:
                leader.attached = [candidate]
            else:
                leader.attached.append(candidate)
        return going

    def delivered(self, delivered: Sequence[OpenRecord]) -> list[OpenRecord]:
        """The records were delivered: forget their ids.

        Returns:
            Those of them that others are attached to, which end with them.
        """
        leaders = self._leaders
        for leader in delivered:
            del leaders[leader.message_id]
        return [leader for leader in delivered if leader.attached is not None]

    def ended(self, leader: OpenRecord) -> OpenRecord | None:
        """The record ended otherwise than delivered.

        Returns:
            The attached record that takes its place and must be sent, if one is left that is still ours.
        """
        del self._leaders[leader.message_id]
        waiting = [record for record in leader.attached or () if not record.ledger.is_fenced]
        leader.attached = None
        if not waiting:
            return None
        successor = min(waiting, key=lambda record: record.place)
        waiting.remove(successor)
        successor.attached = waiting or None
        self._leaders[successor.message_id] = successor
        return successor

    def release_fenced(self, being_sent: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Assignments have ended: let go of their records, but for those whose request is still out.

        A request that is still out keeps its id, so that the same record, read again, waits for the answer instead of
        being sent a second time beside it.

        Args:
            being_sent: records in a request without an answer.

        Returns:
            Attached records of other, living assignments that take the place of a fenced leader and must be sent.
        """
        kept = {record.message_id for record in being_sent}
        fenced = [leader for leader in self._leaders.values() if leader.ledger.is_fenced]
        successors = [self.ended(leader) for leader in fenced if leader.message_id not in kept]
        for leader in self._leaders.values():
            if leader.attached:
                leader.attached = [record for record in leader.attached if not record.ledger.is_fenced] or None
        return [successor for successor in successors if successor is not None]
