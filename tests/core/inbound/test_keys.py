"""The key of a record is the first usable id, and finding it never fails."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.inbound.digests import device_mark, message_digest, name_mark
from streamer.core.inbound.keys import key_of


@pytest.mark.parametrize(
    ("call", "key"),
    [
        ({"userId": "u", "anonymousId": "a", "previousId": "p"}, b"u"),
        ({"userId": None, "anonymousId": "a"}, b"a"),
        ({"userId": " ", "anonymousId": {}, "previousId": 17}, b"17"),
        ({"userId": "x" * 256, "anonymousId": "\u0000", "previousId": "\u017e"}, "\u017e".encode()),
        ({"json": {"userId": "u"}}, b"u"),
        ({"userId": 2**64}, None),
        ({"userId": True}, None),
        ({}, None),
        ([{"userId": "u"}], None),
        ("userId", None),
        (None, None),
    ],
)
def test_the_first_usable_id_is_the_key(call: Any, key: bytes | None) -> None:
    assert key_of(json.dumps(call).encode()) == key


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b'{"userId":"\\ud800"}',
        b'{"userId":1e999}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b'{"userId":"u"}' + b" " * (512 << 10),
    ],
    ids=lambda value: str(value[:12]),
)
def test_what_cannot_be_read_has_no_key(value: bytes) -> None:
    assert key_of(value) is None


@given(st.binary())
def test_no_bytes_make_it_fail(value: bytes) -> None:
    assert key_of(value) is None or value


def test_digests_tell_kinds_and_ids_apart() -> None:
    """They are stored: another form would forget all messageIds and deletions."""
    assert message_digest("in-0001").hex() == "be30b26f851bfbe8d048f63fbd33fb31"
    assert name_mark("u").hex() == "1c65bd56d3766b1cfb72070201332bebba6ff4c6c7375a4091cbe0f7428d167d"
    assert device_mark("u").hex() == "6079bfb15238881e96fb46376937470926be31af6a5cf5c9a2b59f4f98f1fd93"
