"""Records set aside: unchanged, with their reason beside them, and settled only once the broker has them."""

import os
import random
import re

import pytest
from aiokafka.structs import RecordMetadata
from structlog.testing import capture_logs

from streamer.core.mapping.version import MAPPING_VERSION
from streamer.core.model import FilterReason
from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.pipeline import dead_letters
from tests.conftest import Produce
from tests.service.harness import WAIT_SECONDS, Deployment, eventually, survey_event, survey_events

pytestmark = pytest.mark.kafka

NOISE = random.Random(1).randbytes(30_000)
"""Bytes that compression cannot make smaller."""
BROKEN = b'{"event": "Response Submitted",'
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
async def topic(deployment: Deployment) -> str:
    [topic] = await deployment.integrate()
    return topic


async def test_a_record_that_cannot_be_read_is_set_aside_unchanged(deployment: Deployment, topic: str) -> None:
    """Whoever corrects it gets the bytes that were written, and consoles made for Kafka Connect show why."""
    headers = [("trace", b"1"), ("empty", b""), ("null", None), ("trace", b"2")]
    await deployment.produce(
        topic, [BROKEN], partition=1, key=b"\x00key", headers=headers, timestamp_ms=1_700_000_000_000
    )

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    assert letter.topic == f"{topic}.dlq"
    assert (letter.key, letter.value) == (b"\x00key", BROKEN)
    assert letter.timestamp > 1_700_000_000_000, "retention counts from when it was set aside"
    assert list(letter.headers[:4]) == headers
    ours = dict(letter.headers[4:])
    assert len(ours) == len(letter.headers[4:]), "each of our headers is there once"
    assert TIME.fullmatch(ours.pop("streamer.dead_letter_time"))
    assert b"event" not in ours.pop("__connect.errors.exception.message"), "nothing of the record is quoted"
    assert ours == {
        "streamer.reason": b"decode_error",
        "streamer.integration": b"surveys",
        "streamer.redrives": b"0",
        "streamer.original_timestamp": b"1700000000000",
        "streamer.destination": b"segment",
        "streamer.mapping_version": MAPPING_VERSION.encode(),
        "__connect.errors.topic": topic.encode(),
        "__connect.errors.partition": b"1",
        "__connect.errors.offset": b"0",
        "__connect.errors.connector.name": b"surveys",
        "__connect.errors.task.id": str(os.getpid()).encode(),
        "__connect.errors.stage": b"DECODE",
        "__connect.errors.exception.class.name": b"DecodeError",
    }


async def test_a_call_that_is_refused_is_set_aside_with_what_was_tried(deployment: Deployment, topic: str) -> None:
    refused = Fault(match=Match(message_ids=frozenset({"evt"})), action=Action(status=400, body="answer of Segment"))
    async with deployment.running():
        await deployment.produce(topic, survey_events(1, "before"))
        await deployment.settled()
        deployment.sandbox.faults.set(refused)
        await deployment.produce(topic, [survey_event("evt")])
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.reason"] == b"rejected_400"
    assert headers["streamer.http.status"] == b"400"
    assert headers["streamer.message_id"] == b"evt"
    assert headers["streamer.attempts"] == b"0", "a refusal is no failed attempt"
    assert "streamer.first_failure_time" not in headers
    assert headers["__connect.errors.exception.class.name"] == b"RefusedError"
    assert not any(b"answer of Segment" in (value or b"") for value in headers.values())


async def test_values_at_the_edge_end_as_documented(deployment: Deployment, topic: str, produce: Produce) -> None:
    """Null is a tombstone, empty is an error, and size alone is no reason to stop."""
    no_key_and_no_value = await produce(topic, [None], partition=0)
    await deployment.produce(topic, [None, b"", b"\xef\xbb\xbf" + survey_event("with_bom"), b"\xff" * 2_000_000])
    await deployment.produce(topic, [survey_event("large", traits={"note": "x" * 2_000_000})])
    await deployment.produce(topic, [survey_event("no_key"), b"null", b"[]", b'"text"', b"NaN"], key=None)

    async with deployment.running() as service:
        await deployment.settled()
        accounts = service.integrations["surveys"].runner.accounts.values()
        assert sum(account.filtered[FilterReason.TOMBSTONE] for account in accounts) == 2

    assert all(isinstance(place, RecordMetadata) for place in no_key_and_no_value)
    await deployment.verify()
    assert {"with_bom", "no_key"} <= deployment.sandbox.record.accepted_ids
    assert any(len(letter.value or b"") == 2_000_000 for letter in await deployment.dead_letters())


async def test_a_redriven_record_keeps_count(deployment: Deployment, topic: str) -> None:
    """It was set aside before and sent back; our headers of that time are replaced, everybody else's are kept."""
    headers = [
        ("trace", b"1"),
        ("streamer.redrives", b"2"),
        ("streamer.reason", b"schema_invalid"),
        ("__connect.errors.stage", b"VALIDATE"),
    ]
    await deployment.produce(topic, [BROKEN], headers=headers)

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    names = [name for name, _ in letter.headers]
    assert len(names) == len(set(names))
    headers_now = dict(letter.headers)
    assert headers_now["streamer.redrives"] == b"2"
    assert headers_now["streamer.reason"] == b"decode_error"
    assert headers_now["trace"] == b"1"


async def test_a_topic_for_smaller_records_gets_fewer_headers(deployment: Deployment, topic: str) -> None:
    """The record matters more than what we have to say about it."""
    await deployment.limit_records(f"{topic}.dlq", 2_000)
    await deployment.produce(topic, [NOISE[:1_550]], headers=[("trace", b"1")])

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.reason"] == b"decode_error"
    assert headers["trace"] == b"1"
    assert "streamer.dead_letter_time" not in headers


async def test_what_the_topic_does_not_take_ends_without_its_value_and_stops_nothing_else(
    deployment: Deployment, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many such records, ahead of one that can be written: each has its turn, and no partition waits for ever."""
    await deployment.limit_records(f"{topic}.dlq", 20_000)
    too_large = 12
    monkeypatch.setattr(dead_letters, "MAX_WRITES_AT_ONCE", too_large - 2)
    deployment.integration("surveys")["dead_letters"] = {"max_ratio": 1}
    await deployment.produce(topic, [NOISE] * too_large + [BROKEN] + survey_events(50), partition=0)

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    letters = await deployment.dead_letters()
    assert sorted(letter.value or b"" for letter in letters) == [b""] * too_large + [BROKEN]


async def test_an_outage_of_the_brokers_makes_no_copies(deployment: Deployment, topic: str, own_broker: Broker) -> None:
    """A write that cannot be sent is given up before it is tried again, so that tries do not pile up in the client."""
    # Each failure is said here; in production one line about the brokers takes their place.
    deployment.hurry(letter_request_timeout=0.3, letter_backoff=0.1, say_silent_after=WAIT_SECONDS)
    refused = Fault(match=Match(message_ids=frozenset({"evt"})), action=Action(status=400, latency_seconds=0.5))
    with capture_logs() as lines:
        async with deployment.running():
            await deployment.produce(topic, [*survey_events(1, "before"), BROKEN])
            await deployment.settled()
            deployment.sandbox.faults.set(refused)
            await deployment.produce(topic, [survey_event("evt")])
            await eventually(lambda: deployment.sandbox.record.refused == 1)
            own_broker.kill()  # the answer comes half a second later
            await eventually(lambda: sum(line["event"] == "dead_letter.failed" for line in lines) >= 3)
            await own_broker.start()
            await deployment.settled()

    await deployment.verify(settled_once=False)
