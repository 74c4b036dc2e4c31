"""Building sdist and wheel out of a clean copy of the repository, and looking into them."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tools.changelog import ReleaseError

_BUILD_SDIST: Final = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
_GENERATED: Final = ("PKG-INFO", "setup.cfg")
"""Files that setuptools adds to an sdist, beside its ``*.egg-info``."""


def build(source: Path, target: Path) -> tuple[Path, Path]:
    """Build an sdist of ``source``, and a wheel of what is in that sdist, into ``target``; returns both.

    ``source`` holds what is to be released and nothing else. No package index is asked.
    """
    _python("-c", _BUILD_SDIST, str(target), cwd=source)
    [sdist] = target.glob("*.tar.gz")
    _python(
        *("-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--wheel-dir", str(target), str(sdist)),
        cwd=target,
    )
    [wheel] = target.glob("*.whl")
    return sdist, wheel


def check_sdist(sdist: Path, tracked: Collection[str]) -> None:
    """Check that an sdist holds every file of the repository and nothing else.

    Raises:
        ReleaseError: it does not; correct ``MANIFEST.in``.
    """
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    ours = {name for name in names if name not in _GENERATED and ".egg-info/" not in name}
    _compare("the sdist", ours, set(tracked), "correct MANIFEST.in")


def check_wheel(wheel: Path, tracked: Collection[str]) -> None:
    """Check that a wheel holds the package ``streamer`` with the schemas in it, and nothing else.

    Raises:
        ReleaseError: it does not; correct ``[tool.setuptools]``.
    """
    with zipfile.ZipFile(wheel) as archive:
        ours = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    package = {name for name in tracked if name.startswith("streamer/") and not name.endswith("/ruff.toml")}
    schemas = {f"streamer/{name}" for name in tracked if name.startswith("schemas/")}
    _compare("the wheel", ours, package | schemas, "correct [tool.setuptools] in pyproject.toml")


def try_wheel(wheel: Path, directory: Path, *, version: str, commit: str, sample: Path, config: Path) -> None:
    """Install a wheel into a new virtual environment, without a network, and use it.

    Args:
        wheel: what to install.
        directory: for the environment.
        version: what ``streamer version`` must say.
        commit: what it must say of that.
        sample: a record that ``streamer map`` must make a call of; that needs the schemas.
        config: the configuration for it, with an integration ``sprig``.

    Raises:
        ReleaseError: it cannot be installed, or does not work.
    """
    venv.create(directory, with_pip=True, symlinks=True)
    scheme = {"base": str(directory), "platbase": str(directory)}
    site = Path(sysconfig.get_path("purelib", "venv", scheme))
    # The locked packages of our own environment, behind those of the new one.
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python, command = directory / "bin" / "python", directory / "bin" / "streamer"
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", str(wheel))
    said = _run(str(command), "version").splitlines()[:2]
    if said != [f"streamer {version}", f"commit {commit[:12]}"]:
        raise ReleaseError(f"`streamer version` of the wheel says {said!r}")
    mapped = _run(str(command), "map", "--config", str(config), "--integration", "sprig", "--raw", str(sample))
    if '"outcome":"delivered"' not in mapped:
        raise ReleaseError(f"`streamer map` of the wheel does not map {sample.name}: {mapped}")


def _compare(what: str, found: Collection[str], expected: Collection[str], remedy: str) -> None:
    missing, needless = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or needless:
        parts = [f"{what} lacks {', '.join(missing)}"] if missing else []
        parts += [f"{what} should not hold {', '.join(needless)}"] if needless else []
        raise ReleaseError(f"{'; '.join(parts)}: {remedy}")


def _python(*arguments: str, cwd: Path) -> None:
    _run(sys.executable, *arguments, cwd=cwd)


def _run(*command: str, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "STREAMER_"))}
    environment |= {"SEGMENT_WRITE_KEY": "key"}
    done = subprocess.run(command, cwd=cwd, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
