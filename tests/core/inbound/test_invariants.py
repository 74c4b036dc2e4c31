"""What holds whatever calls come, in whatever order and in slices of whatever size."""

from dataclasses import replace

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.core.inbound import email
from streamer.core.inbound.call import Action, Call, CallOutcome, Traits
from streamer.core.inbound.concern import concern
from streamer.core.inbound.directory import User
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.view import View
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory, in_slices

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy with something else."""

# Few names, so that calls meet. Names and devices overlap, as a producer without care may send them.
NAMES = ["a", "b", "c", "d1"]
DEVICES = ["d1", "d2", "d3", "a"]
EMAILS = ["x@example.com", "X@Example.com", "y@example.com"]
TINY = Rules(max_attributes=2, max_devices_per_user=2, max_redirects_per_user=1)
ORDERED_BY_ID = Rules(match=("user_id", "email"))
RULES = [Rules(), TINY, ORDERED_BY_ID, Rules(match=("user_id",)), Rules(match=("email",)), Rules(remove_nulls=True)]

attributes = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.sampled_from([1, True, 1.0, "", [], "v"]), max_size=3)
traits = st.builds(
    Traits,
    email=st.none() | st.sampled_from(EMAILS),
    firstname=st.none() | st.sampled_from(["Ann", "Ben"]),
    attributes=attributes,
)


def calls_of(*actions: Action, times: st.SearchStrategy[int]) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        action=st.sampled_from(actions),
        message_id=st.uuids().map(str),
        at=times,
        user_id=st.none() | st.sampled_from(NAMES),
        anonymous_id=st.none() | st.sampled_from(DEVICES),
        previous_id=st.none() | st.sampled_from(NAMES + DEVICES),
        traits=traits,
        event=st.just("Report Exported"),
    )


any_calls = st.lists(calls_of(*Action, times=st.integers(0, 8)), max_size=14)


def verify_view(view: View) -> None:
    """Ways to a user and what they lead to agree."""
    index = view._index
    assert not index.users.keys() & index.redirects.keys()
    for name, user in index.users.items():
        assert user.username == name
        assert all(index.redirects[old] is user for old in user.redirects)
        assert all(index.devices[one] is device and device.user is user for one, device in user.devices.items())
        address = user.person.email
        assert address is None or user in index._by_email[email.compared(address.value)]
    assert set(index.redirects.values()) <= set(index.users.values())
    assert all(old in user.redirects for old, user in index.redirects.items())
    for device in index.devices.values():
        assert device.user is None or device.user.devices[device.anonymous_id] is device
        assert device.user is None or index.users[device.user.username] is device.user
    found = {user for users in index._by_email.values() for user in users}
    assert found <= set(index.users.values())
    assert sum(map(len, index._by_email.values())) == len(found), "a user is found by one address at most"


@given(any_calls, st.sampled_from(RULES))
@PATIENT
def test_ways_to_users_agree_and_redirects_never_chain_or_are_usernames(calls: list[Call], rules: Rules) -> None:
    view = View([], [], {}, (), rules)
    for call in calls:
        view.apply(call)
        verify_view(view)


@given(any_calls, any_calls, st.lists(st.integers(1, 5), max_size=6), st.sampled_from(RULES))
@settings(PATIENT, max_examples=200)
def test_slices_of_any_size_do_the_same_as_one_call_after_the_other(
    before: list[Call], calls: list[Call], sizes: list[int], rules: Rules
) -> None:
    one_by_one, sliced = MemoryDirectory(rules), MemoryDirectory(rules)
    one_by_one.apply_each(*before)
    sliced.apply_each(*before)
    results = one_by_one.apply_each(*calls)
    assert [result for part in in_slices(calls, sizes) for result in sliced.apply(*part)] == results
    assert sliced.export(times=True) == one_by_one.export(times=True)
    assert sliced.marks == one_by_one.marks
    assert sliced.messages == one_by_one.messages
    assert sliced.topic("surveys.profiles") == one_by_one.topic("surveys.profiles")
    assert sliced.triggers() == one_by_one.triggers()


@given(any_calls, st.lists(st.integers(1, 5), max_size=6), st.sampled_from(RULES))
@PATIENT
def test_published_profiles_are_the_directory(calls: list[Call], sizes: list[int], rules: Rules) -> None:
    directory = MemoryDirectory(rules)
    for part in in_slices(calls, sizes):
        directory.apply(*part)
    published = directory.topic("surveys.profiles")
    for profile in published.values():
        assert profile.pop("environment") is None
        assert profile.pop("revision") >= 1
        assert profile.pop("updatedAt") is not None
    assert list(published.values()) == published_order(directory.export(), published)


def published_order(lines: list[Json], published: dict[str, Json]) -> list[Json]:
    users = {line["username"]: line for line in lines if "username" in line}
    assert users.keys() == published.keys()
    return [users[name] for name in published]


@given(any_calls, st.lists(st.integers(1, 5), max_size=6))
@PATIENT
def test_revisions_of_a_name_grow_and_start_again_only_after_a_tombstone(calls: list[Call], sizes: list[int]) -> None:
    directory = MemoryDirectory(TINY)
    for part in in_slices(calls, sizes):
        directory.apply(*part)
    last: dict[str, int] = {}
    for record in directory.profiles():
        if record.value is None:
            assert record.key in last, "a tombstone of a name that never went out"
            del last[record.key]
        else:
            revision = revision_of(record.value)
            assert revision > last.get(record.key, 0)
            last[record.key] = revision


def revision_of(value: bytes) -> int:
    return int(orjson.loads(value)["revision"])


ordered_calls = st.lists(
    calls_of(Action.IDENTIFY_USER, Action.TRACK_EVENT, Action.SIGN_OUT_USER, times=st.just(0)), max_size=9
).map(lambda calls: [by_time(call, at) for at, call in enumerate(calls, start=1)])


def by_time(call: Call, at: int) -> Call:
    """A call of those whose order of arrival does not matter: it names a userId or signs a device out, no e-mail."""
    return replace(call, at=at, user_id=call.user_id or "a", traits=replace(call.traits, email=None))


@given(ordered_calls, st.randoms())
@settings(PATIENT, max_examples=200)
def test_time_decides_and_not_the_order_of_arrival(calls: list[Call], random: object) -> None:
    shuffled = list(calls)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    in_order, out_of_order = MemoryDirectory(), MemoryDirectory()
    in_order.apply_each(*calls)
    out_of_order.apply_each(*shuffled)
    assert ends_of(out_of_order) == ends_of(in_order)


def ends_of(directory: MemoryDirectory) -> list[Json]:
    """Everything with its times, but the history of how it came about."""
    lines = directory.export(times=True)
    for line in lines:
        for key in ("changed", "revision", "left"):  # after two sign-outs of all devices, left may be either
            line["times"].pop(key, None)
    return lines


@given(any_calls, st.sampled_from(RULES))
@PATIENT
def test_a_call_that_comes_again_changes_nothing(calls: list[Call], rules: Rules) -> None:
    once, twice = MemoryDirectory(rules), MemoryDirectory(rules)
    results = once.apply_each(*calls)
    for call, result in zip(calls, results, strict=True):
        first, second = twice.apply(call, replace(call, traits=Traits(attributes={"other": 1})))
        assert first == result
        assert second.outcome is CallOutcome.DUPLICATE
        assert second.remarks == ()
        assert [again.outcome for again in twice.apply(call)] == [CallOutcome.DUPLICATE]
    assert twice.export(times=True) == once.export(times=True)
    assert twice.outgoing == once.outgoing


@given(
    st.lists(
        calls_of(
            Action.IDENTIFY_USER,
            Action.TRACK_EVENT,
            Action.SIGN_OUT_USER,
            Action.UPDATE_USER_ID,
            Action.GROUP_USER,
            times=st.integers(0, 8),
        ),
        max_size=14,
    )
)
@PATIENT
def test_nothing_of_a_user_goes_because_a_call_lacks_it(calls: list[Call]) -> None:
    directory = MemoryDirectory()
    for call in calls:
        before = {name: directory.user(name) for name in directory.usernames()}
        directory.apply(call)
        after = list(map(directory.user, directory.usernames()))
        for name, user in before.items():
            assert any(has_all_of(heir, user) for heir in after if name in {heir.username, *heir.redirects})


def has_all_of(heir: User, user: User) -> bool:
    values = (heir.person.email or not user.person.email) and (heir.person.firstname or not user.person.firstname)
    return bool(values) and user.person.attributes.keys() <= heir.person.attributes.keys()


@given(any_calls)
@PATIENT
def test_a_concern_does_not_depend_on_order_and_slices_add_up(calls: list[Call]) -> None:
    whole = concern(calls, Rules())
    parts = [concern([call], Rules()) for call in reversed(calls)]
    for wanted, *found in zip(whole, *parts, strict=True):
        assert wanted == frozenset().union(*found)


@given(ordered_calls, st.randoms())
@PATIENT
def test_the_directory_is_what_the_newest_call_about_each_thing_says(calls: list[Call], random: object) -> None:
    """Against a model that sorts by time, and so needs no times at all."""
    names: dict[str, dict[str, Json]] = {}
    owners: dict[str, str | None] = {}
    for call in calls:
        if call.action is not Action.SIGN_OUT_USER:
            line = names.setdefault(call.user_id or "", {"firstname": None, "attributes": {}})
            if call.action is Action.IDENTIFY_USER:
                line["firstname"] = call.traits.firstname or line["firstname"]
                line["attributes"].update(call.traits.attributes)
        if call.anonymous_id is not None:
            owners[call.anonymous_id] = None if call.action is Action.SIGN_OUT_USER else call.user_id
        elif call.action is Action.SIGN_OUT_USER:
            owners |= {name: None for name, owner in owners.items() if owner == call.user_id}
    random.shuffle(calls)  # type: ignore[attr-defined]
    directory = MemoryDirectory()
    directory.apply(*calls)
    found = {line["username"]: line for line in directory.export()}
    assert {
        name: {"firstname": line["firstname"], "attributes": line["attributes"]} for name, line in found.items()
    } == names
    assert {name: directory.owner(name) for name in directory.devices} == owners
