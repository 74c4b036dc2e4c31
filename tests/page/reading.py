"""Reads HTML as a browser does, as far as the tests ask: elements, attributes, text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

_VOID: Final = {"meta", "link", "br"}


@dataclass
class Element:
    """One element with what it contains."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str | None = None, **attributes: str) -> Iterator["Element"]:
        """Elements below this one, by name and attributes (``_`` stands for ``-``)."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        for child in self.children:
            if isinstance(child, str):
                continue
            if tag in {None, child.tag} and wanted.items() <= child.attributes.items():
                yield child
            yield from child.all(tag, **attributes)

    def one(self, tag: str | None = None, **attributes: str) -> "Element":
        """The only one of them."""
        [found] = self.all(tag, **attributes)
        return found

    def number(self) -> float:
        """The exact number in it."""
        return float(self.one("data").attributes["value"] or "")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> ends another element"

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(html: str) -> Element:
    """The document; fails if an element is not closed where it should be."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader._open) == 1
    return reader.root
