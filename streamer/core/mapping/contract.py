"""The contracts: does a document match a JSON Schema of ``schemas/``, and if not, where and why?

The error texts of a JSON Schema library quote values, so they are never passed on. Ours are built from three things:
the place (a JSON Pointer), what the schema expects there, and the type of what was found or what is wrong with it.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Final, NamedTuple

import jsonschema_rs

from streamer.core.mapping.absent import without_absent
from streamer.core.mapping.expectation import expectation
from streamer.core.mapping.finding import finding
from streamer.core.mapping.native import Document
from streamer.core.mapping.pointer import Place
from streamer.core.model import Json

SCHEMAS: Final = resources.files("streamer.schemas")
"""Where the schemas are."""

MAX_FAULTS: Final = 5
"""Most faults spelled out in one detail; the others are counted."""

MAX_BYTES_FOR_ALL_FAULTS: Final = 32_000
"""Of a longer record only the first fault is reported: collecting all takes seconds for a hostile record of 2 MB."""


class Breach(NamedTuple):
    """One fault of a document."""

    place: Place
    """Exact: unlike the text, it has keys that are data. So it never goes into errors, logs or headers."""
    text: str


class Contract:
    """One schema file, compiled once, with its formats asserted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._schema = read_schema(name)
        self._declared = frozenset(_declared_keys(self._schema))
        self._validator = jsonschema_rs.Draft202012Validator(self._schema, validate_formats=True)
        self.is_kept_by = self._validator.is_valid
        """Whether a document keeps the contract; the library's own method, because this is the hot path."""

    def without_absent(self, document: Document) -> Document:
        """A copy of a document without optional parts that are null, or ``[]`` where the contract has an object."""
        return without_absent(document, self._schema)

    def explain_breach(self, document: Json, size: int) -> str:
        """Where and why ``document``, a record of ``size`` bytes, does not keep the contract."""
        try:
            faults = list(dict.fromkeys(breach.text for breach in self.breaches(document, size)))
        except ValueError:
            # The library cannot show a value that is nested so deeply.
            faults = ["it breaks the contract, and is nested too deeply to say where"]
        more = len(faults) - MAX_FAULTS
        tail = f"; and {more} more" if more > 0 else ""
        return f"{'; '.join(faults[:MAX_FAULTS])}{tail} ({self.name}.schema.json)"

    def breaches(self, document: Json, size: int) -> Iterator[Breach]:
        """Each place at which ``document``, a record of ``size`` bytes, does not keep the contract.

        Raises:
            ValueError: it is nested too deeply to say where.
        """
        for error in self._errors(document, size):
            missing = (
                (error.kind.property,) if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required) else ()
            )
            yield Breach((*error.instance_path, *missing), self._describe(error, document))

    def _errors(self, document: Json, size: int) -> Iterator[jsonschema_rs.ValidationError]:
        if size <= MAX_BYTES_FOR_ALL_FAULTS:
            yield from self._validator.iter_errors(document)
            return
        try:
            self._validator.validate(document)
        except jsonschema_rs.ValidationError as error:
            yield error

    def _describe(self, error: jsonschema_rs.ValidationError, document: Json) -> str:
        rule = _resolve(self._schema, error.schema_path[:-1])
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            missing = error.kind.property
            place = self._pointer(document, [*error.instance_path, missing])
            return f"{place}: expected {expectation(rule.get('properties', {}).get(missing, {}))}, found nothing"
        place = self._pointer(document, error.instance_path)
        if error.schema_path[-1] == "anyOf":
            return f"{place}: expected {rule['description']}, found none"
        found = finding(rule, error.instance, str(error.schema_path[-1]))
        return f"{place}: expected {expectation(rule)}, found {found}"

    def _pointer(self, document: Json, path: Sequence[str | int]) -> str:
        """A JSON Pointer in which keys that are data (an attribute's name, a row's label) are ``*``."""
        pointer = ""
        part = document
        for step in path:
            # The library gives keys made of digits as numbers. Only the document says whether it is a key or an index.
            is_index = isinstance(part, list)
            pointer += f"/{step}" if is_index or step in self._declared else "/*"
            part = part[step] if is_index else part.get(step) if isinstance(part, dict) else None
        return pointer or "the record"


def read_schema(name: str) -> dict[str, Any]:
    """The schema called ``name``, decoded."""
    text = SCHEMAS.joinpath(f"{name}.schema.json").read_bytes()
    schema: dict[str, Any] = json.loads(text)
    return schema


def _resolve(schema: Json, path: Sequence[str | int]) -> dict[str, Any]:
    for step in path:
        schema = schema[step]
    found: dict[str, Any] = schema
    return found


def _declared_keys(schema: Json) -> Iterator[str]:
    """Every key that the schema names. Any other key of a record may be data."""
    if isinstance(schema, list):
        yield from itertools.chain.from_iterable(map(_declared_keys, schema))
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        for key, part in schema.items():
            if key != "examples":
                yield from _declared_keys(part)
