"""Is it well, and if not: what is wrong, is data at risk, what to do next. In words, for a person at night.

The first line of the page, of `/status` and of the incidents in the docs are all made here, so that they never differ.
Each rule looks at one kind of fault and gives a `Problem` for each thing that has it:

- `streamer.status.record_problems`: records that are lost, set aside, stuck, late or not accounted for
- `streamer.status.consumer_problems`: an integration that does not run, or reads only a part
- `streamer.status.destination_problems`: a destination that is held, backs off or fails
- `streamer.status.inbound_problems`: the way back
- `streamer.status.config_problems`: a configuration file that is not in force
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from streamer.logs.events import Event
from streamer.status.config_problems import config_problems
from streamer.status.consumer_problems import running_problems
from streamer.status.destination_problems import destination_problems
from streamer.status.figures import counted, duration, shortened
from streamer.status.inbound_problems import inbound_problems
from streamer.status.problem import Level, Problem
from streamer.status.record_problems import record_problems
from streamer.status.risk import risk_of
from streamer.status.snapshot import ConsumerStatus, ServiceStatus

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
    first, *others = problems
    more = f" Also: {counted(len(others), 'more problem')}." if others else ""
    return Verdict(level=first.level, headline=first.line + more, problems=problems)


def _urgency(problem: Problem) -> tuple[int, bool]:
    return _URGENCY[problem.level], problem.is_data_at_risk


def _problems(status: ServiceStatus, now: float, monotonic_now: float) -> Iterator[Problem]:
    """In the order in which equally urgent ones are told: causes before their effects."""
    yield from _draining(status)
    yield from config_problems(status.config, now)
    yield from _silent(status, now)
    for consumer in status.consumers:
        yield from running_problems(consumer, status, now)
    yield from destination_problems(status, now, monotonic_now)
    yield from inbound_problems(status, now)
    for consumer in status.consumers:
        yield from record_problems(consumer, status, now)


def _draining(status: ServiceStatus) -> Iterator[Problem]:
    if status.is_draining:
        yield Problem(
            level=Level.WATCH,
            subject="streamer",
            what="stopping: requests in flight end, and positions are committed",
            data="No data at risk: what is not delivered yet is read again after the next start.",
            next_step="No action is needed.",
        )


def _silent(status: ServiceStatus, now: float) -> Iterator[Problem]:
    """Brokers that do not answer are one problem, however many integrations wait for them."""
    silent = [consumer for consumer in status.consumers if consumer.kafka_silent_seconds is not None]
    if not silent:
        return
    seconds = max(consumer.kafka_silent_seconds or 0.0 for consumer in silent)
    risk = risk_of(silent, now)
    names = ", ".join(consumer.name for consumer in silent)
    reason = _reason_of_silence(status, silent)
    yield Problem(
        level=Level.ACT,
        subject="Kafka" if len(silent) == len(status.consumers) else f"Kafka (for {names})",
        what=f"no broker has answered for {duration(seconds)}",
        data=f"{risk.data} When a broker answers, streamer continues where it stopped.",
        next_step="Check the brokers, kafka.bootstrap_servers, and the network between them and this machine"
        f"{reason and f' ({reason})'}.",
        is_data_at_risk=risk.is_data_at_risk,
    )


def _reason_of_silence(status: ServiceStatus, silent: Sequence[ConsumerStatus]) -> str:
    names = {consumer.name for consumer in silent}
    for line in reversed(status.last_faults):
        if line.event_name == Event.KAFKA_UNAVAILABLE.event_name and line.subject in names:
            return shortened(line.detail or line.reason)
    return ""


def _well(status: ServiceStatus) -> str:
    names = [integration.name for integration in status.integrations]
    sentences = []
    if len(names) == 1:
        sentences.append(f"The integration {names[0]} delivers.")
    elif names:
        sentences.append(f"All {len(names)} integrations deliver.")
    if status.inbound is not None:
        sentences.append("The way back works.")
    return " ".join([*sentences, "Nothing is at risk."])
