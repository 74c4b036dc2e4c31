import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.settings import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("15s", 15.0),
        ("1m", 60.0),
        ("6h", 21_600.0),
        ("1d", 86_400.0),
        ("1.5h", 5_400.0),
        ("0", 0.0),
        (2, 2.0),
        (0.25, 0.25),
        ("3 s", 3.0),
        ("0.0", 0.0),
    ],
)
def test_durations_are_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 67_108_864),
        ("4GiB", 4_294_967_296),
        ("480KB", 480_000),
        ("480000", 480_000),
        ("1.5KiB", 1_536),
        ("10 B", 10),
        ("0", 0),
    ],
)
def test_sizes_are_bytes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1s",
        "+1s",
        "1e3s",
        "1 hour",
        "1h30m",
        "nan",
        "inf",
        "\u0661s",
        "1s\n",
        None,
        True,
        [],
        -1,
        float("nan"),
        float("inf"),
        "9" * 19 + "s",
    ],
)
def test_what_is_no_duration_is_refused_without_repeating_it(text: object) -> None:
    with pytest.raises(ValueError, match=r"^is not a duration \(write .*\)$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["500 apples", "1kb", "1K", "0.5", "0.3KiB", "-1", None, False, 0.5, {}, "1TiB"])
def test_what_is_no_size_is_refused_without_repeating_it(text: object) -> None:
    """Half a byte is none; a wrong case is not guessed at, since kb, kB and Kb mean different things to people."""
    with pytest.raises(ValueError, match=r"^is not a size \(write .*\)$"):
        parse_size(text)


@pytest.mark.parametrize("text", ["24", "0.5", "1000000"])
def test_a_duration_without_a_unit_is_refused(text: str) -> None:
    """``window: 24`` was meant as hours, and was taken as seconds."""
    with pytest.raises(ValueError, match=r"^has no unit \(write a number with ms, s, m, h or d, such as .*\)$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1", "64", "480", "999"])
def test_a_size_whose_unit_was_forgotten_is_refused(text: str) -> None:
    """The names of settings say that sizes are bytes, so that 480000 is clear; nobody means 64 bytes."""
    with pytest.raises(ValueError, match=r"^has no unit \(write it with KB, .*, such as 64MiB; B for so few bytes\)$"):
        parse_size(text)
    assert parse_size(f"{text}B") == int(text) == parse_size(int(text))
    assert parse_size("1000") == 1_000


@given(st.integers(0, 10**9), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]))
def test_a_duration_is_its_number_times_its_unit(number: int, unit: tuple[str, float]) -> None:
    assert parse_duration(f"{number}{unit[0]}") == pytest.approx(number * unit[1], rel=1e-12)


@given(st.integers(0, 10**6), st.sampled_from(["KB", "MB", "GB", "KiB", "MiB", "GiB"]))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    base = 1_024 if unit.endswith("iB") else 1_000
    assert parse_size(f"{number}{unit}") == number * base ** ("KMG".index(unit[0]) + 1)


@given(st.text() | st.floats() | st.integers() | st.none())
def test_anything_is_a_duration_or_a_value_error(text: object) -> None:
    """No input ends in another exception, and no duration is negative, infinite or not a number."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds < float("inf")
