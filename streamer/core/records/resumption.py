"""How an assignment uses what the earlier owner of its partition stated.

A ledger may begin with a `Statement` about the records from its position on. It relies on the statement only after the
record at the position has arrived with the fingerprint in it: otherwise the topic may have been recreated. From then on
it leaves out what is stated as settled. What it has not read again yet, it hands on in its own statements.
"""

from collections.abc import Iterator, Sequence

from streamer.core.model import Record
from streamer.core.records.statement import Run, Statement


class Resumption:
    """The statement that one assignment began with, as long as it is of use."""

    __slots__ = ("_is_verified", "attempts", "statement")

    def __init__(self, statement: Statement | None, position: int) -> None:
        """Begin at ``position``; a statement about another position, or without a fingerprint, is of no use."""
        is_usable = statement is not None and statement.fingerprint is not None and statement.position == position
        self.statement = statement if is_usable else None
        """None: there was none, it cannot be relied on, or everything it says has been read again."""
        self.attempts: dict[int, int] = {}
        """Failed attempts that earlier owners charged to records of this assignment, by offset."""
        self._is_verified = False

    @property
    def fingerprint(self) -> int | None:
        """The stated timestamp of the record at the position, in ms since the epoch."""
        return None if self.statement is None else self.statement.fingerprint

    def verify(self, first: Record) -> bool:
        """Check the statement against the first record to arrive; later ones are not looked at.

        When the record at the position is gone (compaction, retention), the statement cannot be checked. Then it is
        dropped, which costs repeats.

        Returns:
            False when another record stands at the position: the topic was recreated, and the position means nothing.
        """
        statement = self.statement
        if statement is None or self._is_verified:
            return True
        is_there = first.offset == statement.position
        self._is_verified = is_there and first.timestamp == statement.fingerprint
        if not self._is_verified:
            self.statement = None
        return self._is_verified or not is_there

    def without_settled(self, records: Sequence[Record]) -> Sequence[Record]:
        """Those of the records that are not stated as settled; notes the attempts charged to them."""
        statement = self.statement
        if statement is None:
            return records
        still_open = [record for record in records if not statement.is_settled(record.offset)]
        for record in still_open:
            if attempts := statement.attempts(record.offset):
                self.attempts[record.offset] = attempts
        return still_open

    def skip_unread(self) -> None:
        """The record at the position will not arrive: a statement that was not checked by now is dropped."""
        if not self._is_verified:
            self.statement = None

    def forget_below(self, offset: int) -> None:
        """Everything below ``offset`` has been read again."""
        if self.statement is not None and self.statement.horizon <= offset:
            self.statement = None

    def unread_runs(self, offset: int) -> Iterator[Run]:
        """The stated open offsets from ``offset`` on, which this assignment has not read again yet."""
        return iter(()) if self.statement is None else self.statement.open_from(offset)
