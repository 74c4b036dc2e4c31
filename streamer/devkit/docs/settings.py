"""``docs/configuration.md``: every setting, written from the model of the configuration.

Meanings are the docstrings in `streamer.settings`; types, limits, defaults and variables come from the model itself.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, get_origin

from streamer.devkit.docs.fields import Field, fields_of, section_in
from streamer.devkit.docs.values import Value
from streamer.settings import Settings
from streamer.settings.changes import NAME, effect_of
from streamer.settings.inbound import DEFAULT_DIRECTORY_URL

DEFAULTS: Final[Mapping[str, str]] = {
    "kafka.bootstrap_servers": "required",
    "kafka.heartbeat_interval_ms": "a third of `session_timeout_ms`, at most 3000",
    "kafka.request_timeout_ms": "`rebalance_timeout_ms` + 10000, at least 40000",
    f"integrations.{NAME}.group_id": f"`streamer.{NAME}`",
    "directory.url": f"`{DEFAULT_DIRECTORY_URL}`",
}
"""Defaults that are computed, or that stand in the model for a value that must be given."""

_INTRODUCTION: Final = f"""\
# Configuration

<!-- Written by `make docs` from streamer/settings. Do not edit. -->

streamer reads one YAML file and the environment. `streamer check --config streamer.yaml` lists everything that is wrong
with both at once. [`examples/streamer.yaml`](../examples/streamer.yaml) shows every setting in its place.

- **Environment.** The variable of a setting overrides the file. Lists and mappings are written as JSON:
  `STREAMER_DESTINATIONS__PRODUCTION__RETRY__QUICK='["1s", "5s"]'`. `{NAME}` in a variable stands for the name of the
  destination or integration in upper case, with `_` for each hyphen and dot.
- **Variables in the file.** A value may contain `${{VARIABLE}}`, `${{VARIABLE:-default}}` or `${{VARIABLE:?message}}`.
  `$${{` is a literal `${{`.
- **Durations** are a number with `ms`, `s`, `m`, `h` or `d`, such as `100ms` or `1.5h`. Only `0` needs no unit.
- **Sizes** are a number of bytes, or a number with `KB`, `MB`, `GB` (powers of 1,000), `KiB`, `MiB` or `GiB` (powers of
  1,024).
- `null`, or a key without a value, stands for the default. Unknown keys are errors.
- streamer reads its configuration again when the file changes, and on SIGHUP. The column "a change" says what a
  changed setting does to a running service; [reloading.md](reloading.md) explains it. Variables of the environment are
  those of the start.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, in words."""

    path: tuple[str, ...]
    type: str
    """With its unit."""
    limits: str
    """Empty: none but those of the type."""
    default: str
    meaning: str

    @property
    def effect(self) -> str:
        """What a change does to a running service."""
        return effect_of(self.path).value

    @property
    def name(self) -> str:
        """The keys that lead to it, separated by dots."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        config = Settings.model_config
        return config["env_prefix"] + (config["env_nested_delimiter"] or "").join(self.path).upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionText:
    """A section of the configuration, in words, without the sections in it."""

    path: tuple[str, ...]
    """Empty: the file itself."""
    meaning: str
    """What the section above it says of it."""
    text: str
    """What it says of itself."""
    settings: tuple[Setting, ...]

    @property
    def name(self) -> str:
        """The keys that lead to it, separated by dots."""
        return ".".join(self.path)


def render() -> dict[str, str]:
    """The page, under its path in ``docs/``."""
    root, *others = sections()
    lines = [_INTRODUCTION, "## Sections", "", "| section | what |", "|---|---|"]
    lines += [f"| [`{one.name}`](#{_anchor(one.name)}) | {one.meaning} |" for one in others]
    lines += ["", "## Outside of the sections", "", *_lines(root)]
    for one in others:
        lines += [f"## `{one.name}`", "", one.text, "", *_lines(one)]
    return {"configuration.md": "\n".join(lines).rstrip("\n") + "\n"}


def sections() -> Iterator[SectionText]:
    """All sections in the order of the model; the first one is the file itself."""
    yield from _sections(Settings, (), "")


def _sections(section: type, path: tuple[str, ...], meaning: str) -> Iterator[SectionText]:
    fields = list(fields_of(section))
    yield SectionText(
        path=path,
        meaning=meaning,
        text=_markdown(inspect.getdoc(section)),
        settings=tuple(_setting(path, field) for field in fields if section_in(field.annotation) is None),
    )
    for field in fields:
        if inner := section_in(field.annotation):
            key = (NAME,) if get_origin(field.annotation) is dict else ()
            yield from _sections(inner, (*path, field.name, *key), _markdown(field.description))


def _setting(section: tuple[str, ...], field: Field) -> Setting:
    path = (*section, field.name)
    value = Value(field.annotation, field.metadata, field.name)
    assert not field.is_computed or ".".join(path) in DEFAULTS, f"say in DEFAULTS what {'.'.join(path)} is by default"
    default = "required" if field.is_required else "none" if field.default is None else f"`{value.show(field.default)}`"
    return Setting(
        path=path,
        type=value.words,
        limits=value.limits,
        default=DEFAULTS.get(".".join(path), default),
        meaning=_markdown(field.description),
    )


def _lines(section: SectionText) -> Iterator[str]:
    for setting in section.settings:
        yield f"### `{setting.name}`"
        yield ""
        yield setting.meaning
        yield ""
        yield "| type | limits | default | a change | environment variable |"
        yield "|---|---|---|---|---|"
        words = (setting.type, setting.limits or "-", setting.default, setting.effect, f"`{setting.variable}`")
        yield f"| {' | '.join(words)} |"
        yield ""


def _markdown(docstring: str | None) -> str:
    """A docstring as Markdown: a line for each paragraph, and code between single backquotes."""
    paragraphs = (docstring or "").replace("``", "`").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _anchor(name: str) -> str:
    """What GitHub makes of a heading."""
    return name.lower().replace(".", "")
