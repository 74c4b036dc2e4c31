"""``docs/configuration.md`` says what the model of the configuration says, and all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
import yaml
from annotated_types import MinLen

from streamer.devkit.docs.fields import Field, fields_of, section_in
from streamer.devkit.docs.settings import DEFAULTS, Setting, render, sections
from streamer.devkit.docs.values import UNITS, Value
from streamer.settings import Settings
from streamer.settings.changes import NAME
from streamer.settings.inbound import DEFAULT_DIRECTORY_URL, DirectorySettings
from streamer.settings.loading import _find, _read_overrides

DOCS: Final = Path(__file__).parents[3] / "docs"
SETTINGS: Final = [setting for section in sections() for setting in section.settings]
NAMES: Final = {"destinations": "eu-prod.2", "integrations": "sprig", "webhooks": "segment-main"}
LEAST: Final[Any] = {
    "destinations": {NAMES["destinations"]: {}},
    "integrations": {
        NAMES["integrations"]: {"dialect": "sprig", "topics": ["surveys"], "destination": "eu-prod.2"},
    },
    "inbound": {"webhooks": {NAMES["webhooks"]: {}}},
}


def path_of(setting: Setting) -> tuple[str, ...]:
    """Its path in `LEAST`."""
    return tuple(NAMES[before] if key == NAME else key for before, key in pairwise(("", *setting.path)))


def fields_in(section: type, path: str = "") -> Iterator[tuple[str, Field]]:
    """Every field of the model, sections included, with its place."""
    for one in fields_of(section):
        yield f"{path}{one.name}", one
        if inner := section_in(one.annotation):
            yield from fields_in(inner, f"{path}{one.name}.")


def test_the_committed_page_is_up_to_date() -> None:
    for name, text in render().items():
        assert (DOCS / name).read_text("utf-8") == text, f"docs/{name} is out of date: run make docs"


def test_every_field_of_the_model_has_a_meaning() -> None:
    fields = dict(fields_in(Settings))

    assert len(fields) > len(SETTINGS)
    assert [name for name, field in fields.items() if not field.description.endswith(".")] == []


def test_every_setting_is_on_the_page_once() -> None:
    names = [setting.name.replace(f".{NAME}", "") for setting in SETTINGS]
    settings = [name for name, one in fields_in(Settings) if section_in(one.annotation) is None]

    assert sorted(names) == sorted(settings)


def test_the_defaults_are_those_of_the_model() -> None:
    """What the page shows as a default is written into a configuration, and nothing changes."""
    tree: Any = {"destinations": {NAMES["destinations"]: {}}, "integrations": {NAMES["integrations"]: {}}}
    shown = [setting for setting in SETTINGS if setting.default.startswith("`") and setting.name not in DEFAULTS]
    for setting in shown:
        *sections_above, key = path_of(setting)
        section = tree
        for name in sections_above:
            section = section.setdefault(name, {})
        section[key] = yaml.load(setting.default.strip("`"), yaml.BaseLoader)
    tree["integrations"]["sprig"] |= LEAST["integrations"]["sprig"]

    assert len(shown) > len(SETTINGS) / 2
    assert Settings.model_validate(tree) == Settings.model_validate(LEAST)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_default_in_words_belongs_to_a_setting(name: str) -> None:
    assert name in {setting.name for setting in SETTINGS}


def test_the_defaults_in_words_are_true() -> None:
    def kafka(**given: int) -> Any:
        return Settings.model_validate(LEAST | {"kafka": given}).kafka

    assert kafka(session_timeout_ms=6_000).heartbeat_interval_ms == 2_000
    assert kafka(session_timeout_ms=60_000).heartbeat_interval_ms == 3_000
    assert kafka(rebalance_timeout_ms=50_000).request_timeout_ms == 60_000
    assert kafka(rebalance_timeout_ms=1_000).request_timeout_ms == 40_000
    assert Settings.model_validate(LEAST).integrations["sprig"].group_id == "streamer.sprig"
    assert DirectorySettings().read_url() == DEFAULT_DIRECTORY_URL


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_variable_overrides_the_setting(setting: Setting) -> None:
    spelled = {"DESTINATIONS": "EU_PROD_2", "INTEGRATIONS": "SPRIG", "WEBHOOKS": "SEGMENT_MAIN"}
    variable = setting.variable
    for section, name in spelled.items():
        variable = variable.replace(f"{section}__{NAME}__", f"{section}__{name}__")

    overrides = _read_overrides(LEAST, {variable: "given"})

    assert _find(overrides, path_of(setting)) == "given"


def test_every_whole_number_has_a_unit() -> None:
    without = {setting.name for setting in SETTINGS if setting.type == "whole number"}

    assert without == {"server.port", "inbound.listen.port"}
    assert set(UNITS) <= {setting.path[-1] for setting in SETTINGS}


@pytest.mark.parametrize(
    ("name", "words", "limits"),
    [
        ("kafka.fetch_max_bytes", "size in bytes", "1MiB to 1048576GiB"),
        ("receipts.window", "duration", "more than 0, at most 31d"),
        (f"destinations.{NAME}.batch.linger", "duration", "at most 1m"),
        (
            f"destinations.{NAME}.retry.schedule",
            "list of durations",
            "1 to 100 entries, each more than 0, at most 31d",
        ),
        (f"integrations.{NAME}.events.disabled", "list of text", "each not empty"),
        (f"integrations.{NAME}.start", "`earliest`, `latest` or a time", ""),
        (f"destinations.{NAME}.write_key", "secret text", ""),
    ],
)
def test_types_and_limits_are_put_into_words(name: str, words: str, limits: str) -> None:
    [setting] = [setting for setting in SETTINGS if setting.name == name]

    assert (setting.type, setting.limits) == (words, limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a dialect may declare."""

    names: dict[str, Annotated[str, MinLen(1)]] = field(default_factory=dict)
    """Names, and what
    to send instead."""
    event: Annotated[str, MinLen(1)] = "Answered"
    kinds: tuple[Annotated[str, MinLen(1)], ...] = ("A", "B")
    """Kinds."""


def test_a_dataclass_is_a_section_as_well() -> None:
    assert section_in(dict[str, Choices]) is Choices
    shown = [
        (one.name, value.words, value.limits, value.show(one.default), one.description)
        for one in fields_of(Choices)
        for value in [Value(one.annotation, one.metadata, one.name)]
    ]

    assert shown == [
        ("names", "mapping of text to text", "", "{}", "Names, and what\nto send instead."),
        ("event", "text", "not empty", "Answered", ""),
        ("kinds", "list of text", "each not empty", "[A, B]", "Kinds."),
    ]
