"""A configuration file that is not in force, or not as a whole."""

from collections.abc import Iterator

from streamer.status.figures import counted, duration, shortened
from streamer.status.problem import Level, Problem
from streamer.status.snapshot import ConfigStatus


def config_problems(config: ConfigStatus, now: float) -> Iterator[Problem]:
    """What an operator should know of it; ``now`` in seconds since the epoch."""
    if config.faults:
        ago = duration(max(now - (config.rejected_at or now), 0.0))
        first, others = shortened(config.faults[0]), len(config.faults) - 1
        more = f" (and {counted(others, 'more fault')})" if others else ""
        yield Problem(
            level=Level.ACT,
            subject="configuration",
            what=f"the changed file was rejected {ago} ago: {first}{more}",
            data="No data at risk: the configuration from before is in force.",
            next_step="Correct the file: streamer check lists all faults. streamer reads it again by itself.",
        )
    if config.needs_restart:
        yield Problem(
            level=Level.WATCH,
            subject="configuration",
            what=f"changed, and takes effect only after a restart: {shortened(', '.join(config.needs_restart))}",
            data="No data at risk: the values from before are in force.",
            next_step="Restart streamer when it suits you.",
        )
