"""The configurations that people copy: each loads, and the long one shows every setting and nothing else."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from streamer.devkit.docs.settings import sections
from streamer.settings import load
from streamer.settings.changes import NAME

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = [ROOT / "examples" / name for name in ("streamer.yaml", "inbound.yaml", "push.yaml")]
SETTINGS: Final = {setting.path: setting for section in sections() for setting in section.settings}
NAMED: Final = {("destinations",), ("integrations",), ("inbound", "webhooks")}
ENVIRONMENT: Final = {
    "SEGMENT_WRITE_KEY": "key",
    "SEGMENT_WEBHOOK_SECRET": "secret",
    "SPRIG_API_KEY": "key",
    "PRODUCT_FRUITS_API_KEY": "key",
}

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
def texts() -> list[str]:
    return [example.read_text("utf-8") for example in EXAMPLES]


def shown_in(texts: Iterable[str], *, switched_off: bool) -> dict[tuple[str, ...], Any]:
    """What the examples show, with what is switched off in them or without."""
    found: dict[tuple[str, ...], Any] = {}
    for text in texts:
        found |= leaves(yaml.load(SWITCHED_OFF.sub(r"\1", text) if switched_off else text, yaml.BaseLoader))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_an_example_has_no_fault(path: Path) -> None:
    """`load` checks what must fit together as well."""
    settings = load(path, ENVIRONMENT)
    assert settings.integrations or settings.inbound


def test_the_examples_show_every_setting_and_nothing_else(texts: list[str]) -> None:
    shown = shown_in(texts, switched_off=True)

    assert shown.keys() - SETTINGS.keys() == set(), "no such setting"
    assert SETTINGS.keys() - shown.keys() == set(), "no example shows it"


def test_what_is_switched_off_shows_the_default(texts: list[str]) -> None:
    """Whoever removes the ``#`` changes nothing, unless there is no default."""
    everything = shown_in(texts, switched_off=True)
    switched_off = everything.keys() - shown_in(texts, switched_off=False).keys()
    defaults = {
        path: yaml.load(SETTINGS[path].default.strip("`").replace(NAME, "sprig"), yaml.BaseLoader)
        for path in switched_off
        if SETTINGS[path].default.startswith("`") and " " not in SETTINGS[path].default
    }

    assert len(defaults) > 5
    assert {path: everything[path] for path in defaults} == defaults


def test_the_examples_in_the_readme_have_no_fault(tmp_path: Path) -> None:
    """The second one shows one section, which is added to the first."""
    whole, inbound = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[::-1]
    path = tmp_path / "streamer.yaml"
    path.write_text(whole + inbound, encoding="utf-8")

    settings = load(path, ENVIRONMENT)
    assert settings.integrations
    assert settings.inbound
