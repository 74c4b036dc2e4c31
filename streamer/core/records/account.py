"""What became of the records of one partition: the terms of the sum that must always add up.

    consumed = delivered + duplicate + filtered + dead_lettered + handed_back + in flight

An account lives as long as the process: assignments come and go, and what was open when one ended is handed back.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from streamer.core.model import DeadLetterReason


class Account:
    """The counters of one partition in one integration. Plain numbers: they are changed for every record."""

    __slots__ = (
        "consumed",
        "consumed_bytes",
        "dead_lettered",
        "delivered",
        "duplicate",
        "filtered",
        "handed_back",
        "known_settled",
        "lost",
    )

    def __init__(self) -> None:
        self.consumed = 0
        """Records read, again after a hand-back."""
        self.consumed_bytes = 0
        """Bytes of their values."""
        self.delivered = 0
        self.duplicate = 0
        self.filtered: Counter[StrEnum] = Counter()
        """By the rule that made nothing of them: `FilterReason`, or for calls of webhooks `IgnoredReason`."""
        self.dead_lettered: Counter[DeadLetterReason] = Counter()
        self.handed_back = 0
        """Open when their assignment ended; they will be consumed again, here or elsewhere."""
        self.known_settled = 0
        """Read again, and left out because the commit we began from states them as settled. No term of the sum: whoever
        settled them has counted them."""
        self.lost: Counter[str] = Counter()
        """Records gone from the topic before we read them, by reason. No term of the sum: they were never consumed."""

    @property
    def settled(self) -> int:
        """Records that have their outcome."""
        return self.delivered + self.duplicate + self.filtered.total() + self.dead_lettered.total()

    def unaccounted(self, in_flight: int) -> int:
        """What the sum is out by, given the records open now; anything but 0 is a bug of ours."""
        return self.consumed - self.settled - self.handed_back - in_flight


@dataclass(frozen=True, slots=True)
class Totals:
    """The accounts of several partitions in one, with what is open in them."""

    consumed: int
    delivered: int
    duplicate: int
    filtered: int
    dead_lettered: int
    handed_back: int
    in_flight: int

    @classmethod
    def of(cls, accounts: Collection[Account], in_flight: int) -> "Totals":
        """Sum the accounts up; ``in_flight`` is how many records are open in their partitions now."""
        return cls(
            consumed=sum(account.consumed for account in accounts),
            delivered=sum(account.delivered for account in accounts),
            duplicate=sum(account.duplicate for account in accounts),
            filtered=sum(account.filtered.total() for account in accounts),
            dead_lettered=sum(account.dead_lettered.total() for account in accounts),
            handed_back=sum(account.handed_back for account in accounts),
            in_flight=in_flight,
        )

    @property
    def settled(self) -> int:
        """Records that have their outcome."""
        return self.delivered + self.duplicate + self.filtered + self.dead_lettered

    def since(self, earlier: "Totals") -> "Totals":
        """What happened after ``earlier``; what is open is that of now."""
        return Totals(
            consumed=self.consumed - earlier.consumed,
            delivered=self.delivered - earlier.delivered,
            duplicate=self.duplicate - earlier.duplicate,
            filtered=self.filtered - earlier.filtered,
            dead_lettered=self.dead_lettered - earlier.dead_lettered,
            handed_back=self.handed_back - earlier.handed_back,
            in_flight=self.in_flight,
        )

    def adds_up(self) -> bool:
        """Whether nothing is unaccounted for."""
        return self.consumed == self.settled + self.handed_back + self.in_flight
