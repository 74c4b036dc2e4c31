"""One thing that is not well, in words: what is wrong, whether data is at risk, what to do next."""

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How urgent something is."""

    WELL = "well"
    WATCH = "watch"
    """Somebody should know. It may pass without help, or a person has asked for it."""
    ACT = "act"
    """It will not pass without help, or data is at risk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is not well."""

    level: Level
    subject: str
    """The integration, destination or part that it is about."""
    what: str
    """What is wrong, and for how long: "held for 4 min, wrong write key"."""
    data: str
    """Whether data is at risk: "No data at risk: 12,431 records wait on Kafka, 6 days before retention."."""
    next_step: str
    """What to do: a sentence."""
    is_data_at_risk: bool = False

    @property
    def line(self) -> str:
        """All of it: "sprig: held for 4 min, wrong write key. No data at risk: ... Do: ..."."""
        return f"{self.subject}: {self.what}. {self.data} Do: {self.next_step}"
