"""The fields of a section of the configuration: a model of pydantic, or a frozen dataclass that a dialect declares."""

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, as far as the documents need it."""

    name: str
    annotation: Any
    metadata: tuple[Any, ...]
    """Further annotations that pydantic has taken off the type."""
    description: str
    """Its docstring; empty: it has none."""
    is_required: bool
    is_computed: bool
    """Whether its default depends on other fields."""
    default: Any
    """None where it is required or computed."""


def section_in(annotation: Any) -> type | None:
    """The section that a field is, or that each value of its mapping is; None for a setting."""
    if get_origin(annotation) in {Union, types.UnionType}:
        return next(filter(None, map(section_in, get_args(annotation))), None)
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or dataclasses.is_dataclass(annotation)):
        return annotation
    return section_in(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def fields_of(section: type) -> Iterator[Field]:
    """The fields of a section, in their order."""
    if issubclass(section, BaseModel):
        for name, field in section.model_fields.items():
            required, computed = field.is_required(), bool(field.default_factory_takes_validated_data)
            yield Field(
                name=name,
                annotation=field.annotation,
                metadata=tuple(field.metadata),
                description=field.description or "",
                is_required=required,
                is_computed=computed,
                default=None if required or computed else field.get_default(call_default_factory=True),
            )
        return
    descriptions, annotations = _docstrings(section), get_type_hints(section, include_extras=True)
    assert dataclasses.is_dataclass(section)
    for one in dataclasses.fields(section):
        made = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
        yield Field(
            name=one.name,
            annotation=annotations[one.name],
            metadata=(),
            description=descriptions.get(one.name, ""),
            is_required=made is dataclasses.MISSING,
            is_computed=False,
            default=None if made is dataclasses.MISSING else made,
        )


def _docstrings(section: type) -> dict[str, str]:
    """The texts below the fields of a class. pydantic reads them for its models; a dataclass has them in its source."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, after in zip(definition.body, definition.body[1:], strict=False):
        match statement, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
