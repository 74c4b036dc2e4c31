"""From file and environment to `Settings`, with all faults at once."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from streamer.core.errors import SettingsError
from streamer.settings.checks import clashes
from streamer.settings.clash import Clash
from streamer.settings.document import Document, Fault, KeyPath, dotted, read
from streamer.settings.files import file_clashes, with_line_break
from streamer.settings.model import Settings
from streamer.settings.remarks import open_listener, unknown_variables, unmatched_names
from streamer.settings.sections import HOST_DEFAULT_VARIABLE, LINE_BREAKS
from streamer.settings.shape import has_secret, known_names, type_at

_MAX_SHOWN_CHARACTERS: Final = 40
"""Longest value that a fault repeats."""

_LINE_BREAK: Final = (
    "ends with a line break, which is left out; most often the file was written by an editor or by echo"
)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file, then override it from the environment.

    Args:
        path: the YAML file.
        environ: the environment; ``os.environ`` by default. ``STREAMER_KAFKA__BOOTSTRAP_SERVERS`` overrides
            ``kafka.bootstrap_servers``, and a value can use any variable as ``${NAME}``.

    Raises:
        SettingsError: there are faults. It lists all of them; no text holds a secret.
    """
    return _load(path, os.environ if environ is None else environ, clashes)[0]


def examine(path: Path, environ: Mapping[str, str] | None = None) -> tuple[Settings, list[str]]:
    """As `load`, for `streamer check`: the files that settings name are looked at, too.

    Returns:
        The settings, and a text for each thing that is no fault and hardly meant; no text holds a secret.

    Raises:
        SettingsError: there are faults, those of files included.
    """
    environ = os.environ if environ is None else environ
    settings, tree, describe = _load(path, environ, _clashes_and_files)
    broken = (*_with_line_break(tree), *with_line_break(settings))
    remarks = [
        *unmatched_names(settings),
        *open_listener(settings, environ),
        *(Fault(path, _LINE_BREAK) for path in broken),
    ]
    texts = [describe(remark) for remark in sorted(remarks, key=describe.order)]
    return settings, [*texts, *unknown_variables(settings, environ)]


def load_part(
    path: Path, needed: Callable[[Settings], Iterable[KeyPath]], environ: Mapping[str, str] | None = None
) -> Settings:
    """As `load`, for a command that uses only a part of the configuration: faults elsewhere do not matter.

    Settings with a fault have their defaults, or are absent with their section; so only what is needed may be used.

    Args:
        path: the YAML file.
        needed: the paths of what is used, given the settings without the faulty ones.
        environ: as for `load`.

    Raises:
        SettingsError: there are faults in what is needed, or in a section around it.
    """
    return _load(path, os.environ if environ is None else environ, clashes, needed)[0]


def _clashes_and_files(settings: Settings) -> Iterator[Clash]:
    """All clashes; the files of settings that have one are not looked at."""
    found = list(clashes(settings))
    yield from found
    yield from (clash for clash in file_clashes(settings) if not any(clash.path == known.path for known in found))


def _load(
    path: Path,
    environ: Mapping[str, str],
    find_clashes: Callable[[Settings], Iterable[Clash]],
    needed: Callable[[Settings], Iterable[KeyPath]] = lambda _: ((),),
) -> tuple[Settings, dict[str, Any], "_Describer"]:
    """The settings, the values that they were made of, and what writes texts about them."""
    document = read(path, environ)
    overrides = _read_overrides(document.root, environ)
    tree = _merge(_with_host_default(document.root, environ), overrides)
    describe = _Describer(document, overrides)
    settings, faults = _validate(tree, list(document.faults))
    if settings is not None:
        faults += [
            Fault(clash.path, clash.text)
            for clash in find_clashes(settings)
            if not any(_overlap(fault.path, place) for fault in faults for place in (clash.path, *clash.others))
        ]
        used = list(needed(settings))
        faults = [fault for fault in faults if any(_overlap(fault.path, place) for place in used)]
    if faults or settings is None:
        raise SettingsError([describe(fault) for fault in sorted(faults, key=describe.order)])
    return settings, tree, describe


def _with_line_break(tree: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The secrets that were given with a line break at the end."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _with_line_break(value, (*path, key))
    elif isinstance(tree, str) and tree != tree.rstrip(LINE_BREAKS) and has_secret(type_at(path)):
        yield path


def _with_host_default(root: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The tree of the file. If it gives no ``server.host``, it gets that of `HOST_DEFAULT_VARIABLE`."""
    host = environ.get(HOST_DEFAULT_VARIABLE)
    server = {} if root.get("server") is None else root["server"]
    if not host or not isinstance(server, dict) or server.get("host") is not None:
        return root
    return {**root, "server": {**server, "host": host}}


class _Environment(EnvSettingsSource):
    """The variables ``STREAMER_*`` whose name continues with a section of the configuration.

    Others are ignored: Kubernetes sets ``STREAMER_PORT`` and more in pods beside a service with the name ``streamer``.
    """

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Lists and mappings are JSON. Anything else stays a text, and validation reports it with the other faults."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _read_overrides(root: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The settings from the environment, as a tree."""
    source = _Environment(Settings)
    source.env_vars = {name.lower(): value for name, value in environ.items()}
    overrides: dict[str, Any] = _as_texts(source())
    _spell_names(overrides, root, ("destinations", "integrations"))
    _spell_names(overrides.get("inbound"), root.get("inbound"), ("webhooks",))
    return overrides


def _spell_names(overrides: Any, tree: Any, sections: Iterable[str]) -> None:
    """Give names in ``overrides`` the spelling that they have in ``tree``: variables have neither case nor hyphens."""
    if not isinstance(overrides, dict) or not isinstance(tree, dict):
        return
    for section in sections:
        entries, known = overrides.get(section), tree.get(section)
        if isinstance(entries, dict) and isinstance(known, dict):
            spelled = {_as_variable(name): name for name in known}
            overrides[section] = {
                name if name in known else spelled.get(name, name): entry for name, entry in entries.items()
            }


def _as_texts(value: Any) -> Any:
    """Numbers of JSON as texts, as in the file: the model gives them their types, and asks for their units."""
    if isinstance(value, dict):
        return {key: _as_texts(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_as_texts(entry) for entry in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_variable(name: str) -> str:
    """``EU-prod`` as it is written in the name of a variable: ``eu_prod``."""
    return name.lower().replace("-", "_").replace(".", "_")


def _merge(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in above.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _validate(tree: dict[str, Any], faults: list[Fault]) -> tuple[Settings | None, list[Fault]]:
    """The settings without the faulty values, and all faults: one fault does not hide another."""
    while True:
        try:
            return Settings.model_validate(tree), faults
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=False)
        for detail in details:
            path: KeyPath = detail["loc"]
            if detail["type"] != "default_factory_not_called" and not any(path == fault.path for fault in faults):
                faults.append(Fault(path, _text(detail["type"], detail["msg"], path)))
        remaining = tree
        for detail in details:
            remaining = _without(remaining, detail["loc"][:-1] if detail["type"] == "missing" else detail["loc"])
        if remaining == tree:
            return None, faults
        tree = remaining


def _without(tree: Any, path: KeyPath) -> Any:
    """A copy of ``tree`` without the value at ``path``; for an entry of a list, without the whole list."""
    if not path or not isinstance(tree, dict) or path[0] not in tree:
        return tree
    key, rest = path[0], path[1:]
    if rest and isinstance(tree[key], dict):
        return {**tree, key: _without(tree[key], rest)}
    return {name: value for name, value in tree.items() if name != key}


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    """Whether the paths are equal, or one leads to the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _text(kind: str, message: str, path: KeyPath) -> str:
    if kind == "missing":
        return "is missing"
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        near = get_close_matches(str(path[-1]), known_names(path[:-1]), n=1)
        return f"is not a setting (did you mean {near[0]}?)" if near else "is not a setting"
    if kind in {"tuple_type", "list_type"}:
        return 'should be a list, such as [one, two]; in an environment variable ["one", "two"]'
    if kind in {"dict_type", "model_type", "dataclass_type"}:
        return "should be a mapping of settings"
    message = message.removeprefix("Value error, ")
    return f"should {message.removeprefix('Input should ')}" if message.startswith("Input should ") else message


class _Describer:
    """Writes faults for people: path, place, the value if it cannot be a secret, and what to do."""

    def __init__(self, document: Document, overrides: dict[str, Any]) -> None:
        self._document = document
        self._overrides = overrides

    def __call__(self, fault: Fault) -> str:
        """One line about ``fault``."""
        return f"{dotted(fault.path)}{self._place(fault.path)}:{self._value(fault.path)} {fault.text}"

    def order(self, fault: Fault) -> tuple[int, str]:
        """Sorts faults by their line in the file."""
        return self._line(fault.path), dotted(fault.path)

    def _line(self, path: KeyPath) -> int:
        """The line of the value, or of the nearest section around it; 0: neither is in the file."""
        nearest = (self._document.lines.get(path[:length]) for length in range(len(path), 0, -1))
        return next((line for line in nearest if line is not None), 0)

    def _place(self, path: KeyPath) -> str:
        if _find(self._overrides, path) is not None:
            return f" (environment variable STREAMER_{'__'.join(map(str, path)).upper()})"
        line = self._line(path)
        return f" (line {line})" if line else ""

    def _value(self, path: KeyPath) -> str:
        value = _find(self._document.root, path)
        is_secret = (
            path in self._document.interpolated
            or _find(self._overrides, path) is not None
            or (kind := type_at(path)) is None
            or has_secret(kind)
        )
        if is_secret or not isinstance(value, str) or len(value) > _MAX_SHOWN_CHARACTERS or "@" in value:
            return ""
        return f" {value!r}"


def _find(tree: Any, path: KeyPath) -> Any:
    """The value at ``path``, or None."""
    for key in path:
        if isinstance(tree, list) and isinstance(key, int) and key < len(tree):
            tree = tree[key]
        elif isinstance(tree, dict):
            tree = tree.get(key)
        else:
            return None
    return tree
