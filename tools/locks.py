"""Whether a lock file still fits what ``pyproject.toml`` asks for, found out without a network."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ENTRY: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)(?P<rest>.*)", re.DOTALL)


def requirements_by_lock(project: dict[str, Any]) -> dict[str, list[str]]:
    """Lock file -> what it must hold, from the tables of ``pyproject.toml``."""
    extras = project["project"]["optional-dependencies"]
    installed: list[str] = [*project["project"]["dependencies"], *extras["inbound"], *extras["otel"]]
    return {
        "requirements.lock": installed,
        "requirements-dev.lock": [
            *installed,
            *extras["demo"],
            *project["dependency-groups"]["dev"],
        ],
        "requirements-build.lock": project["build-system"]["requires"],
    }


def faults(requirements: Iterable[str], lock: str, *, distribution: str) -> Iterator[str]:
    """What does not fit, one line each.

    Args:
        requirements: what the lock was compiled from.
        lock: its text.
        distribution: our own name, by which the lock marks what we ask for directly.
    """
    pins = list(_pins(lock))
    wanted = [Requirement(text) for text in requirements]
    for requirement in wanted:
        versions = [version for name, version, _ in pins if name == canonicalize_name(requirement.name)]
        if not versions:
            yield f"{requirement.name} is missing"
        for version in versions:
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement.name} {version} is not {requirement.specifier}"
    direct = {name for name, _, rest in pins if f" {distribution} (pyproject.toml" in rest}
    for name in sorted(direct - {canonicalize_name(requirement.name) for requirement in wanted}):
        yield f"{name} is no longer asked for"


def _pins(lock: str) -> Iterator[tuple[str, str, str]]:
    """Name, version, and what follows: marker, hashes and where it comes from."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        if entry := _ENTRY.match(block):
            yield canonicalize_name(entry["name"]), entry["version"], entry["rest"]
