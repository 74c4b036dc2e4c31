"""One look at one instance: its status document, read into types in this one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from streamer.core.model import Json

_SETTLED = ("delivered", "applied", "duplicate", "filtered", "ignored", "dead_lettered")
"""Terms of an account that are ends of records; the way back has names of its own for two of them."""

WAY_BACK = "inbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenIntegration:
    """An integration, or the way back, in one instance."""

    name: str
    state: str
    reason: str
    since: float | None
    """In this state, in seconds since the epoch."""
    consumed: int
    settled: int
    dead_lettered: int
    lag: int | None
    """Records; None: not known. So are the next two, in seconds."""
    lag_seconds: float | None
    eta_seconds: float | None
    """Until the lag is 0."""
    limited_by: str
    parked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDestination:
    """A destination in one instance."""

    name: str
    state: str
    reason: str
    since: float | None
    requests: Mapping[str, int]
    """By HTTP status or fault of the network."""
    p50_seconds: float | None
    p99_seconds: float | None
    in_flight: int
    limit: int
    next_probe_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All of one instance at one moment; times in seconds since the epoch."""

    instance: str
    version: str
    at: float
    started_at: float
    level: str
    headline: str
    partitions: int
    integrations: Sequence[SeenIntegration]
    destinations: Sequence[SeenDestination]

    @classmethod
    def of(cls, document: Json) -> Self:
        """Read a document of ``/status``.

        Raises:
            ValueError: it is none, or one of a version with another form.
        """
        try:
            way_back = document.get("inbound") or {}
            consumers = dict(document["integrations"])
            if way_back.get("state") is not None:
                consumers[WAY_BACK] = way_back
            return cls(
                instance=str(document["instance"]),
                version=str(document["version"]),
                at=_seconds(document["time"]),
                started_at=_seconds(document["started_at"]),
                level=str(document["verdict"]["level"]),
                headline=str(document["verdict"]["headline"]),
                partitions=sum(
                    partition["assigned"] for consumer in consumers.values() for partition in consumer["partitions"]
                ),
                integrations=[_integration(name, consumer) for name, consumer in consumers.items()],
                destinations=[_destination(name, told) for name, told in document["destinations"].items()],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("its /status has another form than this version knows") from error


@dataclass(frozen=True, slots=True)
class Look:
    """What an instance said when it was asked, or that it did not."""

    address: str
    seen: Seen | None
    error: str = ""
    """Why it said nothing."""

    @classmethod
    def of(cls, address: str, document: Json, error: str = "") -> Self:
        """Read an answer; ``document`` None: there is none."""
        if document is None:
            return cls(address, None, error)
        try:
            return cls(address, Seen.of(document))
        except ValueError as other:
            return cls(address, None, str(other))


def _integration(name: str, told: Json) -> SeenIntegration:
    account = told.get("account") or {}
    return SeenIntegration(
        name=name,
        state=str(told["state"]),
        reason=_reason(told),
        since=_seconds_or_none(told["state_since"]),
        consumed=_total(account.get("consumed", 0)),
        settled=sum(_total(account.get(term, 0)) for term in _SETTLED),
        dead_lettered=_total(account.get("dead_lettered", 0)),
        lag=told["lag"],
        lag_seconds=told["lag_seconds"],
        eta_seconds=max(told["drain_eta_seconds"].values(), default=None),
        limited_by=str(told["limited_by"] or ""),
        parked=sum(partition.get("parked", 0) for partition in told["partitions"]),
    )


def _reason(told: Json) -> str:
    """Why it is in its state; a person's pause and the mass guard say more than the state does."""
    pause, guard = told.get("pause"), told.get("guard")
    if pause:
        why = f": {pause['reason']}" if pause.get("reason") else ""
        until = f" until {pause['until']}" if pause.get("until") else ""
        return f"by {pause['by']}{until}{why}"
    if guard:
        return f"{guard['set_aside']} of {guard['seen']} records would become dead letters: {guard['reason']}"
    if told.get("kafka_silent_since"):
        return f"no broker has answered since {told['kafka_silent_since']}"
    return str(told.get("reason") or "")


def _destination(name: str, told: Json) -> SeenDestination:
    return SeenDestination(
        name=name,
        state=str(told["state"]),
        reason=" ".join(filter(None, (told["reason"], told["next_step"]))) if told["state"] != "ok" else "",
        since=_seconds_or_none(told["since"]),
        requests=dict(told["requests"]),
        p50_seconds=told["request_seconds"]["p50_at_most"],
        p99_seconds=told["request_seconds"]["p99_at_most"],
        in_flight=int(told["in_flight"]),
        limit=int(told["limit"]),
        next_probe_at=_seconds_or_none(told["next_probe_at"]),
    )


def _total(term: Json) -> int:
    """A term of an account: a number, or numbers by reason."""
    return sum(term.values()) if isinstance(term, dict) else int(term)


def _seconds(time: Json) -> float:
    return datetime.fromisoformat(time).timestamp()


def _seconds_or_none(time: Json) -> float | None:
    return None if time is None else _seconds(time)
