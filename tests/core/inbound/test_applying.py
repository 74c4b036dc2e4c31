"""Tracked events, deletions, groups, repeats."""

from dataclasses import replace

import orjson
import pytest

from streamer.core.inbound.call import CallOutcome, Ignored, IgnoredReason, MatchedBy, Rejected, Remark
from streamer.core.inbound.rules import Rules
from streamer.core.model import DeadLetterReason, Json, Stage
from tests.core.inbound.memory_directory import (
    MemoryDirectory,
    alias,
    delete,
    group,
    identify,
    is_marked,
    sign_out,
    track,
)

ANN = {"username": "ann", "anonymousIds": ["d"], "attributes": {"plan": "Free"}, "redirects": ["ann_old"]}


def test_a_tracked_event_makes_one_trigger_and_writes_no_value() -> None:
    users = MemoryDirectory.of(ANN, rules=Rules(environment="prod"))
    call = track(
        1_780_300_020_000_000, user_id="ann_old", anonymous_id="d", email="new@example.com", attributes={"plan": "Pro"},
        properties={"a": {"b": [None, 9_007_199_254_740_993]}}, webhook="production", authenticated=False,
        received="2026-06-01T07:47:00.041Z", message_id="m-1",
    )  # fmt: skip
    (result,) = users.apply(call)
    assert (result.outcome, result.username, result.values_written) == (CallOutcome.APPLIED, "ann", 0)
    (trigger,) = users.outgoing
    assert (trigger.topic, trigger.key) == ("surveys.triggers", "ann")
    assert trigger.value == (
        b'{"messageId":"m-1","event":"Report Exported","username":"ann","anonymousId":"d","properties":{"a":'
        b'{"b":[null,9007199254740993]}},"timestamp":"2026-06-01T07:47:00.000Z","environment":"prod"}'
    )
    assert trigger.headers == (
        ("streamer.schema", "trigger.1"),
        ("streamer.webhook", "production"),
        ("streamer.received", "2026-06-01T07:47:00.041Z"),
        ("streamer.authenticated", "false"),
    )
    assert users.export()[0]["email"] is None


def test_an_event_of_a_device_without_user_is_a_trigger_keyed_by_the_device() -> None:
    users = MemoryDirectory()
    (result,) = users.apply(track(anonymous_id="d"))
    assert (result.outcome, result.username, result.matched_by) == (CallOutcome.APPLIED, None, MatchedBy.NONE)
    assert users.outgoing[0].key == "d"
    assert users.triggers()[0]["username"] is None
    assert "d" in users.devices


@pytest.mark.parametrize(
    ("rules", "events"),
    [
        (Rules(trigger_events=frozenset({"B"})), ["B"]),
        (Rules(trigger_events=frozenset()), []),
        (Rules(anonymous_triggers=False), ["A", "B"]),
        (Rules(max_trigger_age_seconds=5), ["B", None]),
        (Rules(), ["A", "B", None]),
    ],
    ids=["registered events", "no event", "known users", "recent events", "all"],
)
def test_settings_leave_out_triggers_and_the_call_is_applied_all_the_same(
    rules: Rules, events: list[str | None]
) -> None:
    users = MemoryDirectory.of(ANN, rules=rules)
    results = users.apply(
        track(1_000_000, "A", user_id="ann", received="1970-01-01T00:00:06.000001Z"),
        track(1_000_001, "B", user_id="ann", received="1970-01-01T00:00:06.000001Z"),
        track(6_000_000, "C", anonymous_id="d-nobody", received="1970-01-01T00:00:06.000001Z"),
    )
    assert {result.outcome for result in results} == {CallOutcome.APPLIED}
    assert [trigger["event"] for trigger in users.triggers()] == [event or "C" for event in events]
    assert users.owner("d-nobody") is None


def test_triggers_go_out_in_the_order_of_the_calls_and_after_the_profiles() -> None:
    users = MemoryDirectory()
    users.apply(track(2, "first", user_id="ann"), identify(3, user_id="ben"), track(1, "second", user_id="ann"))
    keys = [(record.topic, record.key) for record in users.outgoing]
    assert keys[:2] == [("surveys.profiles", "ann"), ("surveys.profiles", "ben")]
    assert [trigger["event"] for trigger in users.triggers()] == ["first", "second"]


def test_a_deletion_takes_everything_whatever_came_later_and_marks_all_names_and_devices() -> None:
    users = MemoryDirectory.of(ANN)
    users.apply(identify(20, user_id="ann", anonymous_id="d2"))
    (result,) = users.apply(delete(10, user_id="ann_old"))
    assert (result.outcome, result.username) == (CallOutcome.APPLIED, "ann")
    assert (users.export(times=True), users.redirects, users.devices) == ([], {}, {})
    assert all(is_marked(users, user=name) for name in ("ann", "ann_old"))
    assert all(is_marked(users, device=name) for name in ("d", "d2"))
    assert set(users.marks.values()) == {10}


def test_calls_of_before_the_deletion_bring_nothing_back() -> None:
    users = MemoryDirectory.of(ANN)
    users.apply(delete(10, user_id="ann"))
    identified, by_device, tracked = users.apply_each(
        identify(10, user_id="ann_old", anonymous_id="d"),
        identify(10, anonymous_id="d", attributes={"plan": "Pro"}),
        track(10, anonymous_id="d"),
    )
    assert (identified.reason, by_device.reason) == (IgnoredReason.DELETED, IgnoredReason.STALE)
    assert (tracked.outcome, tracked.username) == (CallOutcome.APPLIED, None)
    assert users.export() == []


def test_a_device_of_a_deleted_user_takes_newer_links_only() -> None:
    users = MemoryDirectory.of(ANN)
    users.apply(delete(10, user_id="ann"))
    late, newer = users.apply_each(
        track(10, user_id="ben", anonymous_id="d"), track(11, user_id="ben", anonymous_id="d")
    )
    assert (late.remarks, late.linked, newer.linked) == ((Remark.LINK_STALE,), False, True)


def test_a_deletion_of_an_unknown_user_is_marked_and_ignored() -> None:
    users = MemoryDirectory()
    assert users.apply(delete(10, user_id="ann"))[0].reason is IgnoredReason.UNKNOWN_USER
    assert is_marked(users, user="ann")
    assert users.apply(delete(10))[0].reason is IgnoredReason.NO_IDENTITY


def test_an_older_deletion_does_not_take_back_a_newer_mark() -> None:
    users = MemoryDirectory()
    users.apply_each(delete(10, user_id="ann"), delete(5, user_id="ann"))
    assert users.apply(identify(9, user_id="ann"))[0].reason is IgnoredReason.DELETED


def test_a_group_writes_attributes_of_the_user_who_is_there_and_nothing_else() -> None:
    users = MemoryDirectory.of(ANN, {"username": "ben", "email": "b@example.com"})
    company: dict[str, Json] = {"group.id": "acme", "group.plan": "Pro"}
    by_id, by_device = users.apply(
        group(1, user_id="ann", email="b@example.com", firstname="Acme", attributes=company),
        group(2, anonymous_id="d", attributes={"group.size": 3}),
    )
    assert (by_id.username, by_id.values_written, by_device.username) == ("ann", 2, "ann")
    line = users.export()[0]
    assert line["attributes"] == {"plan": "Free", "group.size": 3, **company}
    assert (line["email"], line["firstname"]) == (None, None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"user_id": "new"}, IgnoredReason.UNKNOWN_USER),
        ({"anonymous_id": "d9"}, IgnoredReason.UNKNOWN_USER),
        ({"anonymous_id": "d10"}, IgnoredReason.STALE),
        ({"email": "b@example.com"}, IgnoredReason.NO_IDENTITY),
    ],
)
def test_a_group_creates_nobody(fields: dict[str, Json], reason: IgnoredReason) -> None:
    users = MemoryDirectory.of({"username": "ben", "email": "b@example.com"})
    users.apply(track(10, user_id="ben", anonymous_id="d10"))
    (result,) = users.apply(group(5, attributes={"group.id": "acme"}, **fields))
    assert result.reason is reason
    assert users.usernames() == ["ben"]
    assert "d9" not in users.devices, "an ignored call makes no device known"


@pytest.mark.parametrize("is_one_slice", [True, False])
def test_the_first_of_two_calls_with_one_message_id_wins(is_one_slice: bool) -> None:
    users = MemoryDirectory()
    first = identify(1, user_id="ann", message_id="m")
    calls = (first, replace(first, user_id="ben", remarks=(Remark.ATTRIBUTE_VALUE,)))
    results = users.apply(*calls) if is_one_slice else users.apply_each(*calls)
    assert [result.outcome for result in results] == [CallOutcome.APPLIED, CallOutcome.DUPLICATE]
    assert results[1].remarks == ()
    assert users.usernames() == ["ann"]


def test_a_call_ignored_while_it_was_read_counts_once_as_well() -> None:
    users = MemoryDirectory()
    ignored = Ignored(
        message_id="m", type_label="page", reason=IgnoredReason.NOT_AN_ACTION, remarks=(Remark.ATTRIBUTE_NAME,)
    )
    first, second, third = users.apply_each(ignored, ignored, identify(user_id="ann", message_id="m"))
    assert (first.outcome, first.reason, first.remarks) == (
        CallOutcome.IGNORED, IgnoredReason.NOT_AN_ACTION, (Remark.ATTRIBUTE_NAME,),
    )  # fmt: skip
    assert [second.outcome, third.outcome] == [CallOutcome.DUPLICATE] * 2
    assert list(users.messages.values()) == ["ignored"]


def test_a_call_ignored_while_it_was_applied_counts_once_as_well() -> None:
    users = MemoryDirectory()
    call = sign_out(user_id="ann", remarks=(Remark.ATTRIBUTE_VALUE,))
    first, second = users.apply_each(call, call)
    assert (first.outcome, first.remarks) == (CallOutcome.IGNORED, (Remark.ATTRIBUTE_VALUE,))
    assert second.outcome is CallOutcome.DUPLICATE


def test_a_rejected_call_is_a_duplicate_if_its_message_id_was_applied_and_is_not_remembered_otherwise() -> None:
    users = MemoryDirectory()
    users.apply(identify(user_id="ann", message_id="m"))
    rejected = [
        Rejected(
            type_label="identify",
            reason=DeadLetterReason.SCHEMA_INVALID,
            stage=Stage.VALIDATE,
            detail="",
            message_id=message_id,
        )
        for message_id in ("m", "other", None)
    ]
    results = users.apply(*rejected, identify(user_id="ben", message_id="other"))
    assert [result.outcome for result in results] == [
        CallOutcome.DUPLICATE, CallOutcome.DEAD_LETTERED, CallOutcome.DEAD_LETTERED, CallOutcome.APPLIED,
    ]  # fmt: skip


def revisions(users: MemoryDirectory) -> list[tuple[str, str, int | None, str | None]]:
    """Key, change, revision and successor of each profile record."""
    listed = []
    for record in users.profiles():
        headers = dict(record.headers)
        assert headers["streamer.schema"] == "profile.1"
        revision = None if record.value is None else orjson.loads(record.value)["revision"]
        listed.append((record.key, headers["streamer.change"], revision, headers.get("streamer.successor")))
    return listed


def test_only_the_last_profile_of_a_slice_goes_out_with_the_time_of_its_call() -> None:
    users = MemoryDirectory()
    users.apply(identify(2_000_000, user_id="ann", attributes={"a": 1}), identify(1_000, user_id="ann", firstname="A"))
    assert revisions(users) == [("ann", "created", 2, None)]
    profile = users.topic("surveys.profiles")["ann"]
    assert profile["updatedAt"] == "1970-01-01T00:00:00.001Z"
    assert list(profile) == [
        "username", "email", "firstname", "lastname", "anonymousIds", "attributes", "redirects",
        "environment", "revision", "updatedAt",
    ]  # fmt: skip


def test_no_profile_goes_out_if_the_line_stays_and_times_are_renewed() -> None:
    users = MemoryDirectory()
    users.apply(identify(1, user_id="ann", anonymous_id="d", attributes={"a": 1}))
    users.apply(identify(5, user_id="ann", anonymous_id="d", attributes={"a": 1}))
    assert revisions(users) == [("ann", "created", 1, None)]
    assert users.user("ann").person.attributes["a"].at == 5
    users.apply(identify(6, user_id="ann", attributes={"a": True}))
    assert revisions(users)[1:] == [("ann", "updated", 2, None)], "1 and true differ"


def test_both_users_of_a_device_that_changes_hands_go_out() -> None:
    users = MemoryDirectory()
    users.apply(track(1, user_id="ann", anonymous_id="d"))
    users.apply(track(2, user_id="ben", anonymous_id="d"))
    assert sorted(revisions(users)[1:]) == [("ann", "updated", 2, None), ("ben", "created", 1, None)]


def test_a_name_that_came_and_went_in_one_slice_needs_no_record() -> None:
    users = MemoryDirectory()
    users.apply(identify(1, user_id="ann"), delete(2, user_id="ann"))
    users.apply(
        identify(3, user_id="b"), alias(4, previous_id="b", user_id="c"), alias(5, previous_id="c", user_id="d")
    )
    assert revisions(users) == [("d", "created", 3, None)]


def test_a_name_that_was_out_before_gets_its_tombstone_after_the_last_new_name() -> None:
    users = MemoryDirectory()
    users.apply(identify(1, user_id="a"))
    users.apply(alias(2, previous_id="a", user_id="b"), alias(3, previous_id="b", user_id="c"))
    assert revisions(users)[1:] == [("c", "renamed", 3, None), ("a", "renamed", None, "c")]


def test_a_merge_and_a_rename_of_the_target_lead_to_the_last_name() -> None:
    users = MemoryDirectory.of({"username": "p"}, {"username": "n"})
    users.apply(alias(2, previous_id="p", user_id="n"), alias(3, previous_id="n", user_id="m"))
    assert revisions(users) == [("m", "renamed", 2, None), ("p", "merged", None, "m"), ("n", "renamed", None, "m")]


def test_a_merge_names_its_successor() -> None:
    users = MemoryDirectory.of({"username": "p"}, {"username": "n"})
    users.apply(alias(2, previous_id="p", user_id="n"))
    assert revisions(users) == [("n", "merged", 1, None), ("p", "merged", None, "n")]


def test_names_of_a_user_that_is_deleted_in_the_end_are_deleted() -> None:
    users = MemoryDirectory.of({"username": "p"}, {"username": "n"}, {"username": "r"})
    users.apply(
        alias(2, previous_id="p", user_id="n"),
        delete(3, user_id="n"),
        alias(4, previous_id="r", user_id="s"),
        delete(5, user_id="s"),
    )
    assert sorted(revisions(users)) == [(name, "deleted", None, None) for name in ("n", "p", "r")]


def test_a_name_deleted_and_created_anew_is_free_first_and_its_revision_starts_again() -> None:
    users = MemoryDirectory()
    users.apply_each(identify(1, user_id="a", firstname="A"), identify(2, user_id="a", firstname="B"))
    users.apply(delete(3, user_id="a"), identify(4, user_id="a"))
    assert revisions(users)[2:] == [("a", "deleted", None, None), ("a", "created", 1, None)]
    assert users.export()[0]["firstname"] is None


def test_a_name_freed_by_a_rename_and_taken_by_another_has_its_tombstone_in_between() -> None:
    users = MemoryDirectory.of({"username": "a"}, rules=Rules(max_redirects_per_user=1))
    users.apply(
        alias(1, previous_id="a", user_id="b"), alias(2, previous_id="b", user_id="c"), identify(3, user_id="a")
    )
    assert revisions(users) == [("c", "renamed", 2, None), ("a", "renamed", None, "c"), ("a", "created", 1, None)]
