"""What a webhook's sender is answered, and what is on the topic then. The table is that of the documentation."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from multidict import CIMultiDict

from streamer.core.dead_letters.dead_letter import read_dead_letter
from streamer.core.errors import UnavailableError
from streamer.inbound.listener import Listener
from streamer.settings.inbound import InboundSettings
from tests.doubles.kafka import MemoryRecord
from tests.inbound.conftest import SECRET, TIMINGS, Webhooks, listening, raw_request, request_bytes, sign
from tests.service.harness import eventually

SAMPLES = Path(__file__).parent.parent / "samples" / "inbound"
SIGNATURES = json.loads((SAMPLES / "signatures.json").read_text())
BODIES = sorted(SAMPLES.glob("*.body.json"))

CALL = b'{"type":"track","userId":"u-1","event":"Report Exported","messageId":"m-1"}'


def batch(*calls: bytes) -> bytes:
    return b"[" + b",".join(calls) + b"]"


def call(number: int, padding: int = 0) -> bytes:
    document = {"type": "track", "userId": f"u-{number}", "event": "x", "messageId": f"m-{number}"}
    return json.dumps({**document, "properties": {"text": "x" * padding}}).encode()


# -- Accepted ----------------------------------------------------------------------------------------------------------


async def test_a_single_call_is_on_the_topic_byte_for_byte(webhooks: Webhooks) -> None:
    body = b' \n{"type": "track", "userId":"u-1","n":1e-7,"x":"\\u00e9 \xc5\xbe", "n": 12345678901234567890}\r\n'
    assert await webhooks.send(body) == (200, {"accepted": 1})
    [record] = webhooks.records()
    assert record.value == body.strip()
    assert record.key == b"u-1"
    headers = dict(record.headers)
    received = headers.pop("streamer.received")
    assert received is not None
    assert received.decode().endswith("Z")
    assert headers == {
        "streamer.webhook": b"production",
        "streamer.authenticated": b"true",
        "streamer.batch_index": b"0",
        "streamer.batch_size": b"1",
    }
    assert webhooks.results() == {("production", "accepted"): 1}
    assert webhooks.listener.counts.calls == {("production", True): 1}


async def test_of_a_batch_only_the_first_call_is_authenticated(webhooks: Webhooks) -> None:
    """Segment signs only the first; the second one here was changed after signing."""
    body = b'[ %b ,\n{"changed": [1, 2]}]' % CALL
    assert (await webhooks.send(body, sign(b" " + CALL)))[0] == 401, "the element begins right after the bracket"
    body = b'[%b ,\n{"changed": [1, 2]}]' % CALL
    assert await webhooks.send(body, sign(CALL)) == (200, {"accepted": 2})
    assert [record.value for record in webhooks.records()] == [CALL, b'{"changed": [1, 2]}']
    told = [
        [dict(record.headers)[f"streamer.{name}"] for name in ("authenticated", "batch_index", "batch_size")]
        for record in webhooks.records()
    ]
    assert told == [[b"true", b"0", b"2"], [b"false", b"1", b"2"]]
    assert webhooks.listener.counts.calls == {("production", True): 1, ("production", False): 1}


async def test_a_signature_over_the_whole_batch_authenticates_all_of_it(webhooks: Webhooks) -> None:
    assert await webhooks.send(batch(call(1), call(2))) == (200, {"accepted": 2})
    assert webhooks.listener.counts.calls == {("production", True): 2}


async def test_wrapped_calls_keep_their_wrapper(webhooks: Webhooks) -> None:
    body = b'[{"json":%b},{"json":%b}]' % (call(1), call(2))
    assert await webhooks.send(body, sign(call(1))) == (200, {"accepted": 2})
    assert [record.value for record in webhooks.records()] == [b'{"json":%b}' % call(1), b'{"json":%b}' % call(2)]
    assert [record.key for record in webhooks.records()] == [b"u-1", b"u-2"]


@pytest.mark.parametrize("body", BODIES, ids=lambda path: path.name.removesuffix(".body.json"))
async def test_the_samples(webhooks: Webhooks, body: Path) -> None:
    content = await asyncio.to_thread(body.read_bytes)
    signature = {"X-Signature": SIGNATURES["signatures"][body.name]}
    elements = json.loads(content)
    count = len(elements) if isinstance(elements, list) else 1
    assert await webhooks.send(content, signature) == (200, {"accepted": count})
    records = webhooks.records()
    if isinstance(elements, dict):
        assert [record.value for record in records] == [content]
    else:
        assert batch(*(record.value or b"" for record in records)) == content


async def test_a_bad_element_refuses_no_batch(webhooks: Webhooks) -> None:
    elements = [b"1", b'"text"', b"null", b'{"half":"\\ud800"}', b"1e999", b"[" * 500 + b"]" * 500, b"9" * 5_000]
    assert await webhooks.send(batch(*elements)) == (200, {"accepted": len(elements)})
    assert [record.value for record in webhooks.records()] == elements


async def test_an_empty_list_and_a_byte_order_mark_are_accepted(webhooks: Webhooks) -> None:
    assert await webhooks.send(b"[]") == (200, {"accepted": 0})
    assert webhooks.records() == []
    assert await webhooks.send(b"\xef\xbb\xbf" + CALL) == (200, {"accepted": 1})
    assert webhooks.records()[0].value == CALL


async def test_compressed_bodies_are_decompressed(webhooks: Webhooks) -> None:
    body = batch(*(call(number) for number in range(3_000)))
    assert await webhooks.send_gzip(body) == (200, {"accepted": 3_000})
    members = gzip.compress(body[:1_000]) + gzip.compress(body[1_000:])
    assert await webhooks.send_gzip(body, members) == (200, {"accepted": 3_000})
    assert await webhooks.send(body, {**sign(body), "Content-Encoding": "Identity"}) == (200, {"accepted": 3_000})


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=latin-1", "application/vnd.segment+json"]
)
async def test_content_types_of_json(webhooks: Webhooks, content_type: str) -> None:
    assert (await webhooks.send(CALL, {**sign(CALL), "Content-Type": content_type}))[0] == 200


async def test_a_call_over_the_limit_in_a_batch_becomes_a_dead_letter_without_a_value() -> None:
    large = call(2, padding=1_000)
    async with listening(limits={"max_call_bytes": 1_000}) as webhooks:
        assert await webhooks.send(batch(call(1), large, call(3))) == (200, {"accepted": 3})
        assert [record.value for record in webhooks.records()] == [call(1), call(3)]
        assert [dict(record.headers)["streamer.batch_index"] for record in webhooks.records()] == [b"0", b"2"]
        assert_is_letter(webhooks.records("segment.inbound.dlq"), large)


async def test_a_call_that_its_topic_does_not_take_becomes_one_too(webhooks: Webhooks) -> None:
    """The topic may allow less than our setting does; a batch with such a call must not be refused for ever."""
    webhooks.cluster.max_record_bytes["segment.inbound"] = 1_000
    large = call(2, padding=1_000)
    assert await webhooks.send(batch(call(1), large, large)) == (200, {"accepted": 3})
    assert [record.value for record in webhooks.records()] == [call(1)]
    letters = webhooks.records("segment.inbound.dlq")
    assert len(letters) == 2
    assert_is_letter(letters[:1], large)


def assert_is_letter(letters: list[MemoryRecord], value: bytes) -> None:
    """It has the headers of the engine's dead letters, and size and digest instead of the value."""
    [record] = letters
    assert record.value == b""
    letter = read_dead_letter(record)
    assert letter is not None, "our commands read it"
    assert (letter.integration, letter.reason, letter.topic) == ("inbound", "too_large", "segment.inbound")
    assert letter.is_value_omitted
    headers = dict(record.headers)
    assert headers["streamer.value.bytes"] == b"%d" % len(value)
    assert headers["streamer.value.sha256"] == hashlib.sha256(value).hexdigest().encode()
    assert headers["streamer.webhook"] == b"production"
    assert headers["__connect.errors.stage"] == b"DECODE"


# -- Refused -----------------------------------------------------------------------------------------------------------


def signed(**headers: str) -> dict[str, str]:
    return {**sign(CALL), **{name.replace("_", "-"): value for name, value in headers.items()}}


LARGE = call(1, padding=5_000)

REFUSED: dict[str, tuple[int, str, dict[str, Any]]] = {
    "a name that does not exist": (404, "unknown_webhook", {"name": "staging"}),
    "a path below the name": (404, "unknown_webhook", {"name": "production/x"}),
    "another method": (405, "bad_method", {"method": "PUT"}),
    "another encoding": (415, "bad_encoding", {"headers": signed(Content_Encoding="br")}),
    "two encodings": (415, "bad_encoding", {"headers": signed(Content_Encoding="gzip, gzip")}),
    "a body over the limit": (413, "too_large", {"body": b"x" * 10_001}),
    "a body over the limit in chunks": (413, "too_large", {"body": b"x" * 10_001, "is_chunked": True}),
    "a body over the limit once decompressed": (
        413,
        "too_large",
        {"body": gzip.compress(b"x" * 10_001), "headers": signed(Content_Encoding="gzip")},
    ),
    "not gzip": (400, "bad_encoding", {"headers": signed(Content_Encoding="gzip")}),
    "gzip that ends too early": (
        400,
        "bad_encoding",
        {"body": gzip.compress(CALL)[:-1], "headers": signed(Content_Encoding="gzip")},
    ),
    "gzip with something behind it": (
        400,
        "bad_encoding",
        {"body": gzip.compress(CALL) + b"x", "headers": signed(Content_Encoding="gzip")},
    ),
    "gzip with a wrong checksum": (
        400,
        "bad_encoding",
        {"body": gzip.compress(CALL)[:-8] + b"\0" * 8, "headers": signed(Content_Encoding="gzip")},
    ),
    "no bytes of gzip": (400, "bad_encoding", {"body": b"", "headers": {**sign(b""), "Content-Encoding": "gzip"}}),
    "no signature": (401, "bad_signature", {"headers": {}}),
    "the signature of another body": (401, "bad_signature", {"headers": sign(CALL + b" ")}),
    "the signature with a prefix": (
        401,
        "bad_signature",
        {"headers": {"X-Signature": "sha1=" + sign(CALL)["X-Signature"]}},
    ),
    "another secret": (401, "bad_signature", {"headers": sign(CALL, "another")}),
    "another content type": (415, "bad_type", {"headers": signed(Content_Type="text/plain")}),
    "another content type, nearly": (415, "bad_type", {"headers": signed(Content_Type="application/jsonx")}),
    "an empty body": (400, "bad_json", {"body": b""}),
    "blanks": (400, "bad_json", {"body": b" \n"}),
    "not JSON": (400, "bad_json", {"body": b'{"a":1}}'}),
    "NaN": (400, "bad_json", {"body": b'{"a":NaN}'}),
    "not UTF-8": (400, "bad_json", {"body": b'{"a":"\xff"}'}),
    "a number": (400, "bad_json", {"body": b"1"}),
    "two documents": (400, "bad_json", {"body": CALL + CALL}),
    "too many calls": (413, "too_large", {"body": batch(*[b"{}"] * 11)}),
    "a single call over the limit": (413, "too_large", {"body": LARGE}),
    "a single call over the limit in a list": (413, "too_large", {"body": batch(LARGE)}),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused(case: str) -> None:
    """Nothing of it is on the topic, and neither answer nor log quote it."""
    status, result, given = REFUSED[case]
    body = given.get("body", CALL)
    limits = {"max_body_bytes": 10_000, "max_calls": 10, "max_call_bytes": 4_000}
    with structlog.testing.capture_logs() as lines:
        async with listening(limits=limits) as webhooks:
            sent: Any = in_chunks(body) if given.get("is_chunked") else body
            headers = given.get("headers", sign(body))
            got, document = await webhooks.send(
                sent, headers, method=given.get("method", "POST"), name=given.get("name", "production")
            )
            assert got == status
            assert list(document) == ["message"]
            assert webhooks.publisher.published == []
            assert webhooks.listener.open_bytes == 0
            webhook = "_other" if status == 404 else "production"
            assert webhooks.results() == {(webhook, result): 1}
            if status == 405:
                assert webhooks.headers["Allow"] == "POST"
            assert await webhooks.send(CALL) == (200, {"accepted": 1}), "the next request on the connection"
    [line] = [line for line in lines if line["event"] == "webhook.rejected"]
    assert (line["webhook"], line["reason"], line["status"]) == (webhook, result, status)
    assert line["next_step"]
    assert line["data_at_risk"] == "yes"
    told = repr(lines) + repr(document)
    for secret in (SECRET, "Report Exported", "u-1", "staging", *headers.values()):
        assert secret not in told or secret in {"gzip", "identity"}


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1_000):
        yield body[start : start + 1_000]


ORDER: list[tuple[int, dict[str, Any]]] = [
    (404, {"name": "staging"}),
    (405, {"method": "GET"}),
    (503, {"is_draining": True}),
    (415, {"Content-Encoding": "br"}),
    (413, {"is_large": True}),
    (400, {"Content-Encoding": "gzip"}),
    (401, {"X-Signature": "0" * 40}),
    (415, {"Content-Type": "text/plain"}),
    (400, {"is_json": False}),
]
"""Faults of a request, in the order in which they are looked at."""


@pytest.mark.parametrize("first", range(len(ORDER)))
async def test_the_first_check_that_fails_answers(first: int) -> None:
    """A request with this fault and all later ones, as far as one can have them at once."""
    faults: dict[str, Any] = {}
    for _, fault in reversed(ORDER[first:]):
        faults |= fault
    async with listening(limits={"max_body_bytes": 1_000}) as webhooks:
        webhooks.listener.is_draining = bool(faults.get("is_draining"))
        body = b"{" + b"x" * (2_000 if faults.get("is_large") else 10)
        headers = {name: value for name, value in faults.items() if name[0].isupper()}
        status, _ = await webhooks.send(
            body,
            {**sign(body), **headers},
            name=faults.get("name", "production"),
            method=faults.get("method", "POST"),
        )
    assert status == ORDER[first][0]


async def test_several_signatures_are_refused_and_an_upper_case_one_is_not(webhooks: Webhooks) -> None:
    right = sign(CALL)["X-Signature"]
    headers = CIMultiDict([("X-Signature", right), ("X-Signature", right)])
    assert (await webhooks.send(CALL, headers))[0] == 401
    assert (await webhooks.send(CALL, {"X-Signature": f" {right.upper()} "}))[0] == 200


async def test_a_blank_added_after_signing_is_refused(webhooks: Webhooks) -> None:
    assert (await webhooks.send(CALL + b" ", sign(CALL)))[0] == 401


async def test_no_content_type_is_accepted(webhooks: Webhooks) -> None:
    raw = await raw_request(webhooks, request_bytes(CALL, sign(CALL)))
    assert raw.startswith(b"HTTP/1.1 200 ")


# -- Bearer tokens -----------------------------------------------------------------------------------------------------


async def test_a_bearer_token_is_asked_for_in_addition_and_authenticates_all_calls() -> None:
    async with listening({"secrets": [SECRET], "bearer_token": "t0ken"}) as webhooks:
        body = batch(call(1), call(2))
        signature = sign(call(1))
        for wrong in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic t0ken"}):
            assert (await webhooks.send(body, {**signature, **wrong}))[0] == 401
        right = {"Authorization": "bearer t0ken"}
        assert (await webhooks.send(body, {**sign(b"other"), **right}))[0] == 401, "alone it is not enough"
        assert (await webhooks.send(body, {**signature, **right}))[0] == 200
        assert webhooks.listener.counts.calls == {("production", True): 2}


# -- Kafka -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["away", "frozen", "an error", "no topic"])
async def test_without_a_confirmation_the_sender_tries_again(webhooks: Webhooks, fault: str) -> None:
    webhooks.cluster.is_away = fault == "away"
    webhooks.cluster.is_frozen = fault == "frozen"
    if fault == "an error":
        webhooks.cluster.write_errors.append(UnavailableError("NotEnoughReplicasError"))
    if fault == "no topic":
        webhooks.cluster.delete("segment.inbound")
    with structlog.testing.capture_logs() as lines:
        status, document = await webhooks.send(CALL)
    assert (status, list(document)) == (503, ["message"])
    assert webhooks.headers["Retry-After"] == "5"
    assert webhooks.results() == {("production", "kafka_unavailable"): 1}
    [line] = [line for line in lines if line["event"] == "webhook.rejected"]
    assert line["data_at_risk"] == "no", "Segment sends the calls again"
    assert webhooks.listener.open_bytes == 0
    webhooks.cluster.is_away = webhooks.cluster.is_frozen = False
    if fault == "no topic":
        webhooks.cluster.create("segment.inbound")
    assert (await webhooks.send(CALL))[0] == 200


async def test_a_dead_letter_that_is_not_confirmed_is_not_accepted() -> None:
    async with listening(limits={"max_call_bytes": 1_000}) as webhooks:
        webhooks.cluster.delete("segment.inbound.dlq")
        assert (await webhooks.send(batch(call(1), call(2, padding=2_000))))[0] == 503


# -- Draining ----------------------------------------------------------------------------------------------------------


async def test_draining_refuses_new_requests_and_waits_for_open_ones() -> None:
    async with listening(timings=replace(TIMINGS, publish=30.0, request_complete=30.0)) as webhooks:
        confirm = asyncio.Event()
        webhooks.cluster.answer = confirm.wait  # type: ignore[method-assign,assignment]
        sending = asyncio.create_task(webhooks.send(CALL))
        await eventually(lambda: len(webhooks.publisher.published) == 1)
        draining = asyncio.create_task(webhooks.listener.drain())
        await eventually(lambda: webhooks.listener.is_draining)
        status, _ = await webhooks.send(CALL)
        assert status == 503
        assert webhooks.headers["Retry-After"] == "5"
        assert webhooks.headers["Connection"] == "close"
        assert not draining.done()
        confirm.set()
        assert await sending == (200, {"accepted": 1})
        await draining


# -- Secrets -----------------------------------------------------------------------------------------------------------


async def test_secrets_in_a_file_change_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("old\n")
    async with listening({"secrets_file": str(path)}, timings=replace(TIMINGS, secrets_every=3_600.0)) as webhooks:
        assert (await webhooks.send(CALL, sign(CALL, "old")))[0] == 200
        path.write_text("old\nnew\n")
        assert (await webhooks.send(CALL, sign(CALL, "new")))[0] == 200, "a failed check looks at once"
        assert (await webhooks.send(CALL, sign(CALL, "old")))[0] == 200
        path.write_text("new\n")
        assert (await webhooks.send(CALL, sign(CALL, "wrong")))[0] == 401
        assert (await webhooks.send(CALL, sign(CALL, "old")))[0] == 401


async def test_secrets_that_cannot_be_read_leave_the_last_ones_and_are_told_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    path.write_text("old")
    async with listening({"secrets_file": str(path)}) as webhooks:
        for content in (None, "", "\n\n"):
            path.unlink() if content is None else path.write_text(content)
            with structlog.testing.capture_logs() as lines:
                for _ in range(3):
                    assert (await webhooks.send(CALL, sign(CALL, "old")))[0] == 200
                    assert (await webhooks.send(CALL, sign(CALL, "")))[0] == 401
            told = [line for line in lines if line["event"] == "webhook.secrets_unreadable"]
            assert len(told) == (1 if content is None else 0), "it is one fault until they can be read"
        path.write_text("new")
        assert (await webhooks.send(CALL, sign(CALL, "new")))[0] == 200


async def test_a_secret_that_is_missing_at_the_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="secrets_file"):
        async with listening({"secrets_file": str(tmp_path / "missing")}):
            pass


async def test_an_address_in_use_is_told(webhooks: Webhooks) -> None:
    settings = InboundSettings.model_validate(
        {"listen": {"port": webhooks.listener.port}, "webhooks": {"production": {"secrets": [SECRET]}}}
    )
    with pytest.raises(UnavailableError, match=r"inbound\.listen\.port"):
        await Listener(settings, webhooks.publisher).start()
