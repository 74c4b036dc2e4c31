"""The layout is the map: no import runs back up, none runs in a circle, and only the command line needs devkit."""

import ast
import subprocess
import sys
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
    "commit",
    "level_signals",
    "reload_signal",
    "stop_signals",
    "core.model",
    "core.errors",
    "core.records",
    "core.steering",
    "core.delivery",
    "core.dead_letters",
    "core.audit",
    "core.story",
    "core.mapping",
    "core.pushing",
    "core.seeking",
    "core.tapping",
    "core.watching",
    "core.inbound",
    "core.describing",
    "timings",
    "cancelling",
    "listening",
    "logs",
    "tracing",
    "settings",
    "access",
    "receipts",
    "kafka",
    "status",
    "tapping",
    "destinations",
    "directory",
    "pipeline",
    "steering",
    "inbound",
    "operations",
    "integration",
    "fleet",
    "changing",
    "reloading",
    "replay",
    "service_view",
    "whereabouts",
    "page",
    "server",
    "service",
    "devkit",
    "cli",
    "__main__",
]
"""From the ground up: a part may import those before it, and itself."""


LIBRARIES = {
    "aiokafka": {"kafka", "devkit"},
    "lmdb": {"receipts"},
    "opentelemetry": {"tracing"},
    "sqlalchemy": {"directory"},
    "alembic": {"directory"},
    "asyncpg": {"directory"},
    "aiosqlite": {"directory"},
}
"""The only parts that import a library."""


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


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_part(library: str) -> None:
    used = {
        part_of(module)
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in libraries_of(node)
        if name == library
    }
    assert used <= LIBRARIES[library]


def libraries_of(node: ast.AST) -> Iterator[str]:
    """The first parts of the names that a statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield str(node.module).partition(".")[0]


@pytest.mark.parametrize("module", ["streamer.service", "streamer.cli.users", "streamer.directory"])
def test_what_extras_bring_is_not_loaded_without_need(module: str) -> None:
    """An installation without the extras ``inbound`` and ``otel`` delivers events."""
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"sqlalchemy", "alembic", "asyncpg", "aiosqlite", "opentelemetry"} & set(loaded.stdout.split())


def test_no_imports_run_in_a_circle() -> None:
    """A package that hands names on is what its modules are to others, and no module of its own."""
    graph = {module: set(imports_of(path)) - {module} for module, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
