"""Signatures as Segment makes them, over the bytes as they were received."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from streamer.core.inbound.signature import Coverage, check, sign

SAMPLES = Path(__file__).parents[2] / "samples" / "inbound"
SIGNED = json.loads((SAMPLES / "signatures.json").read_bytes())
SECRET = SIGNED["secret"]
SINGLE = (SAMPLES / "26-identify-numbers-and-escapes.body.json").read_bytes()
BATCH = (SAMPLES / "27-batch-of-three.body.json").read_bytes()

FIRST = '{"type":"identify","userId":"u-1","messageId":"srv-7f3c-0003","traits":{"plan":"pro","nps_score":9}}'
SECOND = '{"type":"track","event":"Survey Dismissed","userId":"u-1","messageId":"srv-7f3c-0004","properties":{}}'


def of(text: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha1).hexdigest()


@pytest.mark.parametrize(("name", "signature"), SIGNED["signatures"].items())
def test_every_sample_is_signed(name: str, signature: str) -> None:
    body = (SAMPLES / name).read_bytes()
    is_batch = body.startswith(b"[")
    assert check(body, signature, [SECRET]) is (Coverage.FIRST_CALL if is_batch else Coverage.WHOLE_BODY)
    assert sign(SECRET, body) == signature
    assert check(body + b" ", signature, [SECRET]) is (Coverage.FIRST_CALL if is_batch else Coverage.NOTHING)


@pytest.mark.parametrize(
    ("secret", "body", "signature", "coverage"),
    [
        (
            "streamer-secret-one",
            (
                '{"type":"track","event":"Survey Question Answered","userId":"019mr8mf4r","messageId":"srv-7f3c-0001",'
                '"properties":{"survey_id":"s-42","score":9},"timestamp":"2025-03-04T05:06:07.089Z"}'
            ),
            "ea852436752dc95b7733d867df40cad6416d3b2f",
            Coverage.WHOLE_BODY,
        ),
        (
            "clé-secrète",
            (
                '{"type":"track","event":"Survey Completed","anonymousId":"a-9","messageId":"srv-7f3c-0002",'
                '"properties":{"2":"b","10":"a","comment":"Très bien — 👍 </ok>","ratio":1e-7,"score":9}}'
            ),
            "ddf3c4f72e40b11bad322624b435557e2acae396",
            Coverage.WHOLE_BODY,
        ),
        (
            "streamer-secret-three",
            f"[{FIRST},{SECOND}]",
            "bbe7b1702ba35669243571a5a6ea80c9821702c6",
            Coverage.FIRST_CALL,
        ),
        (
            "streamer-secret-three",
            f"[{FIRST},{SECOND}]",
            "f92a2ad8f4f27f40a6d2c81ba6e4df3e6b0d6cca",
            Coverage.WHOLE_BODY,
        ),
        ("streamer-secret-three", f"[{FIRST}]", "bbe7b1702ba35669243571a5a6ea80c9821702c6", Coverage.FIRST_CALL),
        ("streamer-secret-three", f"[{FIRST}]", "97de4a62d096d83455a22ac9ccd8dc7401f8110f", Coverage.WHOLE_BODY),
        (
            "streamer-secret-three",
            f'[{{"json":{FIRST}}},{{"json":{SECOND}}}]',
            "bbe7b1702ba35669243571a5a6ea80c9821702c6",
            Coverage.FIRST_CALL,
        ),
    ],
)
def test_signatures_of_segment_are_known(secret: str, body: str, signature: str, coverage: Coverage) -> None:
    assert check(body.encode(), signature, ["another", secret]) is coverage


def test_upper_case_and_blanks_around_it_do_no_harm() -> None:
    assert check(SINGLE, f" {of(SINGLE).upper()}\t", [SECRET]) is Coverage.WHOLE_BODY


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "é",
        "\ud800",
        of(SINGLE)[:-1],
        "sha1=" + of(SINGLE),
        base64.b64encode(hmac.digest(SECRET.encode(), SINGLE, "sha1")).decode(),
        hmac.new(SECRET.encode(), SINGLE, hashlib.sha256).hexdigest(),
        of(SINGLE, "another"),
        of(json.dumps(json.loads(SINGLE)).encode()),
        of(BATCH),
    ],
)
def test_any_other_signature_is_wrong(signature: str) -> None:
    assert check(SINGLE, signature, [SECRET]) is Coverage.NOTHING
    assert check(SINGLE, of(SINGLE), []) is Coverage.NOTHING


def test_whatever_follows_the_first_call_is_not_covered() -> None:
    """That is how Segment signs; the calls behind it are marked as not authenticated."""
    changed = BATCH.replace(b"Pricing Viewed", b"Pricing Hacked")
    coverage = check(changed, of(json_of_first(BATCH)), [SECRET])
    assert [coverage.covers(index) for index in range(3)] == [True, False, False]
    assert check(b'[{"a":"\xff"}]', of(b'{"a":"\xff"}'), [SECRET]) is Coverage.FIRST_CALL
    assert check(b'[{"a":1}, \xff', of(b'{"a":1}'), [SECRET]) is Coverage.FIRST_CALL


def json_of_first(body: bytes) -> bytes:
    return body[1 : body.index(b"},{") + 1]


def test_the_first_call_stands_directly_after_its_bracket() -> None:
    assert check(b'[ {"a":1}]', of(b'{"a":1}'), [SECRET]) is Coverage.NOTHING
    assert check(b' [{"a":1}]', of(b'{"a":1}'), [SECRET]) is Coverage.NOTHING
    deep = b"[" * 5_000 + b'"]"' + b"]" * 5_000
    assert check(b"[" + deep + b",1]", of(deep), [SECRET]) is Coverage.FIRST_CALL
    assert check(b"[ " + deep + b",1]", of(b" " + deep), [SECRET]) is Coverage.NOTHING


@pytest.mark.parametrize("rest", [b',"type":"delete"}', b',"json":{"type":"delete","userId":"u-2"}}', b"]"])
def test_a_signed_call_cannot_vouch_for_another_one_in_its_wrapper(rest: bytes) -> None:
    """A call seen once could otherwise make any call of its finder count as signed."""
    signed = FIRST.encode()
    assert check(b'[{"json":' + signed + rest + b"]", of(signed), [SECRET]) is Coverage.NOTHING
    assert check(b'[{"json":' + signed + b" } ]", of(signed), [SECRET]) is Coverage.FIRST_CALL


def test_a_batch_is_signed_by_its_first_call() -> None:
    first = FIRST.encode()
    assert sign(SECRET, b"[" + first + b"," + SECOND.encode() + b"]") == of(first)
    assert sign(SECRET, b'[{"json":' + first + b"}]") == of(first)
    assert sign(SECRET, b"[]") == of(b"[]")
    assert sign(SECRET, first) == of(first)
