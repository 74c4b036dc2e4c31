"""How the traits of calls become values."""

import pytest

from streamer.core.inbound.call import REMOVE, Remark
from streamer.core.inbound.rules import Rules
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory, alias, identify


def line_after(*calls: Json, rules: Rules | None = None, attributes: Json = None) -> Json:
    """The only line of a directory with the user ann after the calls."""
    users = MemoryDirectory.of({"username": "ann", "attributes": attributes}, rules=rules)
    users.apply_each(*calls)
    (line,) = users.export()
    return line


def test_what_a_call_lacks_stays() -> None:
    line = line_after(identify(user_id="ann", attributes={"b": 2}), attributes={"a": 1})
    assert line["attributes"] == {"a": 1, "b": 2}


def test_a_newer_value_stays_and_the_gaps_are_filled() -> None:
    users = MemoryDirectory()
    users.apply(identify(10, user_id="ann", firstname="New", email="n@example.com", attributes={"a": "new"}))
    (late,) = users.apply(
        identify(5, user_id="ann", firstname="Old", lastname="Gap", email="o@example.com", attributes={"a": 0, "b": 0})
    )
    assert late.remarks == (Remark.VALUE_STALE,) * 3
    assert late.values_written == 2
    (line,) = users.export()
    assert (line["email"], line["firstname"], line["lastname"]) == ("n@example.com", "New", "Gap")
    assert line["attributes"] == {"a": "new", "b": 0}


def test_at_equal_times_the_value_applied_later_counts() -> None:
    calls = [identify(5, user_id="ann", email=f"{value}@example.com", attributes={"a": value}) for value in (1, 2)]
    line = line_after(*calls)
    assert (line["attributes"], line["email"]) == ({"a": 2}, "2@example.com")


def test_an_imported_value_without_time_is_older_than_any_call() -> None:
    line = line_after(identify(-(10**15), user_id="ann", attributes={"a": 2}), attributes={"a": 1})
    assert line["attributes"] == {"a": 2}


def test_an_address_that_compares_equal_keeps_its_spelling_and_gets_the_newer_time() -> None:
    users = MemoryDirectory()
    users.apply(identify(5, user_id="ann", email="Ann@Example.com"))
    (result,) = users.apply(identify(9, user_id="ann", email="ann@example.COM"))
    assert result.values_written == 1
    assert users.user("ann").person.email == ("Ann@Example.com", 9)


@pytest.mark.parametrize("value", ["", [], False, 0, 2**63 - 1, 0.1, ["a", 1]])
def test_values_are_kept_as_they_are(value: Json) -> None:
    found = line_after(identify(user_id="ann", attributes={"a": value}))["attributes"]["a"]
    assert (type(found), found) == (type(value), value)


def test_over_the_limit_new_names_are_dropped_in_document_order_and_known_ones_change() -> None:
    users = MemoryDirectory.of({"username": "ann", "attributes": {"a": 1}}, rules=Rules(max_attributes=2))
    (result,) = users.apply(identify(user_id="ann", firstname="A", attributes={"z": 1, "b": 1, "c": 1, "a": 2}))
    assert result.remarks == (Remark.ATTRIBUTE_LIMIT,) * 2
    assert result.values_written == 3
    assert users.export()[0]["attributes"] == {"a": 2, "z": 1}


def test_the_limit_counts_for_gaps_too_in_the_order_of_names() -> None:
    users = MemoryDirectory(Rules(max_attributes=2))
    users.apply(identify(1, anonymous_id="d", attributes={"c": 1, "a": 1}))
    (result,) = users.apply(identify(2, user_id="ann", anonymous_id="d", attributes={"z": 1}))
    assert result.remarks == (Remark.ATTRIBUTE_LIMIT,)
    assert users.export()[0]["attributes"] == {"a": 1, "z": 1}


def test_gaps_alone_are_filled_when_users_become_one() -> None:
    users = MemoryDirectory()
    for name, at in (("p", 9), ("n", 1)):
        users.apply(identify(at, user_id=name, email=f"{name}@example.com", firstname=name, lastname=name))
    users.apply(alias(10, previous_id="p", user_id="n"))
    (line,) = users.export()
    assert (line["email"], line["firstname"], line["lastname"]) == ("n@example.com", "n", "n")


def test_a_null_removes_the_value_that_is_there_if_so_set_and_it_is_not_newer() -> None:
    users = MemoryDirectory()
    users.apply(identify(5, user_id="ann", firstname="A", attributes={"a": 1, "b": 1}))
    (result,) = users.apply(identify(6, user_id="ann", firstname=REMOVE, attributes={"a": REMOVE, "none": REMOVE}))
    assert (result.values_written, result.remarks) == (2, ())
    (late,) = users.apply(identify(4, user_id="ann", lastname=REMOVE, attributes={"b": REMOVE}))
    assert (late.values_written, late.remarks) == (0, (Remark.VALUE_STALE,))
    (line,) = users.export()
    assert (line["firstname"], line["attributes"]) == (None, {"b": 1})
