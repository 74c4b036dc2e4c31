"""A lock file that no longer fits pyproject.toml is found without a network."""

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from streamer import DISTRIBUTION
from tools.locks import faults, requirements_by_lock

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = """\
aiohttp==3.13.1 \\
    --hash=sha256:00
    # via ours (pyproject.toml)
attrs==25.1.0 \\
    --hash=sha256:01
    # via aiohttp
contourpy==1.3.2 ; python_full_version < '3.12' \\
    --hash=sha256:02
    # via ours (pyproject.toml:dev)
contourpy==1.4.0 ; python_full_version >= '3.12' \\
    --hash=sha256:03
    # via
    #   matplotlib
    #   ours (pyproject.toml:dev)
"""
FITTING: Final = ["aiohttp>=3.13,<4", "Contour_Py>=1.3"]


def found(requirements: list[str]) -> list[str]:
    return list(faults(requirements, LOCK.replace("contourpy", "contour-py"), distribution="ours"))


def test_a_lock_that_fits_has_no_fault() -> None:
    assert found(FITTING) == []


@pytest.mark.parametrize(
    ("requirements", "fault"),
    [
        ([*FITTING, "orjson>=3"], "orjson is missing"),
        (["aiohttp>=3.14", FITTING[1]], "aiohttp 3.13.1 is not >=3.14"),
        ([FITTING[0], "contour-py<1.4"], "contour-py 1.4.0 is not <1.4"),
        (FITTING[:1], "contour-py is no longer asked for"),
    ],
)
def test_what_does_not_fit_is_named(requirements: list[str], fault: str) -> None:
    assert found(requirements) == [fault] * len(found(requirements))
    assert fault in found(requirements)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"])
def test_the_lock_files_of_this_repository_fit(name: str) -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    requirements = requirements_by_lock(project)[name]

    assert list(faults(requirements, (ROOT / name).read_text("utf-8"), distribution=DISTRIBUTION)) == []
    assert requirements
