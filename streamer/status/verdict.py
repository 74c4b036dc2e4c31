"""Is it well, and if not: what is wrong, is data at risk, what to do next. In words, for a person at night.

The first line of the page, of `/status` and of the incidents in the docs are all made here, so that they never differ.
"""

import enum
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole service in a line, and the problems, the most urgent first."""

    level: Level
    headline: str
    """"All 3 integrations deliver. Nothing is at risk.", or the most urgent problem."""
    problems: Sequence[Problem] = ()
