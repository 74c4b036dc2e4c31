"""The catalogue of log events is what streamer says, no more and no less: its events, and the fields of each."""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

import streamer
from streamer.logs import Event
from streamer.logs.fields import COMMON_FIELDS, FIELDS

OVERRIDES = {"data_at_risk", "next_step"}
"""Common fields for which a caller may know better than the catalogue."""

MODULES = [ast.parse(path.read_text()) for path in sorted(Path(streamer.__path__[0]).rglob("*.py"))]


class Emission(NamedTuple):
    """One place in the code that writes log lines."""

    events: frozenset[str]
    """Those that it can write: more than one where the event is chosen at run time."""
    fields: frozenset[str]


def names_of_events(node: ast.AST, module: ast.Module) -> frozenset[str]:
    """The events that an expression can be: those in it, and those in whatever its names are set to in the module."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        for part in ast.walk(waiting.pop()):
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "Event":
                found.add(part.attr)
            elif isinstance(part, ast.Name) and part.id not in seen:
                seen.add(part.id)
                waiting.extend(values_of(part.id, module))
    return frozenset(found & set(Event.__members__))


def values_of(name: str, module: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            yield node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield node.value or node


def calls_of(name: str, node: ast.AST) -> Iterator[ast.Call]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            called = call.func
            if (isinstance(called, ast.Attribute) and called.attr == name) or (
                isinstance(called, ast.Name) and called.id == name
            ):
                yield call


def keywords(call: ast.Call) -> frozenset[str]:
    return frozenset(keyword.arg for keyword in call.keywords if keyword.arg is not None) - OVERRIDES


def emissions(module: ast.Module) -> Iterator[Emission]:
    """All in a module. A function that is given its event, and maybe more fields, counts once for each of its calls."""
    for function in ast.walk(module):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        parameters = {argument.arg for argument in function.args.args}
        for call in chain(calls_of("emit", function), calls_of("emit_at", function)):
            if not call.args:
                continue  # a library's record, which is passed on
            event, fields = call.args[0], keywords(call)
            assert None not in {keyword.arg for keyword in call.keywords} or isinstance(event, ast.Name), ast.unparse(
                call
            )
            if isinstance(event, ast.Name) and event.id in parameters:
                for caller in calls_of(function.name, module):
                    yield Emission(names_of_events(caller.args[0], module), fields | keywords(caller))
            else:
                yield Emission(names_of_events(event, module), fields)


EMISSIONS = [emission for module in MODULES for emission in emissions(module)]


def test_every_event_of_the_catalogue_is_written_somewhere() -> None:
    """An event that nothing writes is a promise to on-call that nothing keeps."""
    assert all(emission.events for emission in EMISSIONS), "an emission whose event cannot be found out"
    assert set(Event.__members__) == {name for emission in EMISSIONS for name in emission.events}


@pytest.mark.parametrize("event", Event)
def test_the_fields_of_an_event_are_those_that_the_code_gives_it(event: Event) -> None:
    """Where several events may be written, each field belongs to one of them at least."""
    assert len(set(event.fields)) == len(event.fields)
    able = [emission for emission in EMISSIONS if event.name in emission.events]
    assert set(event.fields) <= {field for emission in able for field in emission.fields}
    for emission in able:
        listed = {field for name in emission.events for field in Event[name].fields}
        assert emission.fields <= listed, event.event_name


def test_every_field_is_explained_and_has_a_name_of_its_own() -> None:
    assert set(FIELDS) == {field for event in Event for field in event.fields}
    outside = [field.outside_name for name, field in FIELDS.items() if name not in COMMON_FIELDS]
    assert len({*outside, *COMMON_FIELDS}) == len(outside) + len(COMMON_FIELDS)
    for meaning in [*COMMON_FIELDS.values(), *(field.meaning for field in FIELDS.values())]:
        assert meaning.endswith("."), meaning
