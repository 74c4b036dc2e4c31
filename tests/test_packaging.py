"""The distribution: under which name streamer is installed, and that nothing names another one."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any, Final

import pytest

from streamer import DISTRIBUTION, __version__

ROOT: Final = Path(__file__).parent.parent

INSTALLS: Final = re.compile(r"pip3? install (?:[^\n;|&]*[ \"'])?streamer(?![\w./-])")
"""An installation of the package that is called ``streamer`` on the package index, with or without extras."""

DIRECTORIES: Final = ("bench", "deploy", "docs", "examples", "schemas", "streamer", "tests", "tools")
TEXTS: Final = {".html", ".json", ".md", ".py", ".toml", ".yaml"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def test_the_code_knows_the_name_of_the_distribution(project: dict[str, Any]) -> None:
    """``streamer version`` and every message about an extra read it from one constant."""
    assert project["name"] == DISTRIBUTION
    assert __version__ == version(DISTRIBUTION)


def test_the_command_is_called_streamer() -> None:
    [command] = distribution(DISTRIBUTION).entry_points.select(group="console_scripts")
    assert command.name == "streamer"
    assert command.value == "streamer.__main__:main"


def test_the_pattern_tells_our_package_from_the_other_one() -> None:
    assert INSTALLS.search('pip install "streamer[demo]"')
    assert INSTALLS.search("pip install --upgrade streamer")
    assert not INSTALLS.search(f'pip install "{DISTRIBUTION}[demo]"')
    assert not INSTALLS.search("pip install aiokafka; then start streamer")


def test_no_text_tells_people_to_install_the_other_package() -> None:
    """On the package index, ``streamer`` is an unrelated project."""
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for name in DIRECTORIES for path in (ROOT / name).rglob("*") if path.suffix in TEXTS]
    assert len(files) > len(DIRECTORIES)

    told = [path for path in files if INSTALLS.search(path.read_text("utf-8", errors="replace"))]
    assert [path.name for path in told if path != Path(__file__)] == []
