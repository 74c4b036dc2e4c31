"""The configurations that people copy: each loads, and the long one shows every setting and nothing else."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from streamer.devkit.docs.settings import NAME, sections
from streamer.settings import load

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "streamer.yaml"
SETTINGS: Final = {setting.path: setting for section in sections() for setting in section.settings}
NAMED: Final = {("destinations",), ("integrations",)}

SWITCHED_OFF: Final = re.compile(r"^( *)#(?=[a-z_]+: )", re.MULTILINE)
"""A setting behind a ``#`` without a blank; prose has one."""


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Path -> value of all settings, with `NAME` for names of destinations and integrations."""
    if not isinstance(tree, dict) or path in SETTINGS:
        return {path: tree}
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        found |= leaves(value, (*path, NAME if path in NAMED else key))
    return found


@pytest.fixture(scope="module")
def text() -> str:
    return EXAMPLE.read_text("utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_has_no_fault(path: Path) -> None:
    """`load` checks what must fit together as well."""
    assert load(path, {"SEGMENT_WRITE_KEY": "key"}).integrations


def test_the_example_shows_every_setting_and_nothing_else(text: str) -> None:
    shown = leaves(yaml.safe_load(SWITCHED_OFF.sub(r"\1", text)))

    assert shown.keys() - SETTINGS.keys() == set(), "no such setting"
    assert SETTINGS.keys() - shown.keys() == set(), "examples/streamer.yaml does not show it"


def test_what_is_switched_off_shows_the_default(text: str) -> None:
    """Whoever removes the ``#`` changes nothing, unless there is no default."""
    everything = leaves(yaml.load(SWITCHED_OFF.sub(r"\1", text), yaml.BaseLoader))
    switched_off = everything.keys() - leaves(yaml.load(text, yaml.BaseLoader)).keys()
    defaults = {
        path: yaml.load(SETTINGS[path].default.strip("`").replace(NAME, "sprig"), yaml.BaseLoader)
        for path in switched_off
        if SETTINGS[path].default.startswith("`") and " " not in SETTINGS[path].default
    }

    assert len(defaults) > 5
    assert {path: everything[path] for path in defaults} == defaults


def test_the_example_in_the_readme_has_no_fault(tmp_path: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    path = tmp_path / "streamer.yaml"
    path.write_text(example, encoding="utf-8")

    assert load(path, {"SEGMENT_WRITE_KEY": "key"}).integrations
