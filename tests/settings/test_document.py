"""How the YAML file is read, before any setting gets its meaning."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.errors import SettingsError
from streamer.settings.document import MAX_FILE_BYTES, Document, read

ReadText = Callable[..., Document]


@pytest.fixture
def read_text(tmp_path: Path) -> ReadText:
    """A function that reads YAML text with a given environment."""

    def read_text(text: str | bytes, environ: Mapping[str, str] | None = None) -> Document:
        path = tmp_path / "file.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path, environ or {})

    return read_text


@pytest.mark.parametrize("text", ["no", "on", "0123", "1:30", "1e3", "2026-01-31", "=", "0x1F", ".inf", "1_000"])
def test_scalars_arrive_as_they_were_written(read_text: ReadText, text: str) -> None:
    """YAML 1.1 would make a boolean, an octal, a sexagesimal number, a date... of them; the model gives the types."""
    assert read_text(f"key: {text}").root == {"key": text}


@pytest.mark.parametrize("text", ["", "~", "null"])
def test_null_is_the_only_scalar_that_is_no_text(read_text: ReadText, text: str) -> None:
    assert read_text(f"key: {text}").root == {"key": None}
    assert read_text(text).root == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "a"),
        ("x${A}y${A}", "xaya"),
        ("${NONE:-default}", "default"),
        ("${NONE:-}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("${A:-default}", "a"),
        ("${A:?message}", "a"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ 5$", "$A $ 5$"),
        ("${REFERENCE}", "${A}"),
    ],
)
def test_variables_are_filled_in(read_text: ReadText, text: str, value: str) -> None:
    """As in a shell and in Compose; a value is not looked at again, so it may hold anything."""
    document = read_text(f"key: '{text}'", {"A": "a", "EMPTY": "", "REFERENCE": "${A}"})
    assert (document.root, document.faults) == ({"key": value}, [])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_value_of_a_variable_can_change_the_structure(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """Variables are filled in after parsing: colons, line breaks and quotes in them stay text."""
    path = tmp_path_factory.getbasetemp() / "injection.yaml"
    path.write_text("before: 1\nkey: ${A}\nafter: 2")
    assert read(path, {"A": value}).root == {"before": "1", "key": value, "after": "2"}


def test_variables_in_keys_are_left_alone(read_text: ReadText) -> None:
    assert read_text("${A}: 1", {"A": "a"}).root == {"${A}": "1"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${NONE}", "needs the environment variable NONE, which is not set: set it, or"),
        ("${NONE:?from the vault}", "needs the environment variable NONE, which is not set: from the vault"),
        ("${EMPTY:?from the vault}", "needs the environment variable EMPTY, which is not set: from the vault"),
        ("${not a name}", "has a ${ without a variable"),
        ("${A:default}", "has a ${ without a variable"),
        ("${A", "has a ${ without a variable"),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_a_fault(read_text: ReadText, text: str, fault: str) -> None:
    (found,) = read_text(f"key: ['{text}']", {"A": "a", "EMPTY": ""}).faults
    assert found.path == ("key", 0)
    assert found.text.startswith(fault)


def test_a_key_that_is_there_twice_is_a_fault(read_text: ReadText) -> None:
    document = read_text("a:\n  b: 1\n  c: 2\n  b: 3\n")
    assert [(fault.path, fault.text) for fault in document.faults] == [
        (("a", "b"), "is set twice, again on line 4; remove one of them")
    ]


def test_a_second_merge_is_a_fault_too(read_text: ReadText) -> None:
    (fault,) = read_text("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n").faults
    assert fault.path == ("b", "<<")


def test_anchors_and_merges_are_followed(read_text: ReadText) -> None:
    """A key of one's own wins over a merged one, and the first merged mapping over the next: YAML's rule."""
    document = read_text("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: *a\n")
    assert document.faults == []
    assert document.root["c"] == {"x": "3", "y": "1", "z": "2"}
    assert document.root["d"] == {"x": "1", "y": "1"}


def test_lines_are_those_of_the_keys(read_text: ReadText) -> None:
    lines = read_text("a:\n  b: &x\n    - 1\n    - 2\n  c: *x\n").lines
    assert {path: lines[path] for path in [("a",), ("a", "b"), ("a", "b", 1), ("a", "c")]} == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 1): 4,
        ("a", "c"): 5,
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: !!python/object/apply:os.getcwd []", "has a YAML tag"),
        ("a: !secret x", "has a YAML tag"),
        ("? [x]\n: 1", "has a key on line 1 that is not a text"),
        ("<<: 1", "merges (<<) a value that is not a mapping"),
        ("- a", "should be a mapping with the keys"),
        ("text", "should be a mapping with the keys"),
    ],
)
def test_yaml_that_has_no_place_in_a_configuration_is_a_fault(read_text: ReadText, text: str, fault: str) -> None:
    (found,) = read_text(text).faults
    assert found.text.startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1", r"is not YAML: line 1, column 6: "),
        ("a: 1\n b: 2", r"is not YAML: line 2, column 3: "),
        ("a: 1\n---\nb: 2", r"is not YAML: line 2, "),
        ("a: *unknown_alias", r"is not YAML: line 1, column 4: found undefined alias \.\.\.$"),
        ("{a: ${A}}", r"put \$\{NAME\} in quotes inside \{ \}$"),
        ("a: \x00", "it has characters that YAML does not allow"),
        (b"a: \xff", r"is not UTF-8 at byte 3"),
        ("[" * 5_000, "is nested more than 32 levels deep"),
        ("#" * (MAX_FILE_BYTES + 1), "is larger than 1000000 bytes"),
        ("a: &a [*a]", "has over 20000 values or 32 levels"),
        ("a: [" + "1," * 20_001 + "]", "has over 20000 values or 32 levels"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(read_text: ReadText, text: str | bytes, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault):
        read_text(text)


def test_nested_aliases_do_not_explode(read_text: ReadText) -> None:
    """Nine lines that stand for ten billion values are refused at once, and so are merges that double."""
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 11))
    merges = "\n".join(f"l{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 10)}]}}" for n in range(1, 11))
    for text in (f"l0: &l0 [x]\n{levels}", f"l0: &l0 {{x: 1}}\n{merges}"):
        with pytest.raises(SettingsError, match="counting what aliases repeat"):
            read_text(text)


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"none\.yaml: cannot be read: No such file or directory; name the file with"
    ):
        read(tmp_path / "none.yaml", {})
