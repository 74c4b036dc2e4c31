"""The core decides and never acts: what the linter's list of bans cannot see."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamer
import streamer.core

CORE = Path(streamer.core.__path__[0])
SHELL = Path(streamer.__path__[0])
MODULES = sorted(CORE.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_core_module_imports_nothing_of_the_shell_and_never_awaits(path: Path) -> None:
    tree = ast.parse(path.read_text())
    ours = {name for name in imported(tree) if name.split(".")[0] == "streamer"}
    assert all(name.startswith("streamer.core") for name in ours)
    assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree))


def test_the_linter_bans_every_module_of_the_shell() -> None:
    """So that a new module cannot be forgotten."""
    bans = tomllib.loads((CORE / "ruff.toml").read_text())["lint"]["flake8-tidy-imports"]["banned-api"]
    shell = {
        path.stem if path.is_file() else path.name
        for path in SHELL.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    }
    assert {name.removeprefix("streamer.") for name in bans if name.startswith("streamer.")} == shell - {"core"}
