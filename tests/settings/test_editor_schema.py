"""The schema for editors takes what `load` takes, and marks what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import yaml

from streamer.settings.editor_schema import editor_schema

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
SCHEMA: Final = editor_schema()
VALIDATOR: Final = jsonschema_rs.Draft202012Validator(SCHEMA)

GOOD: Final = """
kafka: {bootstrap_servers: "b:9092", session_timeout_ms: 30000}
destinations:
  production: {write_key: "${KEY}", timeout: 15s, batch: {linger: 0, max_bytes: 480KB}, max_in_flight: "${N:-16}"}
integrations:
  sprig: {dialect: sprig, topics: [surveys], destination: production, group_id: null, limits: }
"""


def faults_of(text: str) -> list[list[str | int]]:
    return [list(error.instance_path) for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def test_it_is_a_sound_schema() -> None:
    jsonschema_rs.meta.validate(SCHEMA)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_have_no_fault(path: Path) -> None:
    assert faults_of(path.read_text("utf-8")) == []


def test_what_people_write_has_no_fault() -> None:
    assert faults_of(GOOD) == []
    assert faults_of(GOOD + "directory: false\ncontrol: false\ninbound: null\n") == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda text: text.replace("timeout: 15s", "timout: 15s"), ["destinations", "production"]),
        (lambda text: text.replace("15s", "15"), ["destinations", "production", "timeout"]),
        (lambda text: text.replace("480KB", "480 apples"), ["destinations", "production", "batch", "max_bytes"]),
        (lambda text: text.replace("30000", "soon"), ["kafka", "session_timeout_ms"]),
        (lambda text: text.replace("dialect: sprig", "dialect: sprigg"), ["integrations", "sprig", "dialect"]),
        (lambda text: text.replace("topics: [surveys], ", ""), ["integrations", "sprig"]),
        (lambda text: text + "inbound: false\n", ["inbound"]),
    ],
)
def test_what_is_refused_is_marked(change: Callable[[str], str], place: list[Any]) -> None:
    assert change(GOOD) != GOOD
    assert [fault[: len(place)] for fault in faults_of(change(GOOD))] == [place]
