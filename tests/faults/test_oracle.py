"""What the oracle over commits is worth: each planted lie is caught, and a truthful history is not blamed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.core.model import DeadLetterReason, Filtered, FilterReason, Record
from streamer.core.records import statement as statements
from streamer.core.records.statement import Run
from tests.faults.history import Commit
from tests.faults.oracle import History, KillCost, Reception, costs_of_kills, sent_long_after_commit, verify_history
from tests.service.oracle import Evidence, Fate

TOPIC = "surveys"

FATES: Sequence[Fate] = (
    "evt_0",
    "evt_1",
    Filtered(FilterReason.EVENT_DISABLED),
    DeadLetterReason.SCHEMA_INVALID,
    "evt_1",
    "evt_5",
    "evt_6",
)
"""Calls, one of them twice and one refused (evt_5), a record for nobody, and one that is wrong."""

DELIVERED = {"evt_1": 1.0, "evt_0": 4.0, "evt_6": 5.0}
"""When each call was taken, in seconds. evt_0 is a straggler."""


def record(offset: int) -> Record:
    plain = SimpleNamespace(topic=TOPIC, partition=0, offset=offset, timestamp=100 + offset, headers=())
    return cast("Record", plain)


def dead_letter(offset: int, at: float) -> Record:
    place = {"topic": TOPIC, "partition": "0", "offset": str(offset)}
    headers = [(f"__connect.errors.{name}", value.encode()) for name, value in place.items()]
    return cast("Record", SimpleNamespace(timestamp=int(at * 1_000), headers=headers))


def commit(at: float, offset: int, metadata: str = "") -> Commit:
    return Commit("streamer.surveys", TOPIC, 0, offset, metadata, int(at * 1_000))


def stated(offset: int, horizon: int, *still_open: int) -> str:
    """Metadata that declares everything settled from ``offset`` to below ``horizon``, but for what is still open."""
    return statements.encode(offset, horizon, [Run(one, one + 1, 0) for one in still_open], fingerprint=100 + offset)


def taken(message_id: str, at: float, *, is_answered: bool = True) -> Reception:
    return Reception(at, message_id, is_taken=True, is_answered=is_answered)


COMMITS = [
    commit(1.5, 0, stated(0, 3, 0)),
    commit(2.5, 0, stated(0, 6, 0, 5)),
    commit(3.5, 0, stated(0, 7, 0, 6)),
    commit(4.5, 6, stated(6, 7, 6)),
    commit(5.5, 7),
]


def history(**changes: Any) -> History:
    """A truthful history, but for the changes."""
    parts: dict[str, Any] = {
        "commits": COMMITS,
        "receptions": sorted(taken(message_id, at) for message_id, at in DELIVERED.items()),
        "dead_letters": [dead_letter(3, 2.0), dead_letter(5, 3.0)],
        "kills": [],
    }
    parts |= changes
    evidence = Evidence(
        integration="surveys",
        records=[record(offset) for offset in range(len(FATES))],
        fate_of=lambda read: FATES[read.offset],
        taken={},
        dead_letters=parts.pop("dead_letters"),
    )
    return History(evidence=evidence, **parts)


def receptions_with(**delivered: float) -> list[Reception]:
    return sorted(taken(message_id, at) for message_id, at in (DELIVERED | delivered).items())


REFUSED = Reception(0.1, "evt_0", is_taken=False, is_answered=True)
UNANSWERED = taken("evt_0", 0.1, is_answered=False)


def test_a_truthful_history_is_not_blamed() -> None:
    assert verify_history(history()) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"commits": [commit(1.5, 1)]}, "0) was below the position 1 when that was stored: it ended 2500 ms later"),
        ({"commits": [commit(9.0, 7), commit(1.5, 6)], "dead_letters": [dead_letter(3, 2.0)]}, "5) never came to an"),
        ({"commits": [commit(9.0, 6)], "dead_letters": [dead_letter(3, 2.0)]}, "stored: it never ended"),
        ({"dead_letters": [dead_letter(3, 2.6), dead_letter(5, 3.0)]}, "3) was declared settled by the metadata"),
        ({"commits": [commit(1.5, 0, stated(0, 3))]}, "0) was declared settled by the metadata"),
        ({"receptions": receptions_with(evt_1=1.51)}, "1) was declared settled by the metadata when that was stored"),
        ({"receptions": [REFUSED, *receptions_with(evt_0=4.6)]}, "0) was below the position 6 when that was stored"),
        ({"receptions": [UNANSWERED, *receptions_with(evt_0=4.6)]}, "0) was below the position 6 when that was stored"),
        ({"commits": [commit(1.5, 0, stated(0, 3, 0).swapcase().replace("S1:", "s1:"))]}, "is damaged"),
    ],
    ids=[
        "a commit past an open record",
        "a lost dead letter",
        "a commit past a lost dead letter",
        "a dead letter that was confirmed after the commit",
        "an open record left out of the metadata",
        "a lie of some milliseconds",
        "a refused call counted as delivered",
        "a call counted as delivered without an answer",
        "damaged metadata",
    ],
)
def test_a_lie_is_caught(changes: dict[str, Any], found: str) -> None:
    assert found in "\n".join(verify_history(history(**changes)))


def test_each_untrue_commit_names_every_record_it_is_wrong_about() -> None:
    """One line a record, not only for the first of them."""
    found = verify_history(history(commits=[commit(0.5, 7)]))

    assert [line.partition(" was ")[0] for line in found] == [
        f"('surveys', 0, {offset})" for offset in (0, 1, 3, 4, 5, 6)
    ]


def test_a_kill_excuses_what_no_commit_covered() -> None:
    """evt_6 was delivered after the last commit before the kill, evt_1 long before: only the first may come again."""
    killed = history(
        kills=[5.2],
        receptions=[*receptions_with(), taken("evt_6", 5.3)],
    )
    assert verify_history(killed) == []
    assert costs_of_kills(killed) == [KillCost(at=5.2, resent=1, uncovered=1)]

    killed.receptions = [*killed.receptions, taken("evt_1", 5.4)]
    assert verify_history(killed) == ["evt_1 was sent again though a commit covered it before the last kill"]


def test_a_repeat_without_a_kill_is_blamed_unless_nobody_could_know() -> None:
    assert verify_history(history(receptions=[UNANSWERED, *receptions_with()])) == []
    assert verify_history(history(receptions=[*receptions_with(), taken("evt_6", 5.1)])) != []
    assert verify_history(history(receptions=[*receptions_with(), taken("evt_6", 5.1)], kills=None)) == []


def test_a_call_that_arrives_just_after_the_kill_of_its_sender_may_come_again() -> None:
    """It was in the sandbox's socket when the process died."""
    assert verify_history(history(kills=[4.9], receptions=[*receptions_with(), taken("evt_6", 5.3)])) == []


def test_what_a_commit_covered_long_ago_may_not_come_again() -> None:
    """Soon after the commit it may: from an instance that was frozen with it in hand. Copies have ends of their own."""
    assert sent_long_after_commit(history(receptions=[*receptions_with(), taken("evt_0", 6.5)]), 3.0) == []
    late = history(receptions=[*receptions_with(), taken("evt_0", 8.5)])
    assert sent_long_after_commit(late, 3.0) == ["evt_0 was sent again more than 3 s after a commit covered it"]
    never_covered = history(commits=COMMITS[:1], receptions=[*receptions_with(), taken("evt_0", 8.5)])
    assert sent_long_after_commit(never_covered, 3.0) == []
