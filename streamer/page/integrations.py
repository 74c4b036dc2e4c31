"""A row for each integration: what it does and why, how fast, how far behind, and its account."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.records.account import Totals
from streamer.page.figures import UNKNOWN, count, duration, per_second
from streamer.page.markup import Child, element, joined
from streamer.page.parts import NOTHING, badge, cell, do, heading, name, since, table
from streamer.page.view import View
from streamer.status import ConsumerStatus, DestinationStatus, IntegrationState, IntegrationStatus
from streamer.status.destination_problems import reason_in_words
from streamer.status.figures import counted
from streamer.status.history import MAX_STEP_SECONDS, IntegrationPoint
from streamer.status.pausing import pause_in_words
from streamer.status.verdict import Level

LIMITS: Final[Mapping[Limit, str]] = {
    Limit.FETCH: "nothing: all that arrives is sent at once",
    Limit.KAFKA: "no broker answers",
    Limit.MAPPING: "CPU of this process",
    Limit.CONCURRENCY: "max_in_flight, or limits of open records",
    Limit.RATE: "rate_limit",
    Limit.DESTINATION: "what the destination can handle",
    Limit.BACKING_OFF: "destination is backing off",
    Limit.HELD: "destination is held",
    Limit.GUARDED: "the mass guard",
    Limit.PAUSED: "paused by a person",
}
"""What limits, in words for the page."""

STATES: Final[Mapping[IntegrationState, tuple[Level, str]]] = {
    IntegrationState.STARTING: (Level.WATCH, "Starting"),
    IntegrationState.RUNNING: (Level.WELL, "Running"),
    IntegrationState.GUARDED: (Level.ACT, "Guarded"),
    IntegrationState.PAUSED: (Level.WATCH, "Paused"),
    IntegrationState.RESTARTING: (Level.WATCH, "Restarting"),
    IntegrationState.DRAINING: (Level.WATCH, "Draining"),
}

DESTINATION_STATES: Final[Mapping[State, tuple[Level, str]]] = {
    State.OK: (Level.WELL, "Ok"),
    State.BACKING_OFF: (Level.WATCH, "Backing off"),
    State.HELD: (Level.ACT, "Held"),
}

COLUMNS: Final = (
    ("Integration", False),
    ("State", False),
    ("In per second", True),
    ("Out per second", True),
    ("Lag, records", True),
    ("Oldest waits", True),
    ("Drained in", True),
    ("Until retention", True),
    ("Limited by", False),
)
"""Of everything that reads topics."""


def integrations(view: View) -> Markup:
    """The section of all integrations."""
    found = view.status.integrations
    return joined(
        [
            heading("integrations", "Integrations"),
            table("Integrations", COLUMNS, [_integration(one, view) for one in found], class_="cards")
            if found
            else element("p", "No integration is configured.", class_="quiet"),
        ]
    )


def _integration(integration: IntegrationStatus, view: View) -> Markup:
    about = joined([integration.dialect, " → ", name(integration.destination)])
    return consumer_rows(integration, view, about=about)


def consumer_rows(
    consumer: ConsumerStatus, view: View, *, about: Child, terms: Mapping[str, str] | None = None
) -> Markup:
    """The rows of something that reads topics: its figures, and below them its account.

    Args:
        consumer: to show.
        view: the moment.
        about: what stands below its name.
        terms: words for terms of the account that differ.
    """
    point = _latest_point(consumer, view)
    figures = element(
        "tr",
        element(
            "th",
            name(consumer.name),
            element("span", about, class_="about"),
            scope="row",
            role="rowheader",
        ),
        cell("State", _state(consumer, view)),
        cell("In per second", UNKNOWN if point is None else per_second(point.consumed), is_number=True),
        cell("Out per second", UNKNOWN if point is None else per_second(point.settled), is_number=True),
        cell("Lag, records", count(consumer.lag), is_number=True),
        cell("Oldest waits", duration(consumer.lag_seconds(view.now)), is_number=True),
        cell("Drained in", _drained(consumer), is_number=True),
        cell("Until retention", _headroom(consumer), is_number=True),
        cell("Limited by", _limit(consumer.limited_by)),
        role="row",
    )
    colspan = str(len(COLUMNS))
    account = element(
        "tr",
        element(
            "td",
            do(_next_step(consumer, view)),
            account_line(consumer, terms or {}),
            colspan=colspan,
            class_="account",
            role="cell",
        ),
        role="row",
        class_="under",
    )
    return element("tbody", figures, account, role="rowgroup", data_key=consumer.name)


def _latest_point(consumer: ConsumerStatus, view: View) -> IntegrationPoint | None:
    """The last step; None: it is too long ago to be now."""
    points = view.integration_points.get(consumer.name)
    return points[-1] if points and view.now - points[-1].at <= MAX_STEP_SECONDS else None


def _state(consumer: ConsumerStatus, view: View) -> Markup:
    """In a word, why, and since when. A destination that is closed closes its integrations."""
    closed = _closed_destination(consumer, view)
    left_out = sum(partition.left_out is not None for partition in consumer.partitions)
    level, word = STATES[consumer.state]
    at, reason = consumer.state_since, "" if level is Level.WELL else consumer.reason
    if consumer.kafka_silent_seconds is not None:
        level, word, at = Level.ACT, "No broker answers", view.now - consumer.kafka_silent_seconds
    elif closed is not None:
        level, word = DESTINATION_STATES[closed.state]
        at, reason = view.wall_time(closed.since), reason_in_words(closed)
    elif consumer.guard is not None:
        guard = consumer.guard
        reason = (
            f"{guard.set_aside} of {counted(guard.seen, 'record')} would become dead letters:"
            f" {guard.reason}, {guard.detail}"
        )
    elif consumer.pause is not None:
        level, reason = Level.WATCH, pause_in_words(consumer.pause, view.now)
    elif left_out and level is Level.WELL:
        level, reason = Level.WATCH, f"{counted(left_out, 'partition')} not read"
    return joined([badge(level, word), since(at, view.now), _reason(reason)])


def _next_step(consumer: ConsumerStatus, view: View) -> str:
    closed = _closed_destination(consumer, view)
    if closed is not None:
        return closed.next_step
    is_silent = consumer.kafka_silent_seconds is not None
    problem = next(
        (
            problem
            for problem in view.verdict.problems
            if problem.subject == consumer.name or (is_silent and problem.subject.startswith("Kafka"))
        ),
        None,
    )
    return "" if problem is None else problem.next_step


def _closed_destination(consumer: ConsumerStatus, view: View) -> DestinationStatus | None:
    """The destination, if it is what keeps the integration from delivering."""
    is_running = consumer.state is IntegrationState.RUNNING and consumer.kafka_silent_seconds is None
    if not is_running or not isinstance(consumer, IntegrationStatus):
        return None
    destination = view.destination(consumer.destination)
    return None if destination is None or destination.state is State.OK else destination


def _reason(text: str) -> Markup | None:
    return element("span", text, class_="reason") if text else None


def _drained(consumer: ConsumerStatus) -> Markup:
    """When the last of its topics is."""
    if consumer.lag == 0:
        return NOTHING
    return duration(max(consumer.drain_eta_seconds.values(), default=None))


def _headroom(consumer: ConsumerStatus) -> Markup:
    """That of the partition that has the least."""
    headrooms = [
        partition.assigned.retention_headroom_seconds
        for partition in consumer.partitions
        if partition.assigned is not None and partition.assigned.retention_headroom_seconds is not None
    ]
    return duration(min(headrooms, default=None))


def _limit(limit: Limit | None) -> Markup:
    return UNKNOWN if limit is None else element("data", LIMITS[limit], value=limit.value)


def account_line(consumer: ConsumerStatus, terms: Mapping[str, str]) -> Markup:
    """What became of all records, as the sum that must add up, with the reasons to open."""
    accounts = [partition.account for partition in consumer.partitions]
    totals = Totals.of(accounts, sum(partition.in_flight for partition in consumer.partitions))
    parts = [
        _term(getattr(totals, term), terms.get(term, word), term)
        for term, word in (
            ("delivered", "delivered"),
            ("duplicate", "duplicate"),
            ("filtered", "filtered"),
            ("dead_lettered", "dead-lettered"),
            ("handed_back", "handed back"),
            ("in_flight", "in flight"),
        )
    ]
    unaccounted = sum(partition.unaccounted for partition in consumer.partitions)
    lost = sum(account.lost.total() for account in accounts)
    ends = [
        element("span", "✓ adds up", class_="well")
        if not unaccounted
        else element("b", f"✕ out by {unaccounted:,}: a bug in streamer, please report it", class_="act"),
        element("b", f"✕ {lost:,} lost: Kafka deleted them before they were read", class_="act") if lost else None,
    ]
    line = [_term(totals.consumed, "consumed", "consumed"), " = ", joined(parts, " + "), " ", joined(ends, " ")]
    by_reason = [
        *_by_reason(terms.get("filtered", "filtered"), [account.filtered for account in accounts]),
        *_by_reason("dead-lettered", [account.dead_lettered for account in accounts]),
        *_by_reason("lost", [account.lost for account in accounts]),
    ]
    if not by_reason:
        return element("p", line)
    return element("details", element("summary", line), element("p", joined(by_reason, ", ")), data_key="reasons")


def _term(number: int, word: str, term: str) -> Markup:
    return element("span", count(number), " ", word, class_="term", data_term=term)


def _by_reason(word: str, counters: Sequence[Mapping[Any, int]]) -> list[Markup]:
    sums: dict[str, int] = {}
    for counter in counters:
        for reason, number in counter.items():
            sums[str(reason)] = sums.get(str(reason), 0) + number
    return [
        element("span", count(number), f" {word} as ", element("code", reason), class_="term")
        for reason, number in sorted(sums.items())
    ]
