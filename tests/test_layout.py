"""The layout is the map: no import runs back up, none runs in a circle, and only the command line needs devkit."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import streamer

ROOT = Path(streamer.__path__[0])
MODULES = {
    ".".join(["streamer", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}

PARTS = [
    "stop_signals",
    "core.model",
    "core.errors",
    "core.records",
    "core.delivery",
    "core.dead_letters",
    "core.mapping",
    "core.pushing",
    "core.inbound",
    "timings",
    "cancelling",
    "listening",
    "logs",
    "settings",
    "receipts",
    "kafka",
    "status",
    "destinations",
    "directory",
    "pipeline",
    "inbound",
    "operations",
    "integration",
    "service_view",
    "server",
    "service",
    "devkit",
    "cli",
    "__main__",
]
"""From the ground up: a part may import those before it, and itself."""


def imports_of(path: Path) -> Iterator[str]:
    """The modules of ours that a module imports, late ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else str(node.module) for name in names]
        else:
            continue
        yield from (name for name in names if name in MODULES)


def part_of(module: str) -> str | None:
    """The part that a module belongs to; None for the packages that are only names."""
    inner = module.removeprefix("streamer").removeprefix(".")
    return next((part for part in PARTS if inner == part or inner.startswith(f"{part}.")), None)


def test_every_module_has_its_part() -> None:
    names_only = {"streamer", "streamer.core"}
    assert {module for module in MODULES if part_of(module) is None} == names_only


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_back_up(module: str) -> None:
    part = part_of(module)
    if part is None:
        return
    imported = {name: part_of(name) for name in imports_of(MODULES[module])}
    upward = [name for name, below in imported.items() if below is not None and PARTS.index(below) > PARTS.index(part)]
    assert not upward


def test_no_imports_run_in_a_circle() -> None:
    """A package that hands names on is what its modules are to others, and no module of its own."""
    graph = {module: set(imports_of(path)) - {module} for module, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
