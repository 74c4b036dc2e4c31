"""What the code may not use, because the Python versions that streamer supports treat it differently."""

import ast
from pathlib import Path

import pytest

import streamer

MODULES = sorted(Path(streamer.__path__[0]).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_nothing_is_raised_under_except_star(path: Path) -> None:
    """Python 3.11.2, which Debian 12 ships, puts it into another exception group; later versions do not.

    A wrong password at the start ended with exit code 1 there, instead of 78.
    """
    stars = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.TryStar)]
    raised = [part for star in stars for handler in star.handlers for part in ast.walk(handler)]
    assert not [part for part in raised if isinstance(part, ast.Raise)]
