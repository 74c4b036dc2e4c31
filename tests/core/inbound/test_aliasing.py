"""Alias calls, row by row."""

import pytest

from streamer.core.inbound.call import IgnoredReason, MatchedBy, Remark
from streamer.core.inbound.rules import Rules
from tests.core.inbound.memory_directory import MemoryDirectory, alias, delete, identify, sign_out, track

PAUL = {"username": "paul", "email": "p@example.com", "anonymousIds": ["d-p"], "attributes": {"plan": "Free", "p": 1}}
NINA = {"username": "nina", "anonymousIds": ["d-n"], "attributes": {"plan": "Pro"}, "redirects": ["nina_old"]}


def test_without_user_id_there_is_no_identity() -> None:
    (result,) = MemoryDirectory.of(PAUL).apply(alias(previous_id="paul", anonymous_id="d-p"))
    assert result.reason is IgnoredReason.NO_IDENTITY


@pytest.mark.parametrize(
    ("previous_id", "user_id"), [("nina", "nina"), ("nina_old", "nina"), ("nina", "nina_old"), ("new", "new")]
)
def test_an_alias_of_a_user_to_themselves_is_ignored_so_that_there_is_no_cycle(previous_id: str, user_id: str) -> None:
    users = MemoryDirectory.of(NINA)
    (result,) = users.apply(alias(previous_id=previous_id, user_id=user_id, anonymous_id="d-other"))
    assert result.reason is IgnoredReason.ALIAS_SAME_USER
    assert users.export() == MemoryDirectory.of(NINA).export()


def test_the_device_of_the_same_user_without_previous_id_is_ignored_too() -> None:
    (result,) = MemoryDirectory.of(NINA).apply(alias(user_id="nina", anonymous_id="d-n"))
    assert result.reason is IgnoredReason.ALIAS_SAME_USER


def test_a_known_user_gets_the_new_name_and_keeps_everything() -> None:
    users = MemoryDirectory.of(PAUL)
    (result,) = users.apply(alias(previous_id="paul", user_id="pavel", anonymous_id="d-9"))
    assert (result.username, result.matched_by, result.linked, result.remarks) == (
        "pavel", MatchedBy.USER_ID, True, (),
    )  # fmt: skip
    (line,) = users.export()
    assert (line["username"], line["redirects"], line["anonymousIds"]) == ("pavel", ["paul"], ["d-9", "d-p"])
    assert line["attributes"] == PAUL["attributes"]
    assert users.user("pavel").named == 10


def test_a_chain_of_aliases_leaves_redirects_to_the_user_itself() -> None:
    users = MemoryDirectory.of(PAUL)
    users.apply(alias(1, previous_id="paul", user_id="b"), alias(2, previous_id="paul", user_id="c"))
    users.apply(alias(3, previous_id="b", user_id="d"))
    (line,) = users.export()
    assert (line["username"], line["redirects"]) == ("d", ["b", "c", "paul"])


def test_an_alias_older_than_the_name_only_leads_there() -> None:
    users = MemoryDirectory.of(PAUL)
    users.apply(alias(10, previous_id="paul", user_id="pavel"))
    (result,) = users.apply(alias(9, previous_id="paul", user_id="pablo"))
    assert (result.username, result.remarks) == ("pavel", (Remark.ALIAS_STALE,))
    assert users.export()[0]["redirects"] == ["pablo", "paul"]


def test_an_alias_as_old_as_the_name_renames() -> None:
    users = MemoryDirectory.of(PAUL)
    users.apply(alias(10, previous_id="paul", user_id="pavel"), alias(10, previous_id="paul", user_id="pablo"))
    assert users.usernames() == ["pablo"]


def test_a_name_that_an_alias_created_is_as_new_as_the_alias() -> None:
    users = MemoryDirectory()
    users.apply(alias(10, previous_id="paul", user_id="pavel"))
    (result,) = users.apply(alias(9, previous_id="paul", user_id="pablo"))
    assert (result.username, result.remarks) == ("pavel", (Remark.ALIAS_STALE,))


def test_redirects_keep_their_times_when_users_become_one() -> None:
    users = MemoryDirectory.of(NINA)
    users.apply_each(
        alias(1, previous_id="early", user_id="paul"),
        alias(5, previous_id="paul", user_id="nina"),
    )
    assert users.redirects["early"][1] == 1
    assert users.redirects["paul"][1] == 5


def test_two_known_users_become_one_and_the_target_keeps_its_values() -> None:
    users = MemoryDirectory.of(PAUL, NINA)
    (result,) = users.apply(alias(previous_id="paul", user_id="nina_old"))
    assert (result.username, result.remarks) == ("nina", (Remark.ALIAS_MERGE,))
    (line,) = users.export()
    assert line["attributes"] == {"plan": "Pro", "p": 1}
    assert (line["email"], line["anonymousIds"], line["redirects"]) == (
        "p@example.com", ["d-n", "d-p"], ["nina_old", "paul"],
    )  # fmt: skip


def test_after_a_merge_the_address_finds_the_target_in_the_same_slice() -> None:
    users = MemoryDirectory.of(PAUL, NINA)
    *_, found = users.apply(alias(previous_id="paul", user_id="nina"), track(11, email="P@example.com"))
    assert found.username == "nina"


def test_a_merge_keeps_the_later_sign_out_of_all_devices() -> None:
    users = MemoryDirectory.of(PAUL, NINA)
    users.apply_each(sign_out(5, user_id="paul"), alias(10, previous_id="paul", user_id="nina"))
    users.apply(track(4, user_id="paul", anonymous_id="d-late"))
    assert users.owner("d-late") is None


@pytest.mark.parametrize("is_known", [True, False])
def test_a_device_is_linked_to_the_user_who_is_created_if_missing(is_known: bool) -> None:
    users = MemoryDirectory.of({"anonymousId": "d", "attributes": {"utm": 1}} if is_known else PAUL)
    (result,) = users.apply(alias(previous_id="d", anonymous_id="d", user_id="new"))
    assert (result.username, result.matched_by, result.linked) == ("new", MatchedBy.CREATED, True)
    assert users.owner("d") == "new"
    assert users.user("new").redirects == {}
    assert users.export()[0]["attributes"] == ({"utm": 1} if is_known else {})


def test_a_known_device_is_one_without_being_the_anonymous_id_and_its_user_is_not_renamed() -> None:
    users = MemoryDirectory.of(PAUL)
    (result,) = users.apply(alias(previous_id="d-p", user_id="new", anonymous_id="d-9"))
    assert (result.username, result.remarks) == ("new", ())
    assert users.usernames() == ["new", "paul"]
    assert (users.owner("d-p"), users.owner("d-9")) == ("new", "new")


def test_previous_is_looked_for_as_a_user_first() -> None:
    users = MemoryDirectory.of(PAUL, {"username": "both"}, {"anonymousId": "both", "attributes": {"x": 1}})
    users.apply(alias(previous_id="both", user_id="new"))
    assert users.usernames() == ["new", "paul"]


def test_without_previous_id_the_user_of_the_device_is_renamed() -> None:
    users = MemoryDirectory.of(PAUL)
    (result,) = users.apply(alias(user_id="pavel", anonymous_id="d-p"))
    assert (result.username, result.matched_by) == ("pavel", MatchedBy.DEVICE)
    assert users.usernames() == ["pavel"]


def test_without_previous_id_the_user_of_the_device_is_merged_into_a_known_one() -> None:
    users = MemoryDirectory.of(PAUL, NINA)
    (result,) = users.apply(alias(user_id="nina", anonymous_id="d-p"))
    assert result.remarks == (Remark.ALIAS_MERGE,)
    assert users.usernames() == ["nina"]


def test_a_device_whose_link_is_newer_stands_for_nobody() -> None:
    users = MemoryDirectory()
    users.apply(track(10, user_id="ann", anonymous_id="d"))
    (result,) = users.apply(alias(9, user_id="new", anonymous_id="d"))
    assert (result.username, result.linked, result.remarks) == ("new", False, (Remark.LINK_STALE,))
    assert users.usernames() == ["ann", "new"]


def test_without_previous_id_a_device_of_nobody_is_linked() -> None:
    users = MemoryDirectory()
    (result,) = users.apply(alias(user_id="new", anonymous_id="d"))
    assert (result.linked, result.remarks, users.owner("d")) == (True, (), "new")


@pytest.mark.parametrize("is_known", [True, False])
def test_an_unknown_previous_id_becomes_a_redirect(is_known: bool) -> None:
    users = MemoryDirectory.of(*([NINA] if is_known else []))
    (result,) = users.apply(alias(previous_id="early", user_id="nina"))
    assert (result.username, result.remarks) == ("nina", (Remark.ALIAS_UNKNOWN_PREVIOUS,))
    assert result.matched_by is (MatchedBy.USER_ID if is_known else MatchedBy.CREATED)
    assert "early" in users.user("nina").redirects
    users.apply(identify(5, user_id="early", attributes={"x": 1}))
    assert users.usernames() == ["nina"], "the first identify of the old name came later"


def test_a_user_id_alone_is_kept_or_created_and_counted() -> None:
    (result,) = MemoryDirectory().apply(alias(user_id="new"))
    assert (result.username, result.remarks) == ("new", (Remark.ALIAS_UNKNOWN_PREVIOUS,))


@pytest.mark.parametrize(
    "call",
    [
        alias(10, previous_id="early", user_id="gone"),
        alias(10, previous_id="gone", user_id="nina"),
        alias(10, previous_id="paul", user_id="gone"),
        alias(10, user_id="gone", anonymous_id="d-9"),
        alias(10, user_id="gone", previous_id="d-p"),
    ],
    ids=["create", "redirect", "rename", "device", "known device"],
)
def test_an_alias_does_not_bring_back_a_deleted_id(call: object) -> None:
    users = MemoryDirectory.of(PAUL, NINA)
    users.apply(delete(10, user_id="gone"))
    before = users.export()
    (result,) = users.apply(call)  # type: ignore[arg-type]
    assert result.reason is IgnoredReason.DELETED
    assert users.export() == before


def test_over_the_limit_the_oldest_redirect_goes() -> None:
    users = MemoryDirectory.of({"username": "a"}, rules=Rules(max_redirects_per_user=2))
    results = users.apply(*(alias(at, previous_id="abcd"[at - 1], user_id="abcd"[at]) for at in (1, 2, 3)))
    assert [result.remarks for result in results] == [(), (), (Remark.REDIRECT_LIMIT,)]
    assert users.export()[0]["redirects"] == ["b", "c"]
