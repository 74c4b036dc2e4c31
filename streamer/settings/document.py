"""The configuration file as a tree of texts: YAML read strictly, then ``${VAR}`` replaced.

Scalars stay texts here; the model gives them their types. YAML 1.1 would turn ``no``, ``0123``, ``1:30`` and a date
into a boolean, an octal number, a sexagesimal number and a timestamp; here they keep their text. Values from the
environment are treated like values from the file. Variables are replaced after parsing, in scalar values only, so no
variable can add a key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from streamer.core.errors import SettingsError

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""

MAX_FILE_BYTES: Final = 1_000_000
"""Largest configuration file that is read."""

_MAX_VALUES: Final = 20_000
"""Most values in a document, counting what aliases repeat: a few lines of nested aliases can stand for billions."""

_MAX_DEPTH: Final = 32

_VARIABLE: Final = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<operator>[-?])(?P<argument>[^{}]*))?\}|\$\{"
)
_PLAIN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value")
)
_QUOTED: Final = re.compile(r"""'(?:[^']|<[^']*>)'|(?P<piece>'[^']*'|"[^"]*")""")
"""What the parser quotes: single characters and kinds of tokens, which may be shown, and pieces of the file."""


def dotted(path: KeyPath) -> str:
    """A path as people write it: ``integrations.sprig.topics[0]``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "the configuration"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the configuration, and where."""

    path: KeyPath
    text: str
    """What is wrong and what to write instead; never a secret."""


@dataclass(slots=True)
class Document:
    """What was read from a file. ``root`` has no value where there is a fault."""

    root: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """Line of each key and list entry, from 1."""
    interpolated: set[KeyPath] = field(default_factory=set)
    """Values that hold a variable of the environment, and so may be secret."""
    faults: list[Fault] = field(default_factory=list)


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read the configuration file ``path`` and replace its variables from ``environ``.

    Raises:
        SettingsError: the file cannot be read at all: missing, too large, not UTF-8, not YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read: {error.strerror}; name the file with --config"]) from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError([f"{path}: is larger than {MAX_FILE_BYTES} bytes, the limit for a configuration file"])
    try:
        node = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise SettingsError([f"{path}: is not UTF-8 at byte {error.start}; save the file as UTF-8"]) from error
    except RecursionError as error:
        raise SettingsError([f"{path}: is nested more than {_MAX_DEPTH} levels deep"]) from error
    except yaml.YAMLError as error:
        raise SettingsError([f"{path}: is not YAML: {_syntax_fault(error)}"]) from error
    return _Reader(path, environ).read(node)


def _syntax_fault(error: yaml.YAMLError) -> str:
    """What the parser found, without the pieces of the file that it quotes: they may be part of a secret."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        problem = _QUOTED.sub(lambda match: "..." if match["piece"] else match[0], error.problem or "unexpected text")
        hint = "; put ${NAME} in quotes inside { }" if problem.endswith("got '{'") else ""
        return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {problem}{hint}"
    return "it has characters that YAML does not allow"


class _Reader:
    """Turns YAML nodes into plain values, and notes lines and faults."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = environ
        self._document = Document()
        self._values = 0

    def read(self, node: yaml.Node | None) -> Document:
        if isinstance(node, yaml.MappingNode):
            self._document.root = self._mapping(node, ())
        elif node is not None and node.tag != "tag:yaml.org,2002:null":
            self._fault((), "should be a mapping with the keys kafka, destinations, integrations, ...")
        return self._document

    def _fault(self, path: KeyPath, text: str) -> None:
        self._document.faults.append(Fault(path, text))

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        self._values += 1
        if self._values > _MAX_VALUES or len(path) > _MAX_DEPTH:
            raise SettingsError(
                [f"{self._path}: has over {_MAX_VALUES} values or {_MAX_DEPTH} levels, counting what aliases repeat"]
            )
        if node.tag not in _PLAIN_TAGS:
            self._fault(path, "has a YAML tag (!...); only texts, lists and mappings without tags are allowed")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(entry, (*path, index)) for index, entry in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return None if node.tag.endswith(":null") else self._interpolate(node.value, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        keys: set[str] = set()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(path, f"has a key on line {line} that is not a text")
            elif key_node.value in keys:
                self._fault((*path, key_node.value), f"is set twice, again on line {line}; remove one of them")
            elif key_node.tag.endswith(":merge"):
                merged = self._merged(value_node, path)
            else:
                # The value of an alias is read where it is used; its line is that of the key that uses it.
                self._document.lines[*path, key_node.value] = line
                own[key_node.value] = self._value(value_node, (*path, key_node.value))
            keys.add(str(key_node.value))
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """What ``<<`` adds: a mapping, or a list of mappings of which the first one wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            value = self._value(source, path)
            if isinstance(value, dict):
                merged = value | merged
            else:
                self._fault(path, "merges (<<) a value that is not a mapping")
        return merged

    def _interpolate(self, text: str, path: KeyPath) -> str:
        def fill_in(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match["name"] is None:
                self._fault(
                    path,
                    "has a ${ without a variable; write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $${ for a"
                    " plain ${",
                )
                return ""
            self._document.interpolated.add(path)
            return self._variable(match["name"], match["operator"], match["argument"], path)

        return _VARIABLE.sub(fill_in, text)

    def _variable(self, name: str, operator: str | None, argument: str | None, path: KeyPath) -> str:
        """The value of one variable. With an operator, an empty one counts as not set, as in a shell."""
        value = self._environ.get(name)
        if operator == "-":
            return value or argument or ""
        if value is None or (operator == "?" and not value):
            hint = argument or f"set it, or write a default: ${{{name}:-default}}"
            self._fault(path, f"needs the environment variable {name}, which is not set: {hint}")
            return ""
        return value
