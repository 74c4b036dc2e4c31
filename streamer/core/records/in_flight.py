"""Which messageIds are on their way, and who waits for them.

A second record with an id in flight is attached to the first. If the first is delivered, the attached ones are
duplicates. If it is dead-lettered, those with an equal call share its verdict: sent again, the same bytes would get the
same answer, one after the other. A corrected copy must not be dead-lettered with the malformed one, and no record may
wait for one whose partition has left. So of the others, and when an assignment ends, the first attached record of a
living assignment takes its place and is sent by itself.
"""

from collections.abc import Iterable, Iterator, Sequence

from streamer.core.records.open_record import Attached, OpenRecord


class InFlight:
    """The records of one integration that are on their way, by messageId."""

    keeps_latest = False
    """Whether of the records with one messageId only the newest one counts."""

    def __init__(self) -> None:
        self._leaders: dict[str, OpenRecord] = {}

    def __len__(self) -> int:
        return len(self._leaders)

    def __iter__(self) -> Iterator[OpenRecord]:
        """The records that go by themselves; those attached to one are in its ``attached``."""
        return iter(self._leaders.values())

    def find(self, message_id: str) -> OpenRecord | None:
        """The record that goes by itself with a messageId, if there is one."""
        return self._leaders.get(message_id)

    def claim(self, candidates: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Those of ``candidates`` that go by themselves; each other waits for the record with its id on its way."""
        leaders = self._leaders
        going: list[OpenRecord] = []
        for candidate in candidates:
            leader = leaders.setdefault(candidate.message_id, candidate)
            if leader is candidate:
                going.append(candidate)
            elif leader.attached is None:
                leader.attached = Attached(candidate)
            else:
                leader.attached.add(candidate)
        return going

    def take_superseded(self) -> Sequence[OpenRecord]:
        """The records that a newer one has made needless, since this was last called: here none ever is."""
        return ()

    def take_overtaken(self) -> Sequence[OpenRecord]:
        """The records for which a newer one waits, since this was last called: here none ever does."""
        return ()

    def newest(self, leader: OpenRecord) -> OpenRecord:
        """The record that goes in the place of ``leader``: here itself."""
        return leader

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
        """The record ended without being delivered.

        Returns:
            The attached record that takes its place and must be sent, if one of a living assignment is left.
        """
        del self._leaders[leader.message_id]
        waiting, leader.attached = leader.attached, None
        successor = waiting.take_first() if waiting is not None else None
        if successor is None:
            return None
        successor.attached = waiting or None
        self._leaders[successor.message_id] = successor
        return successor

    def take_equal(self, leader: OpenRecord, limit: int) -> list[OpenRecord]:
        """Remove the first ``limit`` attached records whose call equals the leader's; returns those that are ours."""
        equal = leader.attached.take_equal(leader.body, limit) if leader.attached is not None else []
        return [record for record in equal if not record.ledger.is_fenced]

    def leads(self, record: OpenRecord) -> bool:
        """Whether it is the record that goes by itself with its messageId."""
        return self._leaders.get(record.message_id) is record

    def release_fenced(self, in_requests: Iterable[OpenRecord]) -> list[OpenRecord]:
        """Assignments have ended: let go of their records, but for those whose request has no answer yet.

        A record in a request keeps its id. So the same record, read again, waits for the answer instead of being sent
        a second time beside it.

        Args:
            in_requests: records in a request without an answer.

        Returns:
            Attached records of living assignments that take the place of a fenced one and must be sent.
        """
        kept = {record.message_id for record in in_requests}
        fenced = [leader for leader in self._leaders.values() if leader.ledger.is_fenced]
        successors = [self.ended(leader) for leader in fenced if leader.message_id not in kept]
        for leader in self._leaders.values():
            if leader.attached is not None:
                leader.attached.drop_fenced()
                leader.attached = leader.attached or None
        return [successor for successor in successors if successor is not None]
