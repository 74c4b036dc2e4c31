"""A release, made in a scratch repository with the files of this one."""

import io
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tools.changelog import ReleaseError
from tools.distribution import check_sdist, check_wheel
from tools.release import release

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = "98.7.6"
NEEDED: Final = {
    ".editorconfig",
    "CHANGELOG.md",
    "Makefile",
    "bench/__main__.py",
    "docs/limits.md",
    "examples/streamer.yaml",
    "requirements-dev.lock",
    "schemas/survey_event.schema.json",
    "streamer/__main__.py",
    "tests/samples/sprig/01-nps.json",
    "tests/tools/test_release.py",
}
"""Some of what an sdist without its manifest would lack."""


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of this repository, changed or not, as the one commit of another one."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository: an sdist does not know which files belong to it")
    copy = tmp_path / "repository"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").rstrip("\0").split("\0")
    for name in listed:
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    changelog = copy / "CHANGELOG.md"
    changelog.write_text(changelog.read_text("utf-8").replace("## [Unreleased]\n", "## [Unreleased]\n\n- A change.\n"))
    git(copy, "init", "--quiet", "--initial-branch", "main")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--message", "all")
    for name, value in {"NAME": "tests", "EMAIL": "tests@localhost"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    return copy


def test_a_release_is_built_committed_and_tagged(repository: Path) -> None:
    """Built from the sdist, installed into a new environment and used there: see `tools.distribution`."""
    release(repository, VERSION, skip_tests=True)

    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "log", "-1", "--format=%s") == f"release: {VERSION}\n"
    assert git(repository, "describe", "--exact-match") == f"v{VERSION}\n"
    assert git(repository, "diff", "--name-only", "HEAD~1").split() == ["CHANGELOG.md", "pyproject.toml"]
    assert tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION
    changelog = (repository / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"## \[Unreleased\]\n\n## \[{VERSION}\] - \d{{4}}-\d\d-\d\d\n\n- A change.\n", changelog)
    [wheel] = (repository / "dist").glob("*.whl")
    [sdist] = (repository / "dist").glob("*.tar.gz")
    assert wheel.name == f"survey_streamer-{VERSION}-py3-none-any.whl"
    with tarfile.open(sdist) as archive:
        assert {name.partition("/")[2] for name in archive.getnames()} >= NEEDED


def change(repository: Path, name: str, old: str, new: str) -> None:
    text = (repository / name).read_text("utf-8")
    assert old in text
    (repository / name).write_text(text.replace(old, new, 1), "utf-8")
    git(repository, "commit", "--quiet", "--all", "--message", "change")


def test_what_is_not_committed_or_not_on_main_is_not_released(repository: Path) -> None:
    (repository / "stray.txt").write_text("")
    with pytest.raises(ReleaseError, match=r"not committed.*\n.*stray\.txt"):
        release(repository, VERSION, skip_tests=True)
    (repository / "stray.txt").unlink()
    git(repository, "checkout", "--quiet", "-b", "topic")
    with pytest.raises(ReleaseError, match="releases are made on main, and this is topic"):
        release(repository, VERSION, skip_tests=True)


def test_a_lock_that_does_not_fit_stops_the_release(repository: Path) -> None:
    change(repository, "pyproject.toml", '"orjson>=3.12,<4"', '"orjson>=99,<100"')
    with pytest.raises(ReleaseError, match=r"requirements\.lock: orjson 3\.[\d.]+ is not <100,>=99"):
        release(repository, VERSION, skip_tests=True)


def test_tests_that_fail_stop_the_release(repository: Path) -> None:
    """And nothing of it stays behind."""
    change(repository, "Makefile", "test: setup lint", "test:\n\texit 1\nold-test: setup lint")
    with pytest.raises(ReleaseError, match="make test failed"):
        release(repository, VERSION, skip_tests=False)
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "tag") == ""


def test_an_incomplete_sdist_is_found(tmp_path: Path) -> None:
    sdist = tmp_path / "x.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("PKG-INFO", "survey_streamer.egg-info/SOURCES.txt", "README.md", "secret.txt"):
            archive.addfile(tarfile.TarInfo(f"x/{name}"), io.BytesIO())

    with pytest.raises(ReleaseError) as refused:
        check_sdist(sdist, ["README.md", "docs/limits.md"])

    assert str(refused.value) == (
        "the sdist lacks docs/limits.md; the sdist should not hold secret.txt: correct MANIFEST.in"
    )


def test_a_wheel_without_its_schemas_or_with_tests_is_found(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("x.dist-info/METADATA", "streamer/__init__.py", "tests/conftest.py"):
            archive.writestr(name, "")

    with pytest.raises(ReleaseError, match=r"lacks streamer/schemas/a\.json; .* not hold tests/conftest\.py"):
        check_wheel(wheel, ["streamer/__init__.py", "schemas/a.json", "tests/conftest.py", "README.md"])
