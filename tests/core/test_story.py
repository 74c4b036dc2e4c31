"""What is told of an event follows from the best proof that there is."""

from typing import Any

import pytest

from streamer.core.audit import Stored
from streamer.core.dead_letters.told import read_told
from streamer.core.model import FilterReason, Outcome
from streamer.core.records import statement
from streamer.core.records.receipt_record import ReceiptBatch
from streamer.core.records.statement import Run
from streamer.core.story import FoundReceipt, KnownLetter, Meaning, SeenRecord, State, Story, document_of, tell, utc
from tests.core.test_seeking import Written

TIME = 1_770_000_000.0
PLACE = ("surveys", 0, 7)
COPY = ("surveys", 1, 3)
FILTERED = Meaning(outcome=Outcome.FILTERED, reason=FilterReason.NO_IDENTITY, detail=None, call=None)


def story(**changes: Any) -> Story:
    return Story(
        **{
            "integration": "feedback",
            "message_id": "evt_1",
            "place": PLACE,
            "record": SeenRecord(place=PLACE, time=TIME),
            "stored": Stored(4),
            **changes,
        }
    )


def receipt(place: tuple[str, int, int], *, batch: bool = True) -> FoundReceipt:
    delivered = ReceiptBatch(
        integration="feedback",
        destination_name="production",
        destination="",
        topic=place[0],
        partition=place[1],
        delivered_at=TIME,
        instance="one",
        batch_events=20,
        attempt=2,
        status=200,
        replay_id=0,
        offsets=[place[2]],
        digests=[bytes(16)],
    )
    return FoundReceipt(place=place, delivered_at=TIME, instance="one", batch=delivered if batch else None)


def letter(*, is_redriven: bool) -> KnownLetter:
    headers = {
        "streamer.reason": b"rejected_400",
        "streamer.integration": b"feedback",
        "streamer.redrives": b"0",
        "streamer.http.status": b"400",
        "__connect.errors.topic": b"surveys",
        "__connect.errors.partition": b"0",
        "__connect.errors.offset": b"7",
    }
    told = read_told(Written(b"", timestamp=int(TIME * 1000), headers=tuple(headers.items())))
    assert told is not None
    assert told.place == PLACE
    return KnownLetter(told=told, place=("surveys.dlq", 0, 0), is_redriven=is_redriven)


def stated_open() -> Stored:
    text = statement.encode(4, 9, [Run(4, 5, 0), Run(7, 8, 3)], fingerprint=1)
    return Stored(4, statement.decode(text, 4))


PARKED = {"state": "parked", "topic": "surveys", "partition": 0, "offset": 7, "attempts": 2, "last_error": "503"}


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        (
            {"receipt": receipt(PLACE)},
            State.DELIVERED,
            "to production: attempt 2, HTTP status 200, a request of 20 calls",
        ),
        ({"receipt": receipt(PLACE, batch=False)}, State.DELIVERED, f"delivered {utc(TIME)} [one]"),
        ({"receipt": receipt(COPY)}, State.DELIVERED, "delivered from surveys:1:3; this record is a copy"),
        (
            {"open": [{**PARKED, "until": "later", "instance": "one"}]},
            State.OPEN,
            "after 2 failed attempts, the last one",
        ),
        ({"letters": [letter(is_redriven=False)]}, State.DEAD_LETTERED, "rejected_400, HTTP status 400"),
        ({"letters": [letter(is_redriven=True)]}, State.REDRIVEN, "redriven: it was written back"),
        ({}, State.WAITING, "records before it that its group has to deliver first: 3"),
        ({"stored": Stored(None), "log_start": 5}, State.WAITING, "has to deliver first: 2"),
        ({"stored": stated_open()}, State.OPEN, "open, with 3 failed attempts"),
        ({"stored": Stored(9)}, State.ENDED, "no receipt and no dead letter of it is known any more"),
        ({"stored": Stored(9), "meaning": FILTERED}, State.FILTERED, "filtered by the rule no_identity"),
        ({"record": None, "log_start": 8}, State.UNREAD, "lost: retention deleted it"),
        (
            {"record": None, "log_start": 8, "receipt": receipt(PLACE)},
            State.DELIVERED,
            "which is not in its topic any more",
        ),
    ],
)
def test_each_proof_makes_its_state(changes: dict[str, Any], state: State, said: str) -> None:
    told = story(**changes)
    assert told.state is state
    assert said in "\n".join(tell(told))
    assert document_of(told)["state"] == state


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "in_request"}, "is in a request now"),
        ({"state": "attached"}, "waits for the end of another record"),
        ({"state": "dead_lettering", "reason": "rejected_400", "guarded": True}, "the mass guard has stopped"),
        ({"state": "waiting", "destination": {"name": "p", "state": "ok"}}, "waits to be sent"),
        ({"state": "waiting", "destination": {"name": "p", "state": "held", "reason": "401"}}, "p is held (401)"),
    ],
)
def test_what_an_instance_has_in_hand_is_told(changes: dict[str, Any], said: str) -> None:
    known = {**PARKED, "attempts": 0, "instance": "one", **changes}
    assert said in "\n".join(tell(story(open=[known])))


def test_a_call_is_told_by_its_name_and_person() -> None:
    meaning = Meaning(
        outcome=Outcome.DELIVERED, reason=None, detail=None, call={"event": "Response Submitted", "userId": "u-1"}
    )
    assert "maps to a call: event Response Submitted, userId u-1" in "\n".join(tell(story(meaning=meaning)))
