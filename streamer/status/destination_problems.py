"""What is not well with a destination: held, backing off, or failing more than a little while it works."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from streamer.core.delivery.answers import AnswerKind, NetworkFault, answer_of_fault, classify
from streamer.core.delivery.transitions import State
from streamer.logs.events import Event
from streamer.status.destination_snapshot import DestinationStatus
from streamer.status.figures import duration, share
from streamer.status.problem import Level, Problem
from streamer.status.risk import risk_of
from streamer.status.snapshot import IntegrationStatus, ServiceStatus

LASTING_SECONDS: Final = 900.0
"""A destination that backs off for longer does not seem to recover without help."""

LATELY_SECONDS: Final = 30.0
MIN_FAILED_SHARE: Final = 0.2
MIN_FAILED: Final = 3
"""A destination that works is told of when at least this share and number of its requests failed lately."""

_REASONS: Final[Mapping[str, str]] = {
    "401": "wrong {key}",
    "403": "access refused (403)",
    "407": "the proxy asks for a login (407)",
    "408": "it does not answer in time (408)",
    "429": "too many requests (429)",
    "511": "the network asks for a login (511)",
    "unknown_write_key": "wrong {key}: no source has it",
    "wrong_region": "wrong region",
    "refuses_everything": "it refused every call so far",
    "tls_verification": "its certificate is not trusted",
    "tls_reset": "connections end during the TLS handshake",
    "dns_unknown_host": "unknown host name",
    "dns_temporary": "its host name cannot be resolved now",
    "web_page": "a web page answers in its place",
    "proxy_refused": "the proxy refuses the connection",
    "connection_refused": "connections are refused",
    "connection_reset": "connections break",
    "connection_error": "connections fail",
    "timeout": "it does not answer in time",
    "hung": "requests hang",
    "cut_off": "answers break off",
    "unasked_answer": "it answers before it was asked",
}
"""Why a destination is held, backs off or fails, in words."""

_WRONG_ADDRESS: Final = frozenset({"404", "405", "501"})


def destination_problems(status: ServiceStatus, now: float, monotonic_now: float) -> Iterator[Problem]:
    """One for each destination that is not well, however many integrations use it.

    Args:
        status: a snapshot.
        now: seconds since the epoch.
        monotonic_now: the same moment on the monotonic clock.
    """
    for destination in status.destinations:
        users = [integration for integration in status.integrations if integration.destination == destination.name]
        if destination.state is State.HELD:
            yield _held(destination, users, now, monotonic_now)
        elif destination.state is State.BACKING_OFF:
            yield _backing_off(destination, users, now, monotonic_now)
        else:
            yield from _failing(destination, users, status, now, monotonic_now)


def _held(
    destination: DestinationStatus, users: Sequence[IntegrationStatus], now: float, monotonic_now: float
) -> Problem:
    risk = risk_of(users, now)
    lasts = duration(monotonic_now - destination.since)
    return Problem(
        level=Level.ACT,
        subject=_subject(destination, users),
        what=f"held for {lasts}, {_in_words(destination.reason, destination.key_name)}",
        data=risk.data,
        next_step=destination.next_step,
        is_data_at_risk=risk.is_data_at_risk,
    )


def _backing_off(
    destination: DestinationStatus, users: Sequence[IntegrationStatus], now: float, monotonic_now: float
) -> Problem:
    risk, seconds = risk_of(users, now), monotonic_now - destination.since
    is_lasting = seconds >= LASTING_SECONDS
    return Problem(
        level=Level.ACT if is_lasting or risk.is_data_at_risk else Level.WATCH,
        subject=_subject(destination, users),
        what=f"backing off for {duration(seconds)}, {_in_words(destination.reason, destination.key_name)}",
        data=risk.data,
        next_step=_lasting_step(destination) if is_lasting else destination.next_step,
        is_data_at_risk=risk.is_data_at_risk,
    )


def _lasting_step(destination: DestinationStatus) -> str:
    if destination.reason == "429":
        return (
            f"Ask the operator of {destination.name} whether its limit can be raised, and what else sends to it;"
            " rate_limit of the destination keeps streamer below the limit."
        )
    return (
        f"Look at the status page of {destination.name}, and at the network and the proxy on the way to it."
        " Delivery resumes when it answers."
    )


def _failing(
    destination: DestinationStatus,
    users: Sequence[IntegrationStatus],
    status: ServiceStatus,
    now: float,
    monotonic_now: float,
) -> Iterator[Problem]:
    # What failed before it recovered is over.
    begin = now - min(LATELY_SECONDS, monotonic_now - destination.since)
    requests, retried = 0.0, Counter[str]()
    for point in status.history.destinations.get(destination.name, ()):
        if point.at - point.seconds < begin:
            continue
        requests += point.requests * point.seconds
        for reason, rate in point.retried_by.items():
            retried[reason] += round(rate * point.seconds)
    failed = retried.total()
    if failed < MIN_FAILED or failed < MIN_FAILED_SHARE * requests:
        return
    [(reason, _)] = retried.most_common(1)
    risk, is_set_up = risk_of(users, now), _is_set_up(reason)
    yield Problem(
        level=Level.ACT if is_set_up or risk.is_data_at_risk else Level.WATCH,
        subject=_subject(destination, users),
        what=f"{share(failed / requests)} of the requests of the last {duration(LATELY_SECONDS)} failed, most of them:"
        f" {_in_words(reason, destination.key_name)}",
        data=risk.data,
        next_step=Event.DESTINATION_HELD.next_step
        if is_set_up
        else "No action is needed unless it lasts: streamer sends the calls again. Then look at the status page of"
        f" {destination.name}, and at the network on the way to it.",
        is_data_at_risk=risk.is_data_at_risk,
    )


def _is_set_up(reason: str) -> bool:
    """Whether our set-up is at fault. After other calls were accepted, that takes a while to be sure of."""
    if reason.isdecimal():
        return classify(int(reason)) is AnswerKind.SET_UP
    return reason in list(NetworkFault) and answer_of_fault(NetworkFault(reason)).kind is AnswerKind.SET_UP


def _subject(destination: DestinationStatus, users: Sequence[IntegrationStatus]) -> str:
    """The integration that uses it; the destination itself, if there are several, or none."""
    if len(users) == 1:
        return users[0].name
    if not users:
        return destination.name
    return f"{destination.name} (used by {', '.join(user.name for user in users)})"


def reason_in_words(destination: DestinationStatus) -> str:
    """Why it is held or backs off: "wrong write key"; empty where nothing is wrong."""
    return _in_words(destination.reason, destination.key_name) if destination.reason else ""


def _in_words(reason: str, key_name: str) -> str:
    if reason in _WRONG_ADDRESS:
        return f"wrong address ({reason})"
    if reason.isdecimal() and reason.startswith("3"):
        return f"it redirects to another address ({reason})"
    if reason.isdecimal() and reason.startswith("5") and reason not in _REASONS:
        return f"server error ({reason})"
    known = _REASONS.get(reason)
    if known is not None:
        return known.format(key=key_name)
    return f"answer {reason}" if reason else "the reason is not known yet"
