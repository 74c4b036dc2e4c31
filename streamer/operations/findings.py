"""What checks find outside streamer."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found outside streamer, a line for each thing; no line holds a secret."""

    problems: list[str] = field(default_factory=list)
    """What would keep streamer from working."""
    warnings: list[str] = field(default_factory=list)
    """What would harm dead letters, what could not be looked at, and what the next start will change."""
