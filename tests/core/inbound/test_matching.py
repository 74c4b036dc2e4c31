"""Who a call is about: section by section of the table of rows, and the link that follows."""

import pytest

from streamer.core.inbound.call import CallOutcome, IgnoredReason, MatchedBy, Remark
from streamer.core.inbound.rules import Rules
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory, delete, identify, sign_out, track

ANN = {"username": "ann", "email": "Ann@Example.com", "anonymousIds": ["d-ann"]}
BEN = {"username": "ben", "anonymousIds": ["d-ben"]}
PLAN = {"plan": "Free"}


def directory(*lines: dict[str, Json], rules: Rules | None = None) -> MemoryDirectory:
    return MemoryDirectory.of(*(lines or (ANN, BEN)), rules=rules)


def plan_of(users: MemoryDirectory, username: str) -> Json:
    value = users.user(username).person.attributes.get("plan")
    return value and value.value


@pytest.mark.parametrize("user_id", [None, "nobody", "ann"])
def test_row_1_the_address_finds_its_user_whether_the_user_id_is_absent_unknown_or_theirs(user_id: str | None) -> None:
    users = directory()
    (result,) = users.apply(identify(email="ann@example.com", user_id=user_id, anonymous_id="d-9", attributes=PLAN))
    assert (result.username, result.matched_by, result.linked) == ("ann", MatchedBy.EMAIL, True)
    assert result.remarks == ()
    assert plan_of(users, "ann") == "Free"
    assert users.usernames() == ["ann", "ben"]
    assert users.owner("d-9") == "ann"


def test_row_1_an_unknown_user_id_is_not_remembered() -> None:
    users = directory()
    users.apply_each(identify(email="ann@example.com", user_id="ann2"), identify(11, user_id="ann2"))
    assert users.usernames() == ["ann", "ann2", "ben"]


@pytest.mark.parametrize("device", ["d-ben", "d-new"])
def test_row_2_the_address_wins_against_the_user_id_and_no_link_is_made_or_moved(device: str) -> None:
    users = directory()
    (result,) = users.apply(identify(email="ann@example.com", user_id="ben", anonymous_id=device, attributes=PLAN))
    assert (result.username, result.linked) == ("ann", False)
    assert result.remarks == (Remark.EMAIL_CONFLICT,)
    assert plan_of(users, "ann") == "Free"
    assert plan_of(users, "ben") is None
    assert users.owner(device) == ("ben" if device == "d-ben" else None)


def test_row_3_of_several_users_with_the_address_the_one_with_the_user_id_is_meant() -> None:
    users = directory(
        ANN, {"username": "zoe", "email": "ANN@example.com", "times": {"changed": "2026-01-01T00:00:00Z"}}
    )
    (result,) = users.apply(identify(email="ann@example.com", user_id="ann"))
    assert (result.username, result.remarks) == ("ann", (Remark.EMAIL_AMBIGUOUS,))


def test_row_3_else_the_one_that_changed_last() -> None:
    users = directory(
        ANN, {"username": "zoe", "email": "ANN@example.com", "times": {"changed": "2026-01-01T00:00:00Z"}}
    )
    (result,) = users.apply(identify(email="ann@example.com"))
    assert (result.username, result.remarks) == ("zoe", (Remark.EMAIL_AMBIGUOUS,))


def test_row_3_else_the_smallest_username() -> None:
    users = directory({"username": "zoe", "email": "ANN@example.com"}, ANN)
    (result,) = users.apply(identify(email="ann@example.com"))
    assert result.username == "ann"


def test_row_3_then_row_2_if_the_user_id_finds_another() -> None:
    users = directory(ANN, {"username": "zoe", "email": "ANN@example.com"}, BEN)
    (result,) = users.apply(identify(email="ann@example.com", user_id="ben"))
    assert (result.username, result.remarks) == ("ann", (Remark.EMAIL_AMBIGUOUS, Remark.EMAIL_CONFLICT))


@pytest.mark.parametrize("email", [None, "new@example.com"])
def test_row_4_without_a_hit_of_the_address_the_user_id_finds_its_user(email: str | None) -> None:
    users = directory()
    (result,) = users.apply(identify(email=email, user_id="ben", anonymous_id="d-ann"))
    assert (result.username, result.matched_by, result.linked) == ("ben", MatchedBy.USER_ID, True)
    assert users.owner("d-ann") == "ben"


def test_row_4_a_redirect_finds_its_user() -> None:
    users = directory({"username": "ben", "redirects": ["ben_old"]})
    (result,) = users.apply(identify(user_id="ben_old", attributes=PLAN))
    assert (result.username, result.matched_by) == ("ben", MatchedBy.USER_ID)
    assert users.usernames() == ["ben"]


@pytest.mark.parametrize("make", [identify, track])
def test_row_5_an_unknown_user_id_is_created_with_its_address(make: type) -> None:
    users = directory()
    (result,) = users.apply(make(user_id="new", email="new@example.com", anonymous_id="d-9"))
    assert (result.username, result.matched_by, result.values_written) == ("new", MatchedBy.CREATED, 1)
    assert users.export()[2]["email"] == "new@example.com"
    assert users.owner("d-9") == "new"


@pytest.mark.parametrize("make", [identify, track])
@pytest.mark.parametrize("at", [9, 10])
def test_row_5_a_deleted_user_id_is_not_created_by_a_call_that_is_not_newer(make: type, at: int) -> None:
    users = directory()
    users.apply(delete(10, user_id="ben"))
    (result,) = users.apply(make(at, user_id="ben", attributes=PLAN))
    assert (result.outcome, result.reason) == (CallOutcome.IGNORED, IgnoredReason.DELETED)
    assert users.usernames() == ["ann"]


def test_row_5_a_newer_call_creates_it_anew_and_older_ones_stay_ignored() -> None:
    users = directory({"username": "ben", "attributes": {"secret": 1}})
    users.apply_each(delete(10, user_id="ben"), identify(11, user_id="ben"))
    (result,) = users.apply(identify(9, user_id="ben", attributes={"secret": 2}))
    assert result.reason is IgnoredReason.DELETED
    assert users.export()[0]["attributes"] == {}


def test_row_6_a_device_stands_for_its_user() -> None:
    users = directory()
    (result,) = users.apply(identify(email="new@example.com", anonymous_id="d-ben", attributes=PLAN))
    assert (result.username, result.matched_by, result.linked) == ("ben", MatchedBy.DEVICE, True)
    assert users.user("ben").devices["d-ben"].since == 10
    assert users.export()[1]["email"] == "new@example.com"


def test_row_6_a_call_as_old_as_the_link_is_of_the_user() -> None:
    users = directory()
    _, result = users.apply(track(10, user_id="ben", anonymous_id="d-9"), track(10, "Other", anonymous_id="d-9"))
    assert result.username == "ben"


def test_row_6_traits_of_a_device_without_user_stay_there_with_address_and_names() -> None:
    users = directory()
    (result,) = users.apply(identify(email="new@example.com", firstname="Al", anonymous_id="d-9", attributes=PLAN))
    assert (result.username, result.matched_by, result.values_written) == (None, MatchedBy.NONE, 3)
    assert users.export()[2:] == [{"anonymousId": "d-9", "attributes": PLAN}]
    users.apply(track(11, user_id="new", anonymous_id="d-9"))
    (created,) = [line for line in users.export() if line.get("username") == "new"]
    assert (created["email"], created["firstname"], created["attributes"]) == ("new@example.com", "Al", PLAN)
    assert not any("anonymousId" in line for line in users.export())


def test_row_7_a_call_older_than_the_link_may_be_of_another_person() -> None:
    users = directory()
    users.apply(identify(10, user_id="ben", anonymous_id="d-9"))
    identified, tracked = users.apply(identify(9, anonymous_id="d-9", attributes=PLAN), track(9, anonymous_id="d-9"))
    assert identified.reason is IgnoredReason.STALE
    assert (tracked.outcome, tracked.username) == (CallOutcome.APPLIED, None)
    assert users.triggers()[0]["username"] is None
    assert plan_of(users, "ben") is None


@pytest.mark.parametrize(("at", "is_stale"), [(9, True), (10, True), (11, False)])
def test_row_7_a_call_up_to_the_sign_out_of_all_devices_is_nobodys(at: int, is_stale: bool) -> None:
    users = directory()
    users.apply_each(track(5, user_id="ben", anonymous_id="d-9"), sign_out(10, user_id="ben"))
    (result,) = users.apply(identify(at, anonymous_id="d-9", attributes=PLAN))
    assert result.reason is (IgnoredReason.STALE if is_stale else None)
    assert plan_of(users, "ben") is None


def test_row_8_an_unknown_address_alone_creates_nobody() -> None:
    users = directory()
    (result,) = users.apply(identify(email="new@example.com"))
    assert result.reason is IgnoredReason.UNMATCHED


@pytest.mark.parametrize("make", [identify, track, sign_out])
def test_a_call_without_id_and_address_is_ignored(make: type) -> None:
    (result,) = directory().apply(make())
    assert result.reason is IgnoredReason.NO_IDENTITY


def test_match_user_id_never_finds_by_address_and_still_stores_it() -> None:
    users = directory(rules=Rules(match=("user_id",)))
    created, alone = users.apply(identify(email="ann@example.com", user_id="new"), identify(email="ann@example.com"))
    assert created.matched_by is MatchedBy.CREATED
    assert users.user("new").person.email is not None
    assert alone.reason is IgnoredReason.UNMATCHED


def test_match_user_id_first_lets_the_user_id_win() -> None:
    users = directory(rules=Rules(match=("user_id", "email")))
    conflict, by_email = users.apply(
        identify(email="ann@example.com", user_id="ben", anonymous_id="d-9"),
        identify(11, email="ann@example.com", user_id="nobody"),
    )
    assert (conflict.username, conflict.remarks, conflict.linked) == ("ben", (Remark.EMAIL_CONFLICT,), False)
    assert by_email.matched_by is MatchedBy.EMAIL


def test_match_email_alone_creates_users_and_never_finds_them_by_name() -> None:
    users = directory(rules=Rules(match=("email",)))
    taken, created = users.apply(identify(user_id="ben"), identify(user_id="new", email="new@example.com"))
    assert taken.reason is IgnoredReason.UNMATCHED
    assert created.matched_by is MatchedBy.CREATED


def test_addresses_are_compared_without_case_and_composition_but_not_across_letters() -> None:
    users = directory({"username": "ann", "email": "Zo\u00eb@example.com"})
    same, other = users.apply(identify(email="ZOE\u0308@EXAMPLE.COM"), identify(email="zoe@example.com", user_id="n"))
    assert same.username == "ann"
    assert other.matched_by is MatchedBy.CREATED
    assert users.export()[0]["email"] == "Zo\u00eb@example.com", "the stored spelling stays"
