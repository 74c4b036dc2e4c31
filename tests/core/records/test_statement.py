"""What a commit states about the records above its position: true, bounded, and never more than was known."""

import base64
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records.statement import MAX_CHARACTERS, PREFIX, Run, Statement, decode, encode, is_ours, runs_of

NOON = 1_790_000_000_000


def sealed(*payload: int, position: int = 7) -> str:
    """Metadata with a right checksum, whatever is in it."""
    content = bytes(payload)
    checksum = zlib.crc32(content + b"%d" % position)
    return PREFIX + base64.urlsafe_b64encode(content + checksum.to_bytes(4, "big")).decode().rstrip("=")


@st.composite
def facts(draw: st.DrawFn) -> tuple[int, int, dict[int, int]]:
    """Position, horizon, and the open offsets between them with their attempts."""
    position = draw(st.integers(0, 2**40))
    gaps = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 7, 300, 70_000]), st.sampled_from([0, 0, 0, 1, 9, 300])))
    offset, still_open = position - 1, {}
    for gap, attempts in draw(gaps):
        offset += 1 + gap
        still_open[offset] = attempts
    return position, offset + 1 + draw(st.integers(0, 1000)), still_open


def probes(position: int, horizon: int, still_open: dict[int, int]) -> Iterator[int]:
    """Offsets at and beside every edge."""
    for edge in (position, horizon, *still_open):
        yield from (edge - 1, edge, edge + 1)


def written(position: int, horizon: int, still_open: dict[int, int], limit: int = MAX_CHARACTERS) -> str:
    return encode(position, horizon, runs_of(list(still_open), still_open), NOON, limit)


def test_the_text_is_what_the_format_says() -> None:
    """Spelt out once by hand, because what is stored outlives the code that wrote it."""
    runs = (Run(5, 6, 0), Run(7, 10, 0), Run(10, 11, 9))
    text = encode(5, 15, runs, 99)
    assert text == sealed(10, 100, 0, 0 * 4, 1 * 4 + 2, 3, 0 * 4 + 1, 9, position=5)
    assert decode(text, 5) == Statement(5, 15, runs, 99)


@given(facts())
def test_what_was_written_is_read(known: tuple[int, int, dict[int, int]]) -> None:
    position, horizon, still_open = known
    statement = decode(written(*known), position)
    assert statement is not None
    assert (statement.position, statement.fingerprint) == (position, NOON)
    for offset in probes(*known):
        assert statement.is_settled(offset) == (position <= offset < horizon and offset not in still_open)
    for offset, attempts in still_open.items():
        assert statement.attempts(offset) == min(attempts, 255)


@given(facts(), st.integers(0, 60))
def test_a_short_limit_lowers_the_horizon_and_nothing_untrue_is_stated(
    known: tuple[int, int, dict[int, int]], limit: int
) -> None:
    position, horizon, still_open = known
    text = written(*known, limit)
    assert len(text) <= limit
    statement = decode(text, position)
    assert statement is not None or not text
    if statement is not None:
        assert position <= statement.horizon <= horizon
        for offset in probes(*known):
            assert not statement.is_settled(offset) or (position <= offset < horizon and offset not in still_open)
            assert statement.attempts(offset) in {0, min(still_open.get(offset, 0), 255)}


def test_what_is_known_is_stated_as_far_as_there_is_room() -> None:
    """Partial knowledge, never all or nothing: of 100,000 stragglers the first ones fit."""
    stragglers = dict.fromkeys(range(0, 20_000_000, 200), 0)
    text = written(0, 20_000_000, stragglers, limit=10_000)
    assert MAX_CHARACTERS - 4 < len(text) <= MAX_CHARACTERS
    statement = decode(text, 0)
    assert statement is not None
    assert statement.horizon == 200 * len(statement.open)
    assert statement.horizon > 1_500 * 200


@pytest.mark.parametrize(("stragglers", "span", "attempts"), [(1_500, 1_600_000, 0), (1_000, 1_000_000, 9)])
def test_a_thousand_stragglers_over_a_million_records_fit(stragglers: int, span: int, attempts: int) -> None:
    still_open = dict.fromkeys(sorted(random.Random(1).sample(range(span), stragglers)), attempts)
    statement = decode(written(0, span, still_open), 0)
    assert statement is not None
    assert statement.horizon == span


@pytest.mark.parametrize("open_records", [0, 1, 200_000])
def test_when_nothing_is_settled_above_the_position_the_text_is_short(open_records: int) -> None:
    text = written(7, 7 + open_records, dict.fromkeys(range(7, 7 + open_records), 0))
    assert len(text) == 19
    assert decode(text, 7) == Statement(7, 7, (), NOON)


def test_attempts_are_stated_even_if_nothing_is_settled() -> None:
    statement = decode(written(7, 8, {7: 3}), 7)
    assert statement is not None
    assert statement.attempts(7) == 3


def test_charged_records_within_a_row_keep_their_own_attempts() -> None:
    assert list(runs_of([1, 2, 3, 4, 5, 9], {3: 2, 8: 1})) == [
        Run(1, 3, 0),
        Run(3, 4, 2),
        Run(4, 6, 0),
        Run(9, 10, 0),
    ]


@pytest.mark.parametrize("fingerprint", [None, -1])
def test_without_a_fingerprint_nothing_is_stated_above_the_position(fingerprint: int | None) -> None:
    """Nobody could check that the topic is still the same, and repeats are cheaper than skips."""
    text = encode(7, 100, [Run(7, 8, 1)], fingerprint)
    assert len(text) == 13
    assert decode(text, 7) == Statement(7, 7, (), None)


def test_open_offsets_can_be_asked_for_from_the_middle_of_a_row() -> None:
    statement = Statement(0, 20, (Run(0, 1, 4), Run(3, 8, 0), Run(9, 10, 0)), NOON)
    assert list(statement.open_from(5)) == [Run(5, 8, 0), Run(9, 10, 0)]


STRANGERS = {
    "absent": None,
    "empty": "",
    "prefix only": PREFIX,
    "another library's": "AAECAwQFBgc=",
    "Kafka Streams'": "AgAAAZj5vB4A",
    "a later version": "s3:" + written(7, 8, {})[3:],
    "the next version's prefix": "s2:" + written(7, 8, {})[3:],
    "another position's": written(8, 9, {}),
    "not base64": PREFIX + "???",
    "not ASCII": PREFIX + "öäü",
    "a lone surrogate": PREFIX + "\ud800",
    "plain base64": PREFIX + "+/+/+/+/",
    "padded": sealed(0, 0, 0) + "=",
    "cut off": written(7, 90, {7: 0})[:-1],
    "too long": PREFIX + "A" * MAX_CHARACTERS,
    "sealed, too long": sealed(0xFF, 0x7F, 1, 0, *bytes(3_100)),
    "sealed, nothing in it": sealed(),
    "sealed, no fingerprint number": sealed(0),
    "sealed, no replay number": sealed(0, 1),
    "sealed, number cut off": sealed(0, 1, 0, 0x80),
    "sealed, number too large": sealed(0, *[0xFF] * 9, 1, 0),
    "sealed, reach without fingerprint": sealed(9, 0, 0),
    "sealed, unknown kind": sealed(9, 1, 0, 3),
    "sealed, attempts missing": sealed(9, 1, 0, 1),
    "sealed, no attempts": sealed(9, 1, 0, 1, 0),
    "sealed, too many attempts": sealed(9, 1, 0, 1, 0x80, 2),
    "sealed, empty row": sealed(9, 1, 0, 2, 0),
    "sealed, open beyond the horizon": sealed(1, 1, 0, 4),
    "sealed, row beyond the horizon": sealed(9, 1, 0, 2, 10),
}


@pytest.mark.parametrize("metadata", STRANGERS.values(), ids=STRANGERS)
def test_metadata_of_strangers_states_nothing(metadata: str | None) -> None:
    assert decode(metadata, 7) is None


def test_the_seal_of_these_tests_is_the_real_one() -> None:
    """Otherwise every malformed statement above would be refused for its checksum alone."""
    assert decode(sealed(9, 1, 0, 2, 9), 7) == Statement(7, 16, (Run(7, 16, 0),), 0)


@given(st.text() | st.text().map(PREFIX.__add__), st.integers(0, 2**63))
def test_no_text_raises(text: str, position: int) -> None:
    decode(text, position)
    is_ours(text)


@given(st.binary(max_size=200), st.integers(0, 2**63))
def test_no_payload_raises_and_what_is_read_is_small_and_in_order(payload: bytes, position: int) -> None:
    """A crafted text may claim a row of 2**60 offsets: it must not become a list of them."""
    statement = decode(sealed(*payload, position=position), position)
    if statement is not None:
        assert len(statement.open) <= len(payload)
        edges = [position, *(edge for run in statement.open for edge in run[:2]), statement.horizon]
        assert edges == sorted(edges)


@given(facts(), st.data())
def test_a_damaged_text_states_nothing(known: tuple[int, int, dict[int, int]], data: st.DataObject) -> None:
    text = written(*known)
    where = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[where]))
    statement = decode(text[:where] + other + text[where + 1 :], known[0])
    # Unused low bits of the last character are no part of the payload.
    assert statement is None or (where == len(text) - 1 and statement == decode(text, known[0]))


def test_what_somebody_wants_again_is_stated_until_the_position_has_passed_it() -> None:
    """An operator's reset must outlast a restart in the middle of the replay."""
    stated = decode(encode(7, 7, (), NOON, replay_until=100, replay_id=9), 7)
    assert stated is not None
    assert (stated.replay_until, stated.replay_id) == (100, 9)
    passed = decode(encode(100, 100, (), NOON, replay_until=100, replay_id=9), 100)
    assert passed is not None
    assert (passed.replay_until, passed.replay_id) == (0, 0)


def test_a_replay_without_a_name_is_one_of_an_earlier_version() -> None:
    stated = decode(encode(7, 7, (), NOON, replay_until=100), 7)
    assert stated is not None
    assert (stated.replay_until, stated.replay_id) == (100, 0)


@given(facts(), st.integers(1, 2**20), st.integers(1, 2**32 - 1))
def test_everything_else_is_stated_in_a_replay_too(
    known: tuple[int, int, dict[int, int]], replay: int, replay_id: int
) -> None:
    position, horizon, still_open = known
    runs = tuple(runs_of(list(still_open), still_open))
    text = encode(position, horizon, runs, NOON, replay_until=position + replay, replay_id=replay_id)
    stated, plain = decode(text, position), decode(encode(position, horizon, runs, NOON), position)
    assert stated is not None
    assert plain is not None
    assert (stated.replay_until, stated.replay_id) == (position + replay, replay_id)
    assert len(text) <= MAX_CHARACTERS
    for offset in probes(*known):
        # The name of the replay takes room: of a very long statement, it may cost the end.
        assert stated.is_settled(offset) <= plain.is_settled(offset)
        if len(text) < MAX_CHARACTERS - 8:
            assert stated.is_settled(offset) == plain.is_settled(offset)


@pytest.mark.parametrize("replay", [(7, 100, 9), (7, 100, 4), (7, 8, 1 << 31)])
def test_the_prefix_is_sealed(replay: tuple[int, int, int]) -> None:
    """Read as the other version, the name of a replay would be an open offset, and what follows it settled."""
    position, until, replay_id = replay
    runs = (Run(9, 10, 0), Run(12, 40, 0))
    named = encode(position, 60, runs, NOON, replay_until=until, replay_id=replay_id)
    nameless = encode(position, 60, runs, NOON, replay_until=until)
    assert (named[:3], nameless[:3]) == ("s2:", "s1:")
    assert decode("s1:" + named[3:], position) is None
    assert decode("s2:" + nameless[3:], position) is None


def test_a_name_that_does_not_fit_states_nothing() -> None:
    """A broker that takes very little: repeats."""
    assert encode(7, 7, (), None, 17, replay_until=100, replay_id=2**32 - 1) == ""
    assert decode(encode(7, 7, (), None, 17), 7) is not None
