"""Devices: links, sign-outs and limits."""

import pytest

from streamer.core.inbound.call import OLDEST, IgnoredReason, MatchedBy, Remark
from streamer.core.inbound.rules import Rules
from tests.core.inbound.memory_directory import MemoryDirectory, identify, sign_out, track


def test_a_device_changes_hands_without_a_sign_out() -> None:
    users = MemoryDirectory()
    users.apply(track(1, user_id="ann", anonymous_id="d"), track(2, user_id="ben", anonymous_id="d"))
    assert users.owner("d") == "ben"


def test_a_link_that_is_as_old_as_the_one_there_takes_the_device() -> None:
    users = MemoryDirectory()
    users.apply(track(1, user_id="ann", anonymous_id="d"), track(1, user_id="ben", anonymous_id="d"))
    assert users.owner("d") == "ben"


def test_an_older_link_of_another_user_does_nothing() -> None:
    users = MemoryDirectory()
    _, late = users.apply(track(2, user_id="ben", anonymous_id="d"), track(1, user_id="ann", anonymous_id="d"))
    assert (late.linked, late.remarks) == (False, (Remark.LINK_STALE,))
    assert users.owner("d") == "ben"


def test_a_link_of_the_same_user_only_grows() -> None:
    users = MemoryDirectory()
    results = users.apply(*(track(at, user_id="ann", anonymous_id="d") for at in (2, 5, 3)))
    assert [(result.linked, result.remarks) for result in results] == [(True, ())] * 3
    assert users.user("ann").devices["d"].since == 5


@pytest.mark.parametrize(("at", "is_linked"), [(9, False), (10, False), (11, True)])
def test_a_device_that_signed_out_takes_newer_links_only(at: int, is_linked: bool) -> None:
    users = MemoryDirectory()
    users.apply_each(track(5, user_id="ann", anonymous_id="d"), sign_out(10, anonymous_id="d"))
    (result,) = users.apply(track(at, user_id="ben", anonymous_id="d"))
    assert result.linked is is_linked
    assert users.owner("d") == ("ben" if is_linked else None)


def test_an_unknown_device_that_signs_out_is_noted_so_that_an_older_link_cannot_come() -> None:
    users = MemoryDirectory()
    users.apply_each(sign_out(10, anonymous_id="d"), track(9, user_id="ann", anonymous_id="d"))
    assert users.owner("d") is None


def test_a_sign_out_names_the_user_who_had_the_device_whatever_user_id_it_brings() -> None:
    users = MemoryDirectory()
    _, result = users.apply(
        track(1, user_id="ann", anonymous_id="d"), sign_out(2, user_id="ben", anonymous_id="d", email="x@example.com")
    )
    assert (result.username, result.matched_by) == ("ann", MatchedBy.DEVICE)
    assert users.owner("d") is None
    assert users.usernames() == ["ann"]


def test_a_sign_out_older_than_the_link_is_stale_and_one_as_old_wins() -> None:
    users = MemoryDirectory()
    users.apply(track(5, user_id="ann", anonymous_id="d"))
    assert users.apply(sign_out(4, anonymous_id="d"))[0].reason is IgnoredReason.STALE
    assert users.owner("d") == "ann"
    users.apply(sign_out(5, anonymous_id="d"))
    assert users.owner("d") is None


def test_a_sign_out_forgets_what_was_known_of_the_device_up_to_then() -> None:
    users = MemoryDirectory()
    users.apply_each(
        identify(1, anonymous_id="d", attributes={"old": 1}),
        identify(9, anonymous_id="d", attributes={"new": 1}),
        sign_out(5, anonymous_id="d"),
    )
    assert users.export() == [{"anonymousId": "d", "attributes": {"new": 1}}]


def test_a_sign_out_without_device_signs_out_of_all_that_were_linked_up_to_then() -> None:
    users = MemoryDirectory()
    users.apply(*(track(at, user_id="ann", anonymous_id=f"d{at}") for at in (4, 5, 6)))
    (result,) = users.apply(sign_out(5, user_id="ann"))
    assert (result.username, result.remarks) == ("ann", (Remark.SIGNED_OUT_EVERYWHERE,))
    assert {name: users.owner(name) for name in users.devices} == {"d4": None, "d5": None, "d6": "ann"}
    assert (users.devices["d4"].device.since, users.devices["d4"].device.left) == (4, 5)
    assert users.user("ann").signed_out == 5


def test_a_sign_out_without_device_finds_the_user_by_address_first() -> None:
    users = MemoryDirectory.of(
        {"username": "ann", "email": "a@example.com", "anonymousIds": ["d"]}, {"username": "ben"}
    )
    (result,) = users.apply(sign_out(user_id="ben", email="A@example.com"))
    assert (result.username, result.matched_by) == ("ann", MatchedBy.EMAIL)
    assert users.owner("d") is None


def test_a_sign_out_of_nobody_creates_nobody_and_is_noted_so_that_an_older_link_cannot_come() -> None:
    users = MemoryDirectory()
    assert users.apply(sign_out(5, user_id="ann"))[0].reason is IgnoredReason.UNKNOWN_USER
    assert (users.usernames(), users.outgoing) == ([], [])
    late, newer = users.apply_each(
        track(4, user_id="ann", anonymous_id="d4"), track(6, user_id="ann", anonymous_id="d6")
    )
    assert (late.linked, newer.linked) == (False, True)


def test_an_older_sign_out_of_all_devices_does_not_take_back_the_newer_one() -> None:
    users = MemoryDirectory.of({"username": "ann"})
    users.apply_each(sign_out(9, user_id="ann"), sign_out(5, user_id="ann"))
    assert users.user("ann").signed_out == 9


@pytest.mark.parametrize("at", [4, 5])
def test_a_link_not_newer_than_the_sign_out_of_all_devices_ends_at_once(at: int) -> None:
    users = MemoryDirectory.of({"username": "ann"})
    users.apply(sign_out(5, user_id="ann"))
    (result,) = users.apply(track(at, user_id="ann", anonymous_id="d"))
    assert (result.linked, result.remarks) == (False, (Remark.LINK_STALE,))
    device = users.devices["d"].device
    assert (users.owner("d"), device.since, device.left) == (None, at, 5)


def test_a_link_that_ends_at_once_still_takes_the_device_from_whom_it_was_before() -> None:
    users = MemoryDirectory.of({"username": "ann"})
    users.apply_each(track(1, user_id="ben", anonymous_id="d"), sign_out(5, user_id="ann"))
    users.apply(track(3, user_id="ann", anonymous_id="d"))
    assert users.owner("d") is None


def test_a_link_that_ends_at_once_takes_what_the_device_held_until_then() -> None:
    users = MemoryDirectory.of({"username": "ann"})
    users.apply_each(
        sign_out(5, user_id="ann"),
        identify(2, anonymous_id="d", attributes={"mine": 1}),
        identify(8, anonymous_id="d", attributes={"of_the_next": 1}),
        track(4, user_id="ann", anonymous_id="d"),
    )
    assert users.export()[0]["attributes"] == {"mine": 1}
    assert users.export()[1:] == [{"anonymousId": "d", "attributes": {"of_the_next": 1}}]


def test_a_new_link_forgets_that_the_user_before_signed_out_of_all_devices() -> None:
    users = MemoryDirectory()
    users.apply_each(track(3, user_id="ann", anonymous_id="d"), sign_out(5, user_id="ann"))
    users.apply(track(4, user_id="ben", anonymous_id="d"))
    assert (users.owner("d"), users.devices["d"].device.left) == ("ben", OLDEST)


def test_the_gaps_of_the_user_are_filled_and_nothing_is_replaced() -> None:
    users = MemoryDirectory.of({"username": "ann", "firstname": "Ann", "attributes": {"plan": "Free"}})
    users.apply_each(
        identify(
            5, anonymous_id="d", firstname="X", lastname="Y", email="x@example.com", attributes={"plan": 1, "b": 2}
        ),
        identify(6, user_id="ann", anonymous_id="d", attributes={"b": 3}),
    )
    (line,) = users.export()
    assert line["attributes"] == {"plan": "Free", "b": 3}, "the traits of the call are written before"
    assert (line["firstname"], line["lastname"], line["email"]) == ("Ann", "Y", "x@example.com")


def test_an_address_that_came_from_a_device_finds_the_user_in_the_same_slice() -> None:
    users = MemoryDirectory()
    *_, found = users.apply(
        identify(1, anonymous_id="d", email="x@example.com"),
        track(2, user_id="ann", anonymous_id="d"),
        track(3, email="X@example.com", event="Found"),
    )
    assert (found.username, found.matched_by) == ("ann", MatchedBy.EMAIL)


def test_over_the_limit_the_oldest_link_goes() -> None:
    users = MemoryDirectory(Rules(max_devices_per_user=2))
    results = users.apply(*(track(at, user_id="ann", anonymous_id=f"d{at}") for at in (2, 3, 4, 1)))
    assert [result.remarks for result in results] == [(), (), (Remark.DEVICE_LIMIT,), (Remark.DEVICE_LIMIT,)]
    assert [result.linked for result in results] == [True, True, True, False]
    assert sorted(users.user("ann").devices) == ["d3", "d4"]
