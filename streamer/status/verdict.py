"""Is it well, and if not: what is wrong, is data at risk, what to do next. In words, for a person at night.

The first line of the page, of `/status` and of the incidents in the docs are all made here, so that they never differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from streamer.core.delivery.transitions import State
from streamer.status.figures import duration
from streamer.status.problem import Level, Problem
from streamer.status.snapshot import ConsumerStatus, IntegrationState, ServiceStatus

__all__ = ["Level", "Problem", "Verdict", "verdict_of"]

_URGENCY: Final = {Level.WELL: 0, Level.WATCH: 1, Level.ACT: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The whole service in a line, and the problems, the most urgent first."""

    level: Level
    headline: str
    """"All 3 integrations deliver. Nothing is at risk.", or the most urgent problem."""
    problems: Sequence[Problem] = ()


def verdict_of(status: ServiceStatus, *, now: float, monotonic_now: float) -> Verdict:
    """Whether it is well.

    Args:
        status: a snapshot.
        now: seconds since the epoch.
        monotonic_now: the same moment on the monotonic clock, which the times of destinations use.
    """
    problems = sorted(_problems(status, now, monotonic_now), key=_urgency, reverse=True)
    if not problems:
        return Verdict(level=Level.WELL, headline=_well(status))
    return Verdict(level=problems[0].level, headline=problems[0].line, problems=problems)


def _urgency(problem: Problem) -> tuple[int, bool]:
    return _URGENCY[problem.level], problem.is_data_at_risk


def _well(status: ServiceStatus) -> str:
    names = [integration.name for integration in status.integrations]
    if len(names) == 1:
        return f"The integration {names[0]} delivers. Nothing is at risk."
    return f"All {len(names)} integrations deliver. Nothing is at risk."


def _problems(status: ServiceStatus, now: float, monotonic_now: float) -> Iterator[Problem]:
    for consumer in status.consumers:
        yield from _of_consumer(consumer, now)
    for destination in status.destinations:
        if destination.state is not State.OK:
            word = "held" if destination.state is State.HELD else "sends nothing"
            yield Problem(
                level=Level.ACT if destination.state is State.HELD else Level.WATCH,
                subject=destination.name,
                what=f"{word} for {duration(monotonic_now - destination.since)}, {destination.reason}",
                data="No data at risk: records wait on Kafka.",
                next_step=destination.next_step,
            )


def _of_consumer(consumer: ConsumerStatus, _now: float) -> Iterator[Problem]:
    if consumer.kafka_silent_seconds is not None:
        yield Problem(
            level=Level.ACT,
            subject=consumer.name,
            what=f"Kafka has not answered for {duration(consumer.kafka_silent_seconds)}",
            data="No data at risk: streamer goes on where it stopped.",
            next_step="Check the brokers, and the network between them and this machine.",
        )
    elif consumer.state is not IntegrationState.RUNNING:
        yield Problem(
            level=Level.ACT if consumer.state is IntegrationState.GUARDED else Level.WATCH,
            subject=consumer.name,
            what=consumer.state.value,
            data="No data at risk: records wait on Kafka.",
            next_step="See the log.",
        )
