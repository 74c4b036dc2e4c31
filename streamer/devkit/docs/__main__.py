"""``python -m streamer.devkit.docs``: writes all pages that are made from the code.

Every module of this package with a function ``render() -> dict[str, str]`` (path below docs/ -> text) makes pages. New
modules are found without being registered.
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Final

from streamer.devkit import docs

DIRECTORY: Final = Path(__file__).parents[3] / "docs"
"""Where the pages are in a checkout."""


def generators() -> list[str]:
    """The names of the modules that make pages."""
    names = [module.name for module in pkgutil.iter_modules(docs.__path__, f"{docs.__name__}.")]
    others = [name for name in names if not name.endswith(".__main__")]
    return [name for name in others if hasattr(importlib.import_module(name), "render")]


def render_all() -> dict[str, str]:
    """All pages: path below docs/ -> text."""
    pages: dict[str, str] = {}
    for name in generators():
        made: dict[str, str] = importlib.import_module(name).render()
        assert pages.keys().isdisjoint(made), f"{name} makes a page that another module makes too"
        pages |= made
    return pages


def main() -> None:
    """Write the pages that have changed, and print their names."""
    for name, text in render_all().items():
        path = DIRECTORY / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
