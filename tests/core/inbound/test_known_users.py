"""What is remembered of the users of devices: not for long, not without bounds, and what is used stays."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.inbound.known_users import KNOWN_SECONDS, RENEW_SECONDS, UNKNOWN_SECONDS, KnownUsers


def user_of(known: KnownUsers, device: str, now: float) -> str | None:
    answer = known.find(device, now)
    return None if answer is None else answer.user


def test_an_answer_counts_for_a_while_and_is_asked_for_again_before_its_end() -> None:
    known = KnownUsers()
    assert known.to_ask(["a", "b"], 0) == {"a", "b"}
    known.note(["a", "b"], {"a": "ann"}, 0)
    assert known.to_ask(["a", "b"], 0) == set()
    assert known.to_ask(["a", "b"], UNKNOWN_SECONDS - RENEW_SECONDS) == {"b"}
    assert known.find("b", UNKNOWN_SECONDS - 0.1) is not None
    assert known.find("b", UNKNOWN_SECONDS) is None
    assert known.to_ask(["a"], KNOWN_SECONDS - RENEW_SECONDS) == {"a"}
    assert user_of(known, "a", KNOWN_SECONDS - 0.1) == "ann"
    assert known.find("a", KNOWN_SECONDS) is None


def test_a_new_answer_replaces_the_old_one() -> None:
    known = KnownUsers()
    known.note(["a"], {"a": "ann"}, 0)
    known.note(["a"], {"a": "ben"}, 1)
    assert (user_of(known, "a", 2), len(known)) == ("ben", 1)
    known.note(["a"], {}, 2)
    assert user_of(known, "a", 3) is None


def test_what_cannot_be_an_id_is_never_asked_about() -> None:
    """PostgreSQL refuses a whole question for one zero byte in it."""
    known = KnownUsers()
    for device in ("a\x00", "\x1f", "x" * 256):
        assert known.to_ask([device], 0) == set()
        answer = known.find(device, 0)
        assert answer is not None
        assert answer.user is None


def test_the_least_recently_used_device_goes() -> None:
    known = KnownUsers(max_devices=3)
    known.note("abc", {}, 0)
    known.find("a", 1)
    known.note("d", {}, 1)
    assert known.to_ask("abcd", 2) == {"b"}


@given(
    st.lists(st.tuples(st.lists(st.text("abc", max_size=4), max_size=5), st.text("xy", max_size=9)), max_size=30),
    st.integers(1, 5),
    st.integers(0, 40),
)
def test_neither_devices_nor_characters_go_beyond_their_bounds(
    questions: list[tuple[list[str], str]], max_devices: int, max_characters: int
) -> None:
    known = KnownUsers(max_devices, max_characters)
    for now, (devices, user) in enumerate(questions):
        known.note(devices, dict.fromkeys(devices, user), now)
        answers = known._answers
        assert len(answers) <= max_devices
        kept = sum(len(device) + len(answer.user or "") for device, answer in answers.items())
        assert kept == known._characters <= max_characters
