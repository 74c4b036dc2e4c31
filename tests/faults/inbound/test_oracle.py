"""What the oracle of the way back is worth: each planted error is found, and a run without one is not blamed."""

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamer.core.model import Record
from tests.faults.inbound.model import expected_of
from tests.faults.inbound.oracle import Evidence, Stored, faults

TOPIC, PROFILES, TRIGGERS = "inbound", "profiles", "triggers"


def call(number: int, kind: str, **members: Any) -> bytes:
    timestamp = f"2024-01-01T00:00:00.{number:03}Z"
    return json.dumps({"type": kind, "messageId": f"m-{number}", "timestamp": timestamp, **members}).encode()


CALLS: Sequence[bytes] = (
    call(2, "identify", userId="ann", anonymousId="d-1", traits={"plan": "Pro", "seats": None}),
    call(1, "identify", userId="ann", traits={"plan": "Free", "firstname": "Ann"}),
    call(3, "track", userId="ben", anonymousId="d-1", event="Opened", properties={"n": 1}),
    call(4, "identify", userId={"id": 1}),
    call(1, "identify", userId="ann", traits={"plan": "Free", "firstname": "Ann"}),
    call(5, "page", userId="carl"),
    call(6, "track", anonymousId="d-1", event="Signed Out"),
    call(7, "track", anonymousId="d-9", event="Opened"),
    call(8, "identify", userId="eve"),
    call(9, "delete", userId="eve"),
)
"""In the order of arrival, which is not that of their times. One is sent twice, and one nobody can apply."""

ANN: dict[str, Any] = {
    "username": "ann",
    "email": None,
    "firstname": "Ann",
    "lastname": None,
    "anonymousIds": [],
    "attributes": {"plan": "Pro"},
    "redirects": [],
}
BEN = {**ANN, "username": "ben", "firstname": None, "attributes": {}}
EVE = {**BEN, "username": "eve"}


def profile(line: dict[str, Any], revision: int) -> bytes:
    return json.dumps({**line, "environment": None, "revision": revision, "updatedAt": "2024-01-01T00:00:00Z"}).encode()


def trigger(number: int, username: str | None, device: str, properties: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "messageId": f"m-{number}",
            "event": "Opened",
            "username": username,
            "anonymousId": device,
            "properties": properties,
            "timestamp": f"2024-01-01T00:00:00.{number:03}Z",
            "environment": None,
        }
    ).encode()


OUTBOX = (
    Stored(1, PROFILES, "ann", profile({**ANN, "firstname": None, "anonymousIds": ["d-1"]}, 1)),
    Stored(2, PROFILES, "ann", profile(ANN, 2)),
    Stored(3, TRIGGERS, "ben", trigger(3, "ben", "d-1", {"n": 1})),
    Stored(4, PROFILES, "ben", profile(BEN, 1)),
    Stored(5, TRIGGERS, "d-9", trigger(7, None, "d-9", {})),
    Stored(6, PROFILES, "eve", profile(EVE, 1)),
    Stored(7, PROFILES, "eve", None),
)


def record(topic: str, offset: int, value: bytes | None, key: str = "") -> Record:
    plain = SimpleNamespace(topic=topic, partition=0, offset=offset, key=key.encode(), value=value, headers=())
    return cast("Record", plain)


def published(topic: str, outbox: Sequence[Stored] = OUTBOX) -> list[Record]:
    return [record(topic, offset, one.value, one.key) for offset, one in enumerate(outbox) if one.topic == topic]


def dead_letter(offset: int) -> Record:
    place = {"topic": TOPIC, "partition": "0", "offset": str(offset)}
    headers = [(f"__connect.errors.{name}", value.encode()) for name, value in place.items()]
    return cast("Record", SimpleNamespace(headers=headers))


RECORDS = [record(TOPIC, offset, value) for offset, value in enumerate(CALLS)]
ACCOUNT = {"consumed": 9, "applied": 7, "duplicate": 1, "ignored": 1, "dead_lettered": 0, "in_flight": 0}


def evidence(**changes: Any) -> Evidence:
    """A run that went well, but for the changes."""
    parts: dict[str, Any] = {
        "records": RECORDS,
        "accepted": {value: CALLS.count(value) for value in CALLS},
        "sent": frozenset(CALLS),
        "messages": [bytes([number]) for number in (1, 2, 3, 5, 6, 7, 8, 9)],
        "outbox": OUTBOX,
        "lines": [ANN, BEN],
        "profiles": published(PROFILES),
        "triggers": published(TRIGGERS),
        "dead_letters": [dead_letter(3)],
        "committed": {0: 10},
        "ends": {0: 10},
        "accounts": [ACCOUNT],
    }
    return Evidence(**parts | changes)


def test_a_good_run_is_not_blamed() -> None:
    assert faults(evidence()) == []


def test_calls_without_an_answer_may_be_on_the_topic_or_not() -> None:
    """They were sent, and never accepted: their sender gave up waiting."""
    assert faults(evidence(accepted={}, sent=frozenset({*CALLS, b"never arrived"}))) == []


def without(records: Sequence[Record], *places: int) -> list[Record]:
    return [one for place, one in enumerate(records) if place not in places]


def with_stored(changed: int, /, **changes: Any) -> list[Stored]:
    return [one._replace(**changes) if one.number == changed else one for one in OUTBOX]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"records": without(RECORDS, 7)}, "accepted 1 times, 0 times on the inbound topic"),
        ({"records": without(RECORDS, 4)}, "accepted 2 times, 1 times on the inbound topic"),
        ({"sent": frozenset(CALLS[1:])}, "on the inbound topic and never sent"),
        ({"messages": [b"1", b"1", b"3", b"5", b"6", b"7", b"8", b"9"]}, "digest 31 was applied 2 times"),
        ({"messages": [b"1", b"2"]}, "2 messageIds were applied, and 8 are on the inbound topic"),
        ({"lines": [{**ANN, "attributes": {"plan": "Free"}}, BEN]}, "the directory has {'username': 'ann'"),
        ({"lines": [ANN]}, "the directory has None, and the calls say {'username': 'ben'"),
        ({"lines": [BEN, ANN]}, "not in order"),
        ({"outbox": with_stored(5, value=trigger(7, "ann", "d-9", {}))}, "the trigger is {'messageId': 'm-7'"),
        ({"outbox": [*OUTBOX, OUTBOX[2]._replace(number=8)]}, "the trigger of m-3 was stored 2 times"),
        ({"outbox": [one for one in OUTBOX if one.number != 3]}, "the trigger of m-3 was stored 0 times"),
        ({"outbox": with_stored(5, number=4)}, "numbers of the outbox were given twice"),
        ({"waiting": 1}, "1 records were never published"),
        ({"profiles": without(published(PROFILES), 1)}, "the last profile of ann is"),
        ({"profiles": without(published(PROFILES), 2)}, "the last profile of ben is None"),
        ({"profiles": without(published(PROFILES), 4)}, "the last profile of eve is"),
        ({"profiles": [*published(PROFILES), published(PROFILES)[0]]}, "profiles of partition 0 go back 1 times"),
        ({"profiles": [*published(PROFILES), record(PROFILES, 9, b'{"a":1}', "x")]}, "published that was never stored"),
        ({"triggers": published(TRIGGERS)[:1]}, "a trigger of d-9 was stored and never published"),
        ({"triggers": published(TRIGGERS)[::-1]}, "triggers of partition 0 go back 1 times"),
        ({"triggers": published(TRIGGERS) * 300, "relays": 1}, "600 triggers were published, which is more than 502"),
        ({"dead_letters": []}, "the record at ('inbound', 0, 3) has no dead letter"),
        ({"dead_letters": [dead_letter(3), dead_letter(1)]}, "the record at ('inbound', 0, 1) was set aside"),
        ({"committed": {0: 9}}, "partition 0 is committed up to 9 of 10"),
        ({"accounts": [{**ACCOUNT, "applied": 6}]}, "the account does not add up"),
    ],
)
def test_a_planted_error_is_found(changes: dict[str, Any], found: str) -> None:
    assert found in "\n".join(faults(evidence(**changes)))


def test_a_new_relay_may_publish_again_what_the_last_one_had_not_deleted() -> None:
    again = {"profiles": published(PROFILES) * 2, "triggers": published(TRIGGERS) * 2}

    assert faults(evidence(**again, relays=1)) == []
    assert faults(evidence(**again)) != []


@pytest.mark.parametrize("order", [lambda calls: calls, lambda calls: calls[::-1], lambda calls: calls[3:] + calls[:3]])
def test_the_model_says_the_same_for_every_order_of_arrival(order: Callable[[list[Record]], list[Record]]) -> None:
    expected = expected_of(order(list(RECORDS)))

    assert expected.lines() == [ANN, BEN]
    assert expected.links == {"d-1": None}
    assert sorted(expected.triggers) == ["m-3", "m-7"]
    assert expected.unusable == {(TOPIC, 0, 3)}
