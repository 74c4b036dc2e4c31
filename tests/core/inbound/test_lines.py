"""Directory lines: written, read, and both are the same."""

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.core.inbound import line_reading, lines
from streamer.core.inbound.call import OLDEST
from streamer.core.inbound.directory import Device, Person, User, Value
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.times import microseconds, text_of
from streamer.core.model import Json
from tests.core.inbound.memory_directory import MemoryDirectory, alias, identify, sign_out, track

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy with something else."""

FULL = {
    "username": "ben",
    "email": None,
    "firstname": "Ben",
    "lastname": None,
    "anonymousIds": ["d-200"],
    "attributes": {"plan": "Free"},
    "redirects": ["ben_old"],
}


def test_a_line_has_all_keys_and_everything_is_sorted_by_code_point() -> None:
    user = User("b")
    user.person = Person(attributes={name: Value(1, 1) for name in ("\U0001f600", "\uff21", "a", "Z")})
    user.devices = {name: Device(name, user) for name in ("b", "B")}
    user.redirects = {"y": 1, "\u00e9": 2}
    assert lines.user_line(user).decode() == (
        '{"username":"b","email":null,"firstname":null,"lastname":null,"anonymousIds":["B","b"],"attributes":'
        '{"Z":1,"a":1,"\uff21":1,"\U0001f600":1},"redirects":["y","\u00e9"]}'
    )


def test_a_line_that_was_read_is_written_again_as_it_was() -> None:
    line = orjson.dumps(FULL)
    user = line_reading.read(line, Rules())
    assert isinstance(user, User)
    assert lines.user_line(user) == line
    assert user.person.firstname == Value("Ben", OLDEST)
    assert user.devices["d-200"].user is user


def test_a_device_line_has_names_and_address_only_with_times() -> None:
    device = Device("d", person=Person(email=Value("x@example.com", 1), attributes={"a": Value(1, 2)}))
    assert orjson.loads(lines.device_line(device)) == {"anonymousId": "d", "attributes": {"a": 1}}
    assert orjson.loads(lines.device_line(device, times=True))["email"] == "x@example.com"


def test_lines_with_times_move_a_directory_without_loss() -> None:
    users = MemoryDirectory()
    users.apply_each(
        identify(1, user_id="ann", anonymous_id="d1", firstname="A", email="a@example.com", attributes={"x": 1}),
        alias(2, previous_id="ann", user_id="anna"),
        track(3, user_id="anna", anonymous_id="d2"),
        sign_out(4, user_id="anna"),
        identify(5, user_id="anna", anonymous_id="d3", lastname="B"),
        identify(6, anonymous_id="d4", email="x@example.com", attributes={"y": [1]}),
        sign_out(7, anonymous_id="d5"),
    )
    exported = users.export(times=True)
    assert exported[0]["times"] == {
        "email": "1970-01-01T00:00:00.000001Z",
        "firstname": "1970-01-01T00:00:00.000001Z",
        "lastname": "1970-01-01T00:00:00.000005Z",
        "attributes": {"x": "1970-01-01T00:00:00.000001Z"},
        "anonymousIds": {"d3": {"since": "1970-01-01T00:00:00.000005Z", "left": None}},
        "redirects": {"ann": "1970-01-01T00:00:00.000002Z"},
        "named": "1970-01-01T00:00:00.000002Z",
        "signedOut": "1970-01-01T00:00:00.000004Z",
        "changed": "1970-01-01T00:00:00.000005Z",
        "revision": 5,
    }
    assert [line["anonymousId"] for line in exported[1:]] == ["d1", "d2", "d4", "d5"]
    assert MemoryDirectory.of(*exported).export(times=True) == exported


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"[1]", "the line is not an object"),
        (b"{", "the line is not one JSON document in UTF-8"),
        (b"{}", "username is missing, and so is anonymousId; expected one of them"),
        (b'{"anonymousId":"d"}', "attributes is missing; expected an object"),
        (b'{"username":"s3cret","mail":1}', "a key is unknown; expected anonymousIds, attributes"),
        (b'{"username":"a","times":{"x":1}}', "a key is unknown; expected times.anonymousIds"),
        (b'{"username":"  "}', "username is blank"),
        (b'{"username":7}', "username is not a string"),
        (b'{"username":"a\\u0000s3cret"}', "username has control characters"),
        (b'{"username":"a","email":7}', "email is not a string"),
        (b'{"username":"a","anonymousIds":["ok",7]}', "anonymousIds[1] is not a string"),
        (b'{"username":"a","anonymousIds":{}}', "anonymousIds is not a list"),
        (b'{"username":"a","redirects":["a"]}', "redirects holds the username itself"),
        (b'{"username":"a","attributes":{"s3cret":{"b":1}}}', "attributes.* is neither a string"),
        (b'{"username":"a","attributes":{"s3cret":null}}', "attributes.* is neither a string"),
        (b'{"username":"a","attributes":{"!s3cret":1}}', "attributes has a name that no attribute may have"),
        (b'{"username":"a","attributes":[]}', "attributes is not an object"),
        (b'{"username":"a","times":{"named":"s3cret"}}', "times.named is no ISO 8601 time of the years 1 to 9999"),
        (b'{"username":"a","times":{"revision":"1"}}', "times.revision is not a whole number from 0"),
    ],
)
def test_a_wrong_line_is_refused_by_the_name_of_its_key_and_never_quoted(line: bytes, text: str) -> None:
    with pytest.raises(line_reading.LineError) as refused:
        line_reading.read(line, Rules())
    assert str(refused.value).startswith(text)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


json_values = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)


@given(
    st.dictionaries(
        st.sampled_from([*FULL, "times", "anonymousId", "x"]),
        json_values
        | st.lists(json_values, max_size=2)
        | st.dictionaries(st.sampled_from([*FULL, "since"]), json_values),
    )
)
@PATIENT
def test_any_object_is_read_or_refused(document: dict[str, Json]) -> None:
    try:
        read = line_reading.read(orjson.dumps(document), Rules())
    except line_reading.LineError:
        return
    written = lines.user_line(read, times=True) if isinstance(read, User) else lines.device_line(read, times=True)
    again = line_reading.read(written, Rules())
    assert type(again) is type(read)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
@PATIENT
def test_times_are_written_and_read_to_the_microsecond(at: int) -> None:
    assert microseconds(text_of(at, "microseconds")) == at
