"""``make release VERSION=x.y.z``: check, build, commit and tag a release. It pushes and uploads nothing.

The working tree is not touched before everything has been checked and built: a release that fails leaves no trace.
"""

import argparse
import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from tools import changelog, distribution, locks
from tools.changelog import TAG_PREFIX, ReleaseError

PROJECT: Final = "pyproject.toml"
CHANGELOG: Final = "CHANGELOG.md"
COMMIT: Final = "streamer/commit.py"
BRANCH: Final = "main"
SAMPLE: Final = "tests/samples/sprig/01-nps.json"
CONFIG: Final = "examples/streamer.yaml"


def main() -> int:
    """Release the version given as argument; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check, build, commit and tag a release. Pushes and uploads nothing.")
    parser.add_argument("version", help="major.minor.patch, such as 0.2.0")
    version: str = parser.parse_args().version
    try:
        release(Path.cwd(), version, skip_tests=os.environ.get("SKIP_TESTS") == "1")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def release(root: Path, version: str, *, skip_tests: bool) -> None:
    """Release ``version`` of the repository in ``root``.

    Raises:
        ReleaseError: something does not allow it; nothing was changed.
    """
    _check_tree(root)
    project, history = (root / PROJECT).read_text("utf-8"), (root / CHANGELOG).read_text("utf-8")
    changelog.check_version(version, changelog.version_in(project), _git(root, "tag", "--list").split())
    texts = {
        PROJECT: changelog.with_version(project, version),
        CHANGELOG: changelog.dated(history, version, dt.datetime.now(dt.UTC).date()),
    }
    _check_locks(root)
    if skip_tests:
        print("release: the tests are skipped (SKIP_TESTS=1)")
    else:
        _run_tests(root)
        _check_tree(root)
    for file in _build(root, version, texts):
        print(f"release: built {file.relative_to(root)}")
    for name, text in texts.items():
        (root / name).write_text(text, "utf-8")
    tag = f"{TAG_PREFIX}{version}"
    _git(root, "commit", "--quiet", "--message", f"release: {version}", "--", *texts)
    _git(root, "tag", "--annotate", "--message", f"streamer {version}", tag)
    print(f"release: committed and tagged {tag}. Next: git push --follow-tags, then upload the files in dist/")


def _check_tree(root: Path) -> None:
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    if branch != BRANCH:
        raise ReleaseError(f"releases are made on {BRANCH}, and this is {branch}")
    if changed := _git(root, "status", "--porcelain").strip():
        raise ReleaseError(f"there are changes that are not committed; commit or remove them:\n{changed}")


def _check_locks(root: Path) -> None:
    project = tomllib.loads((root / PROJECT).read_text("utf-8"))
    faults = [
        f"{name}: {fault}"
        for name, requirements in locks.requirements_by_lock(project).items()
        for fault in locks.faults(
            requirements, (root / name).read_text("utf-8"), distribution=project["project"]["name"]
        )
    ]
    if faults:
        raise ReleaseError("\n  ".join(["the lock files do not fit pyproject.toml; run make lock:", *faults]))


def _run_tests(root: Path) -> None:
    if subprocess.run(["make", "test"], cwd=root, check=False).returncode:
        raise ReleaseError("make test failed")


def _build(root: Path, version: str, texts: dict[str, str]) -> list[Path]:
    """Build sdist and wheel with the texts of the release, check both, and put them into ``dist/``.

    The commit that they name is the one before that of the release, which is made only when all else is done.
    """
    tracked = _git(root, "ls-files", "-z").rstrip("\0").split("\0")
    with tempfile.TemporaryDirectory() as name:
        source, built = Path(name) / "source", Path(name) / "built"
        for file in tracked:
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / file, source / file)
        commit = _git(root, "rev-parse", "HEAD").strip()
        for file, text in {**texts, COMMIT: _with_commit((root / COMMIT).read_text("utf-8"), commit)}.items():
            (source / file).write_text(text, "utf-8")
        built.mkdir()
        sdist, wheel = distribution.build(source, built)
        distribution.check_sdist(sdist, tracked)
        distribution.check_wheel(wheel, tracked)
        distribution.try_wheel(
            wheel,
            Path(name) / "venv",
            version=version,
            commit=commit,
            sample=root / SAMPLE,
            config=root / CONFIG,
        )
        target = root / "dist"
        target.mkdir(exist_ok=True)
        return [Path(shutil.copy2(file, target)) for file in (sdist, wheel)]


def _with_commit(text: str, commit: str) -> str:
    """The module that knows the commit, once it does."""
    unknown = 'COMMIT: Final = ""'
    if unknown not in text:
        raise ReleaseError(f"{COMMIT} has no line {unknown}")
    return text.replace(unknown, f'COMMIT: Final = "{commit}"', 1)


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
