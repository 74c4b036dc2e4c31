"""The first line: what is wrong, whether data is at risk, what to do; in whole texts, because people read them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.core.delivery.answers import answer_of_status
from streamer.core.delivery.attempt import Verdict as Answered
from streamer.core.delivery.transitions import State
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records.account import Account
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.logs.fault import FaultLine
from streamer.status import (
    AssignedPartition,
    ConsumerStatus,
    DestinationStatus,
    DirectoryStatus,
    GuardEvidence,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ReceiptsStatus,
    RecentLetter,
    ServiceStatus,
    WebhooksStatus,
)
from streamer.status.histogram import Histogram
from streamer.status.history import STEP_SECONDS, History
from streamer.status.verdict import Level, Verdict, verdict_of

NOW = 1_700_000_000.0
MONOTONIC = 50_000.0
DAY = 86_400.0


def assigned(**changes: Any) -> AssignedPartition:
    """A partition in which nothing waits."""
    nothing = {"in_flight": 0, "parked": 0, "position": 100, "committed": 100, "next_offset": 100}
    return AssignedPartition(**{**nothing, "high_watermark": 100, **changes})


def waiting(records: int = 12_431, *, since: float = 600.0, headroom: float | None = 6 * DAY + 50) -> AssignedPartition:
    """A partition in which records wait."""
    return assigned(high_watermark=100 + records, oldest_waiting_at=NOW - since, retention_headroom_seconds=headroom)


def partition(
    place: AssignedPartition | None = None, number: int = 0, account: Account | None = None, **changes: Any
) -> PartitionStatus:
    return PartitionStatus(
        topic="surveys", partition=number, account=account or Account(), assigned=place or assigned(), **changes
    )


def integration(name: str = "sprig", *places: PartitionStatus, **changes: Any) -> IntegrationStatus:
    """One that runs, and to which nothing happens."""
    fields: dict[str, Any] = {
        "dialect": "sprig",
        "group": f"streamer.{name}",
        "destination": "production",
        "state": IntegrationState.RUNNING,
        "state_since": NOW - 250,
        "partitions": places or [partition()],
        "receipts": ReceiptsStatus(is_available=True, entries=0, bytes=0, shrunk_total=0),
    }
    return IntegrationStatus(name=name, **{**fields, **changes})


def destination(
    name: str = "production", state: State = State.OK, reason: str = "", **changes: Any
) -> DestinationStatus:
    return DestinationStatus(
        name=name, limit=8, state=state, reason=reason, **{"since": MONOTONIC - 250, "next_step": "Do this.", **changes}
    )


def service(
    integrations: Sequence[IntegrationStatus] = (),
    destinations: Sequence[DestinationStatus] = (),
    **changes: Any,
) -> ServiceStatus:
    return ServiceStatus(
        version="1",
        python="3",
        commit="c",
        config_sha256="0",
        mapping_version="1",
        started_at=NOW - 3_600,
        is_draining=False,
        integrations=integrations or [integration()],
        destinations=destinations or [destination()],
        loop_lag_seconds=Histogram((1.0,)),
        **changes,
    )


def verdict(status: ServiceStatus) -> Verdict:
    return verdict_of(status, now=NOW, monotonic_now=MONOTONIC)


def way_back(
    *, is_up: bool = True, fault: str = "", outbox: float | None = None, publishing_fault: str = "", records: int = 0
) -> InboundStatus:
    return InboundStatus(
        environment=None,
        consumer=ConsumerStatus(
            name="inbound",
            group="streamer.inbound",
            destination="directory",
            state=IntegrationState.RUNNING,
            partitions=[partition(waiting(records) if records else None)],
        ),
        directory=DirectoryStatus(
            is_up=is_up,
            reason="" if is_up else "the database does not answer. Check directory.url.",
            users=1,
            devices=1,
            transaction_seconds=Histogram((1.0,)),
            outbox_records=None if outbox is None else 4_211,
            outbox_oldest_at=None if outbox is None else NOW - outbox,
            is_publishing=True,
            published=0,
            skipped=0,
            publishing_fault=fault,
        ),
        webhooks=WebhooksStatus(requests={}, calls={}, request_seconds={}, publishing_fault=publishing_fault),
    )


# -- it is well


@pytest.mark.parametrize(
    ("status", "headline"),
    [
        (service(), "The integration sprig delivers. Nothing is at risk."),
        (
            service([integration("sprig"), integration("web"), integration("app")]),
            "All 3 integrations deliver. Nothing is at risk.",
        ),
        (
            service([integration("sprig"), integration("web")], inbound=way_back()),
            "All 2 integrations deliver. The way back works. Nothing is at risk.",
        ),
        (
            service([integration("sprig", partition(waiting(since=5.0)))]),
            "The integration sprig delivers. Nothing is at risk.",
        ),
    ],
    ids=["one", "three", "with the way back", "a backlog that is delivered"],
)
def test_it_is_well(status: ServiceStatus, headline: str) -> None:
    assert verdict(status) == Verdict(level=Level.WELL, headline=headline)


def test_without_integrations_only_the_way_back_is_told() -> None:
    status = dataclasses.replace(service(), integrations=[], destinations=[], inbound=way_back())
    assert verdict(status).headline == "The way back works. Nothing is at risk."


# -- the destination


def test_a_wrong_write_key() -> None:
    status = service(
        [integration("sprig", partition(waiting()))],
        [destination(state=State.HELD, reason="401", next_step="Check the destination's write_key.")],
    )
    assert verdict(status).headline == (
        "sprig: held for 4 min, wrong write key. No data at risk: 12,431 records wait on Kafka, 6 days before"
        " retention. Do: Check the destination's write_key."
    )
    assert verdict(status).level is Level.ACT


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("401", "wrong API key"),
        ("404", "wrong address (404)"),
        ("308", "it redirects to another address (308)"),
        ("unknown_write_key", "wrong API key: no source has it"),
        ("tls_verification", "its certificate is not trusted"),
        ("418", "answer 418"),
    ],
)
def test_why_it_is_held_in_words(reason: str, words: str) -> None:
    status = service(destinations=[destination(state=State.HELD, reason=reason, key_name="API key")])
    assert verdict(status).headline.startswith(f"sprig: held for 4 min, {words}. No data at risk: no record waits.")


def test_429_for_minutes() -> None:
    status = service(
        [integration("sprig", partition(waiting()))],
        [destination(state=State.BACKING_OFF, reason="429", next_step="No action is needed: delivery resumes.")],
    )
    assert verdict(status).level is Level.WATCH
    assert verdict(status).headline == (
        "sprig: backing off for 4 min, too many requests (429). No data at risk: 12,431 records wait on Kafka, 6 days"
        " before retention. Do: No action is needed: delivery resumes."
    )


def test_what_was_read_since_the_brokers_said_where_partitions_end_waits_too() -> None:
    account = Account()
    account.consumed = 80
    status = service(
        [integration("sprig", partition(assigned(in_flight=80, next_offset=180), account=account))],
        [destination(state=State.BACKING_OFF, reason="503")],
    )
    [problem] = verdict(status).problems
    assert problem.data == "No data at risk: 80 records wait on Kafka."


@pytest.mark.parametrize(("reason", "words"), [("429", "rate_limit"), ("503", "status page of production")])
def test_a_destination_that_backs_off_for_long_needs_help(reason: str, words: str) -> None:
    status = service(destinations=[destination(state=State.BACKING_OFF, reason=reason, since=MONOTONIC - 1_000)])
    [problem] = verdict(status).problems
    assert problem.level is Level.ACT
    assert words in problem.next_step


def test_a_destination_of_several_integrations_is_one_problem() -> None:
    users = [integration(name, partition(waiting(1_000))) for name in ("sprig", "web")]
    users.append(integration("other", destination="elsewhere"))
    status = service(users, [destination(state=State.HELD, reason="401"), destination("elsewhere")])
    [problem] = verdict(status).problems
    assert problem.subject == "production (used by sprig, web)"
    assert problem.data == "No data at risk: 2,000 records wait on Kafka, 6 days before retention."


def test_a_destination_that_nobody_uses_is_told_by_its_own_name() -> None:
    [problem] = verdict(service(destinations=[destination("spare", State.HELD, "401")])).problems
    assert (problem.subject, problem.data) == ("spare", "No data at risk: no integration needs it.")


def history_of(status: ServiceStatus, *steps: Callable[[], None]) -> None:
    """Note steps; in each of them something is done to the counters. The last one ends now."""
    for index, step in enumerate((lambda: None, *steps)):
        step()
        status.history.note(status, NOW - (len(steps) - index) * STEP_SECONDS)


def test_a_destination_that_works_and_fails_often_is_told() -> None:
    target = destination()
    status = service(destinations=[target])

    def answers() -> None:
        for code, answered in [(200, Answered.DELIVERED)] * 6 + [(503, Answered.RETRY_FREE)] * 4:
            target.record(answer_of_status(code, None), 0.1, 1, 1, answered)

    history_of(status, answers, answers)
    [problem] = verdict(status).problems
    assert problem.level is Level.WATCH
    assert problem.what == "40 % of the requests of the last 30 s failed, most of them: server error (503)"


@pytest.mark.parametrize("reason", [401, 404, 301])
def test_one_that_begins_to_refuse_our_set_up_needs_help_before_it_is_held(reason: int) -> None:
    """With few events it takes a while to be sure that no event is at fault."""
    target = destination()
    status = service([integration("sprig", partition(waiting()))], [target])

    def answers() -> None:
        for code, answered in [(200, Answered.DELIVERED)] * 5 + [(reason, Answered.RETRY_CHARGED)] * 5:
            target.record(answer_of_status(code, None), 0.1, 1, 1, answered)

    history_of(status, answers)
    [problem] = verdict(status).problems
    assert (problem.level, problem.next_step) == (
        Level.ACT,
        "Check the destination's write_key or api_key, region and endpoint.",
    )
    assert problem.data.startswith("No data at risk: 12,431 records wait")


def test_what_failed_before_a_destination_recovered_is_over() -> None:
    target = destination(since=MONOTONIC - 7)
    status = service(destinations=[target])

    def fails() -> None:
        for _ in range(10):
            target.record(answer_of_status(503, None), 0.1, 1, 1, Answered.RETRY_FREE)

    history_of(status, fails, fails, lambda: None)
    assert verdict(status).level is Level.WELL


def test_refused_calls_are_no_fault_of_the_destination() -> None:
    target = destination()
    status = service(destinations=[target])

    def refused() -> None:
        for _ in range(10):
            target.record(answer_of_status(400, None), 0.1, 1, 1, Answered.REFUSED)

    history_of(status, refused)
    assert verdict(status).level is Level.WELL


# -- the brokers


def test_brokers_that_do_not_answer_are_one_problem() -> None:
    silent = [integration(name, partition(assigned(high_watermark=None)), kafka_silent_seconds=40.0) for name in "ab"]
    fault = FaultLine(NOW - 5, "kafka.unavailable", "a", "localhost:9092: connection refused", "")
    assert verdict(service(silent, last_faults=[fault])).headline == (
        "Kafka: no broker has answered for 40 s. No data at risk: records wait on Kafka. When a broker answers,"
        " streamer continues where it stopped. Do: Check the brokers, kafka.bootstrap_servers, and the network between"
        " them and this machine (localhost:9092: connection refused)."
    )


def test_brokers_that_answer_some_of_them_are_told_by_name() -> None:
    status = service([integration("a", kafka_silent_seconds=40.0), integration("b")])
    [problem] = verdict(status).problems
    assert problem.subject == "Kafka (for a)"


def test_silent_brokers_explain_partitions_that_are_left_out() -> None:
    left_out = partition(left_out=PartitionFault(Obstacle.NO_LEADER, "no leader"), left_out_since=NOW - 60)
    status = service([integration("a", left_out, kafka_silent_seconds=40.0)])
    assert [problem.subject for problem in verdict(status).problems] == ["Kafka"]


def test_brokers_that_were_never_reached() -> None:
    fault = FaultLine(NOW - 5, "kafka.unavailable", "sprig", "localhost:9092: connection refused", "")
    status = service(
        [integration(state=IntegrationState.STARTING, partitions=[], state_since=NOW - 8)], last_faults=[fault]
    )
    assert verdict(status).headline == (
        "sprig: starting for 8 s, the brokers cannot be reached or reject the connection. No data at risk: no record"
        " waits. Do: Check the brokers, the settings of kafka, and the network between them and this machine"
        " (localhost:9092: connection refused)."
    )
    assert verdict(status).level is Level.ACT


def test_a_broker_of_an_earlier_start_explains_nothing() -> None:
    fault = FaultLine(NOW - 900, "kafka.unavailable", "sprig", "localhost:9092: connection refused", "")
    status = service([integration(state=IntegrationState.RESTARTING, state_since=NOW - 8)], last_faults=[fault])
    assert verdict(status).headline.startswith("sprig: restarting for 8 s. No data at risk")


def test_a_start_that_waits_for_a_topic_says_so_at_once() -> None:
    fault = FaultLine(NOW - 5, "topics.missing", "sprig", "the topic surveys does not exist", "")
    status = service([integration(state=IntegrationState.STARTING, state_since=NOW - 8)], last_faults=[fault])
    [problem] = verdict(status).problems
    assert (problem.level, problem.what) == (Level.ACT, "starting for 8 s, the topic surveys does not exist")
    assert problem.next_step.startswith("Create the topics or grant READ")


# -- the integration


@pytest.mark.parametrize(
    ("state", "seconds", "level", "what"),
    [
        (IntegrationState.STARTING, 8.0, Level.WATCH, "starting for 8 s"),
        (IntegrationState.STARTING, 90.0, Level.ACT, "starting for 90 s"),
        (IntegrationState.RESTARTING, 8.0, Level.WATCH, "restarting for 8 s, after StalledError"),
        (IntegrationState.RESTARTING, 600.0, Level.ACT, "restarting for 10 min, after StalledError"),
        (IntegrationState.PAUSED, 600.0, Level.WATCH, "paused by the configuration"),
    ],
)
def test_one_that_does_not_run(state: IntegrationState, seconds: float, level: Level, what: str) -> None:
    status = service([integration(state=state, state_since=NOW - seconds, reason="StalledError")])
    [problem] = verdict(status).problems
    assert (problem.level, problem.what) == (level, what)


def test_malformed_events_at_100_percent_stop_it() -> None:
    status = service(
        [
            integration(
                "sprig",
                partition(waiting()),
                state=IntegrationState.GUARDED,
                guard=GuardEvidence(20, 21, "schema_invalid", "survey: missing"),
            )
        ]
    )
    assert verdict(status).headline == (
        "sprig: stopped by the mass guard for 4 min, because 20 of its last 21 records would be dead letters, most of"
        " them schema_invalid: survey: missing. No data at risk: 12,431 records wait on Kafka, 6 days before retention."
        " Do: Correct the configuration (most often a topic has another dialect) or the producer. Then restart streamer"
        " once with --release-guard sprig."
    )


def test_one_that_the_guard_stopped_before_the_restart() -> None:
    status = service([integration(state=IntegrationState.GUARDED)])
    assert "because too many of its records would be dead letters" in verdict(status).headline


def test_draining_is_told_once() -> None:
    status = service([integration(name, state=IntegrationState.DRAINING) for name in "ab"])
    status = dataclasses.replace(status, is_draining=True)
    assert [problem.subject for problem in verdict(status).problems] == ["streamer"]


def test_a_state_that_cannot_be_shown_is_not_well() -> None:
    assert "its state cannot be shown" in verdict(service([integration(is_known=False)])).headline


def test_one_that_discards_is_told() -> None:
    account = Account()
    account.consumed = account.filtered[FilterReason.PAUSED] = 7
    [problem] = verdict(service([integration("sprig", partition(account=account))])).problems
    assert "discards" in problem.what


@pytest.mark.parametrize(
    ("obstacle", "seconds", "level"),
    [
        (Obstacle.NO_LEADER, 1.0, Level.WELL),
        (Obstacle.NO_LEADER, 20.0, Level.WATCH),
        (Obstacle.NO_LEADER, 90.0, Level.ACT),
        (Obstacle.NOT_AUTHORISED, 20.0, Level.ACT),
        (Obstacle.TOPIC_MISSING, 20.0, Level.ACT),
        (Obstacle.READ_FAILED, 20.0, Level.WATCH),
    ],
)
def test_partitions_that_are_left_out(obstacle: Obstacle, seconds: float, level: Level) -> None:
    left_out = partition(
        number=1, left_out=PartitionFault(obstacle, "no broker leads it"), left_out_since=NOW - seconds
    )
    result = verdict(service([integration("sprig", partition(), left_out, partition(number=2))]))
    assert result.level is level
    for problem in result.problems:
        assert problem.what == f"1 of 3 partitions not read for {seconds:.0f} s (surveys-1), no broker leads it"


def test_a_topic_that_is_missing() -> None:
    [problem] = verdict(service([integration(missing_topics=["a", "b", "c", "d", "e"])])).problems
    assert (problem.level, problem.what) == (Level.ACT, "topics are missing: a, b, c and 2 more")


@pytest.mark.parametrize(("seconds", "level"), [(30.0, Level.WATCH), (600.0, Level.ACT)])
def test_an_open_transaction(seconds: float, level: Level) -> None:
    place = assigned(open_transaction_since=NOW - seconds, high_watermark=300, oldest_waiting_at=NOW - seconds)
    [problem] = verdict(service([integration("sprig", partition(place))])).problems
    assert problem.level is level
    assert "open transaction" in problem.what


# -- records


def dead_letter(account: Account, records: int, letters: int) -> Callable[[], None]:
    def step() -> None:
        account.consumed += records
        account.delivered += records - letters
        account.dead_lettered[DeadLetterReason.SCHEMA_INVALID] += letters

    return step


def test_malformed_events_at_20_percent() -> None:
    account = Account()
    letter = RecentLetter(NOW, "surveys", 0, 7, "schema_invalid", "survey: missing", None)
    status = service([integration("sprig", partition(account=account), recent_letters=[letter])])
    well, bad = dead_letter(account, 1_500, 0), dead_letter(account, 1_500, 300)
    history_of(status, well, well, bad, bad, bad)
    assert verdict(status).level is Level.ACT
    assert verdict(status).headline == (
        "sprig: 20 % of the records became dead letters in the last 15 s (900, most of them schema_invalid: survey:"
        " missing). No data at risk: the dead-letter topic keeps them. Do: Find the cause with the producer: streamer"
        " dlq why counts them by fault and producer. When it is removed, streamer dlq redrive delivers them."
    )


def test_the_share_of_dead_letters_is_right_as_soon_as_one_step_is_full() -> None:
    account = Account()
    status = service([integration("sprig", partition(account=account))])
    history_of(status, dead_letter(account, 1_500, 10), dead_letter(account, 1_500, 300))
    assert verdict(status).problems[0].what.startswith("20 % of the records became dead letters in the last 10 s (310,")


def test_dead_letters_that_have_ended_are_remembered_for_a_while() -> None:
    account = Account()
    status = service([integration("sprig", partition(account=account))])
    history_of(status, dead_letter(account, 1_500, 300), *[dead_letter(account, 1_500, 0)] * 13)
    assert verdict(status).level is Level.WATCH


@pytest.mark.parametrize(
    ("records", "letters", "level"),
    [
        (1_500, 1, Level.WELL),
        (1_500, 30, Level.WATCH),
        (100_000, 20, Level.WATCH),
        (2, 1, Level.WATCH),
        (60, 20, Level.ACT),
    ],
)
def test_a_few_dead_letters_are_no_incident(records: int, letters: int, level: Level) -> None:
    account = Account()
    status = service([integration("sprig", partition(account=account))])
    history_of(status, dead_letter(account, records, letters))
    assert verdict(status).level is level


@pytest.mark.parametrize(("steps", "level", "ago"), [(2, Level.ACT, "10 s"), (900, Level.WATCH, "75 min")])
def test_records_that_are_lost(steps: int, level: Level, ago: str) -> None:
    account = Account()
    status = service([integration("sprig", partition(account=account))])

    def lose() -> None:
        account.lost["retention"] = 1_234

    history_of(status, lose, *[lambda: None] * steps)
    [problem] = verdict(status).problems
    assert (problem.level, problem.is_data_at_risk) == (level, level is Level.ACT)
    assert problem.what.startswith(f"1,234 records lost, the last one {ago} ago")
    assert problem.data == "Data is lost: these records are no longer on Kafka."


def test_an_account_that_does_not_add_up() -> None:
    account = Account()
    account.consumed = 7
    assert verdict(service([integration("sprig", partition(account=account))])).headline == (
        "sprig: the account is out by 7 records. Whether data is at risk is not known. Do: Keep the log and the output"
        " of /status, and report both: it is a bug in streamer."
    )


@pytest.mark.parametrize(
    ("headroom", "age", "level", "data"),
    [
        (6 * DAY + 50, DAY, Level.ACT, "No data at risk: 12,431 records wait on Kafka, 6 days before retention."),
        (
            20 * 3_600.0,
            6 * DAY,
            Level.ACT,
            "No data at risk yet: 12,431 records wait on Kafka, but only 20 h before retention.",
        ),
        (
            2_520.0,
            6 * DAY,
            Level.ACT,
            "Data at risk: 12,431 records wait on Kafka. The retention of the topic deletes the oldest in 42 min.",
        ),
        (
            -1.0,
            7 * DAY,
            Level.ACT,
            (
                "Data at risk: 12,431 records wait on Kafka. The oldest is past the retention of its topic: Kafka may"
                " delete it now."
            ),
        ),
        (3_000.0, 600.0, Level.ACT, "No data at risk: 12,431 records wait on Kafka, 50 min before retention."),
        (None, 600.0, Level.ACT, "No data at risk: 12,431 records wait on Kafka."),
    ],
    ids=["days", "hours", "minutes", "passed", "a topic of one hour", "no retention"],
)
def test_how_long_records_may_wait(headroom: float | None, age: float, level: Level, data: str) -> None:
    user = integration("sprig", partition(waiting(since=age, headroom=headroom)))
    [problem] = verdict(service([user], [destination(state=State.HELD, reason="401")])).problems
    assert (problem.level, problem.data) == (level, data)
    assert problem.is_data_at_risk is data.startswith("Data at risk")


@pytest.mark.parametrize(
    ("headroom", "eta", "level"),
    [
        (2_000.0, {"surveys": 600.0}, Level.WELL),
        (2_000.0, {"surveys": 1_500.0}, Level.ACT),
        (2_000.0, {}, Level.ACT),
        (50_000.0, {}, Level.WATCH),
        (6 * DAY, {}, Level.WELL),
    ],
)
def test_a_backlog_that_shrinks_too_slowly(headroom: float, eta: Mapping[str, float], level: Level) -> None:
    place = partition(waiting(since=7 * DAY - headroom, headroom=headroom))
    assert verdict(service([integration("sprig", place, drain_eta_seconds=eta)])).level is level


@pytest.mark.parametrize(("steps", "level"), [(6, Level.WELL), (14, Level.WATCH), (70, Level.ACT)])
def test_a_lag_without_progress(steps: int, level: Level) -> None:
    status = service([integration("sprig", partition(waiting()))])
    history_of(status, *[lambda: None] * steps)
    assert verdict(status).level is level


def test_a_lag_that_is_no_record_is_no_problem() -> None:
    """The mark at the end of a transaction has an offset, and is no record."""
    status = service([integration("sprig", partition(assigned(high_watermark=101)))])
    history_of(status, *[lambda: None] * 100)
    assert verdict(status).level is Level.WELL


def test_events_that_wait_for_another_attempt() -> None:
    place = assigned(in_flight=3, parked=3, high_watermark=103, oldest_waiting_at=NOW - 300)
    account = Account()
    account.consumed = 3
    [problem] = verdict(service([integration("sprig", partition(place, account=account))])).problems
    assert (problem.level, problem.what) == (
        Level.WATCH,
        "3 events failed and will be sent again, the oldest is 5 min old",
    )


def test_receipts_that_cannot_be_used() -> None:
    receipts = ReceiptsStatus(is_available=False, entries=0, bytes=0, shrunk_total=0)
    [problem] = verdict(service([integration(receipts=receipts)])).problems
    assert (problem.level, problem.what) == (Level.WATCH, "its receipts cannot be used")


def test_a_topic_of_which_nothing_is_delivered() -> None:
    [problem] = verdict(service([integration(filtered_out={"surveys": 250})])).problems
    assert problem.what.startswith("nothing of surveys is delivered")


# -- the way back


@pytest.mark.parametrize(
    ("inbound", "headline"),
    [
        (
            way_back(is_up=False, records=5),
            (
                "inbound: the directory of users cannot be used. No data at risk: 5 records wait on Kafka, 6 days"
                " before retention. Do: the database does not answer. Check directory.url. No restart is needed."
            ),
        ),
        (
            way_back(publishing_fault="the brokers did not answer"),
            (
                "inbound: calls of webhooks cannot be written to Kafka: the brokers did not answer. No data at risk for"
                " four hours: Segment sends the calls again for so long. Do: Check the brokers, and streamer's right"
                " WRITE on the topic of the calls."
            ),
        ),
        (
            way_back(outbox=120.0, fault="the brokers did not answer"),
            (
                "inbound: 4,211 profiles and triggers wait in the outbox, the oldest for 2 min. No data at risk: they"
                " wait in the directory. Do: the brokers did not answer."
            ),
        ),
    ],
    ids=["directory", "webhooks", "outbox"],
)
def test_the_way_back(inbound: InboundStatus, headline: str) -> None:
    assert verdict(service(inbound=inbound)).headline == headline


def test_what_is_not_connected_just_after_the_start_may_still_be_connecting() -> None:
    status = dataclasses.replace(
        service(inbound=way_back(is_up=False, publishing_fault="not connected")), started_at=NOW - 5
    )
    assert {problem.level for problem in verdict(status).problems} == {Level.WATCH}


# -- all together


def test_the_most_urgent_is_told_first_and_the_others_are_counted() -> None:
    account = Account()
    account.lost["retention"] = 3
    status = service(
        [
            integration("paused", state=IntegrationState.PAUSED, destination="spare"),
            integration("sprig", partition(waiting())),
            integration("web", partition(account=account), destination="spare"),
        ],
        [destination(state=State.HELD, reason="401"), destination("spare")],
    )
    result = verdict(status)
    assert [problem.subject for problem in result.problems] == ["web", "sprig", "paused"]
    assert result.headline.startswith("web: 3 records lost")
    assert result.headline.endswith("Also: 2 more problems.")


SECONDS = st.floats(-10, 1e9)
MAYBE_TIME = st.none() | st.floats(-1e9, 1e9).map(lambda seconds: NOW + seconds)
COUNTS = st.integers(0, 10**12)


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    account = Account()
    account.consumed, account.delivered = draw(COUNTS), draw(COUNTS)
    account.filtered[draw(st.sampled_from(FilterReason))] = draw(COUNTS)
    account.lost["retention"] = draw(st.sampled_from([0, 0, 5]))
    account.dead_lettered[draw(st.sampled_from(DeadLetterReason))] = draw(COUNTS)
    return account


PLACES = st.builds(
    AssignedPartition,
    in_flight=COUNTS,
    parked=st.integers(0, 3),
    position=COUNTS,
    committed=st.none() | COUNTS,
    next_offset=COUNTS,
    high_watermark=st.none() | COUNTS,
    open_transaction_since=MAYBE_TIME,
    oldest_waiting_at=MAYBE_TIME,
    retention_headroom_seconds=st.none() | st.floats(-1e9, 1e9),
)
PARTITIONS = st.builds(
    PartitionStatus,
    topic=st.just("surveys"),
    partition=st.integers(0, 10),
    account=accounts(),
    assigned=st.none() | PLACES,
    left_out=st.none() | st.builds(PartitionFault, st.sampled_from(Obstacle), st.just("detail")),
    left_out_since=MAYBE_TIME,
)
READING: dict[str, st.SearchStrategy[Any]] = {
    "group": st.just("g"),
    "destination": st.sampled_from(["production", "spare", "none"]),
    "state": st.sampled_from(IntegrationState),
    "reason": st.sampled_from(["", "StalledError"]),
    "partitions": st.lists(PARTITIONS, max_size=3),
    "kafka_silent_seconds": st.none() | SECONDS,
    "state_since": MAYBE_TIME,
    "missing_topics": st.lists(st.just("surveys"), max_size=5),
    "is_known": st.booleans(),
    "guard": st.none()
    | st.just(GuardEvidence(20, 20, "", ""))
    | st.just(GuardEvidence(20, 30, "too_large", "x" * 999)),
    "drain_eta_seconds": st.dictionaries(st.just("surveys"), SECONDS),
}
INTEGRATIONS = st.builds(
    IntegrationStatus,
    name=st.sampled_from(["sprig", "web", "app"]),
    dialect=st.just("sprig"),
    filtered_out=st.dictionaries(st.just("surveys"), COUNTS),
    receipts=st.builds(ReceiptsStatus, is_available=st.booleans(), entries=COUNTS, bytes=COUNTS, shrunk_total=COUNTS),
    **READING,
)
DESTINATIONS = st.builds(
    DestinationStatus,
    name=st.sampled_from(["production", "spare"]),
    limit=COUNTS,
    state=st.sampled_from(State),
    since=st.floats(0, 2 * MONOTONIC),
    reason=st.sampled_from(["", "401", "429", "503", "301", "timeout", "refuses_everything", "what nobody knows"]),
    next_step=st.just("Do this."),
)
INBOUND = st.builds(
    way_back,
    is_up=st.booleans(),
    fault=st.sampled_from(["", "f"]),
    outbox=st.none() | SECONDS,
    publishing_fault=st.sampled_from(["", "f"]),
    records=st.integers(0, 5),
)


@settings(max_examples=60)
@given(
    before=st.lists(INTEGRATIONS, max_size=3),
    integrations=st.lists(INTEGRATIONS, max_size=3),
    destinations=st.lists(DESTINATIONS, max_size=2),
    inbound=st.none() | INBOUND,
    is_draining=st.booleans(),
    faults=st.lists(
        st.builds(FaultLine, st.just(NOW), st.just("kafka.unavailable"), st.just("sprig"), st.just("r"), st.just("")),
        max_size=2,
    ),
)
def test_every_state_has_a_verdict(
    before: list[IntegrationStatus],
    integrations: list[IntegrationStatus],
    destinations: list[DestinationStatus],
    inbound: InboundStatus | None,
    is_draining: bool,
    faults: list[FaultLine],
) -> None:
    """Whatever the combination: a line in whole sentences, the most urgent first; never an exception."""
    history = History()
    status = dataclasses.replace(
        service(), integrations=before, destinations=destinations, inbound=inbound, history=history
    )
    history.note(status, NOW - 5)
    status = dataclasses.replace(status, integrations=integrations, is_draining=is_draining, last_faults=faults)
    history.note(status, NOW)
    result = verdict(status)
    assert result.headline.endswith(".")
    assert "\n" not in result.headline
    order = [[Level.WATCH, Level.ACT].index(problem.level) for problem in result.problems]
    assert order == sorted(order, reverse=True)
    assert result.level is (result.problems[0].level if result.problems else Level.WELL)
    for problem in result.problems:
        assert all((problem.subject, problem.what, problem.data, problem.next_step))
        assert problem.level is Level.ACT or not problem.is_data_at_risk
        assert len(problem.line) < 1_500
        assert problem.data.endswith(".")
        assert problem.next_step.endswith(".")
        assert problem.what == problem.what.rstrip(".")
        assert "None" not in problem.line
