"""Decompression and the memory that requests share, piece by piece and against simple models."""

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.inbound.gunzip import PIECE_BYTES, Gunzip, NotGzipError
from streamer.inbound.open_bytes import OpenBytes


def gunzip(*chunks: bytes) -> bytes:
    stream = Gunzip()
    pieces = [piece for chunk in chunks for piece in stream.feed(chunk)]
    stream.end()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.lists(st.integers(0, 5_000), max_size=6))
def test_members_come_in_any_pieces(contents: list[bytes], places: list[int]) -> None:
    compressed = b"".join(map(gzip.compress, contents))
    assert gunzip(*cut(compressed, places)) == b"".join(contents)


@given(st.binary(max_size=300), st.integers(0, 400), st.lists(st.integers(0, 400), max_size=4))
def test_what_ends_too_early_is_not_gzip(content: bytes, length: int, places: list[int]) -> None:
    compressed = gzip.compress(content)
    with pytest.raises(NotGzipError):
        gunzip(*cut(compressed[: length % len(compressed)], places))


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=40), st.lists(st.integers(0, 400), max_size=4))
def test_what_comes_after_the_last_member_is_not_gzip(content: bytes, rest: bytes, places: list[int]) -> None:
    with pytest.raises(NotGzipError):
        gunzip(*cut(gzip.compress(content) + b"\0" + rest, places))


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 10_000_000])
def test_long_contents_come_whole(size: int) -> None:
    """Also where the last piece is a full one."""
    content = bytes(size)
    for compressed in (gzip.compress(content), gzip.compress(content, 0)):
        assert gunzip(compressed) == content


def test_a_stream_of_zlib_is_not_gzip() -> None:
    with pytest.raises(NotGzipError):
        gunzip(zlib.compress(b"x"))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60)), max_size=60))
def test_requests_together_never_hold_more_than_is_allowed(steps: list[tuple[int, int]]) -> None:
    """The largest incomplete one gives way; one that is complete does not."""
    whole = OpenBytes(100)
    contexts = [whole.share() for _ in range(5)]
    shares = [context.__enter__() for context in contexts]
    complete: set[int] = set()
    for number, size in steps:
        share = shares[number]
        if share.has_given_way or number in complete:
            continue
        before = {one: one.held for one in shares}
        assert share.add(size) is not share.has_given_way
        for one in shares:
            if one.has_given_way and before[one]:
                assert one not in [shares[index] for index in complete]
        if size % 7 == 0 and not share.has_given_way:
            share.complete()
            complete.add(number)
        assert whole.held == sum(one.held for one in shares) <= 100
        assert whole.is_full is (sum(shares[index].held for index in complete) >= 100)
    for context in contexts:
        context.__exit__(None, None, None)
    assert whole.held == 0
    assert not whole.is_full
