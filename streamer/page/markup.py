"""HTML and SVG elements as text that is escaped where it is put in, and only there.

A name that somebody chose (of an integration, a topic, a client, a reason) is a plain string until it becomes the child
or an attribute of an element; `markupsafe` then escapes it. What is markup already has the type `Markup`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from markupsafe import Markup, escape

Child: TypeAlias = "str | int | Iterable[Child] | None"
"""What an element may contain: text, markup, a number; several of them; None for nothing."""

_VOID: Final = frozenset({"br", "link", "meta"})
"""Elements that have no end tag."""

_MAX_ATTRIBUTES: Final = 1_000
"""Attributes that are remembered with their escaped values: most are constants, and a page has thousands."""


def element(tag: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        tag: its name; never a text from outside.
        children: what it contains.
        attributes: by name, where ``_`` stands for ``-`` and a last ``_`` is left out (``class_``, ``data_key``). None:
            the attribute is absent; an empty text: it is there without a value.
    """
    named = [_attribute(key, value) for key, value in attributes.items() if value is not None]
    opened = f"<{tag}{''.join(named)}>"
    if tag in _VOID:
        return Markup(opened)  # noqa: S704 - each attribute is escaped
    return Markup(f"{opened}{''.join(map(_escaped, children))}</{tag}>")  # noqa: S704 - so is each child


def joined(children: Iterable[Child], between: str = "") -> Markup:
    """Children side by side, with a text between them; without those that are None."""
    texts = (_escaped(child) for child in children if child is not None)
    return Markup(str(escape(between)).join(texts))  # noqa: S704 - each is escaped


def _escaped(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, (str, int)):
        return str.__str__(escape(child))
    return "".join(map(_escaped, child))


@lru_cache(_MAX_ATTRIBUTES, typed=True)
def _attribute(key: str, value: str | float) -> str:
    name = key.removesuffix("_").replace("_", "-")
    return f' {name}="{escape(value)}"' if value != "" else f" {name}"
