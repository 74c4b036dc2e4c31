"""Versions and the changelog of a release: texts in, texts out."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final

from packaging.version import Version

VERSION: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
"""Major, minor and patch, as numbers without leading zeros."""

TAG_PREFIX: Final = "v"

_UNRELEASED: Final = re.compile(r"^## \[Unreleased\]\n(?P<entries>.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)
_SECTION: Final = re.compile(r"^version = \"(?P<version>[^\"]*)\"$", re.MULTILINE)


class ReleaseError(Exception):
    """The release cannot be made; the text says why, and what to do."""


def check_version(wanted: str, current: str, tags: Iterable[str]) -> None:
    """Check that ``wanted`` can be released.

    Args:
        wanted: the version to release.
        current: the version in ``pyproject.toml``.
        tags: the tags of the repository.

    Raises:
        ReleaseError: it is not ``x.y.z``, or not higher than what was released.
    """
    if not VERSION.fullmatch(wanted):
        raise ReleaseError(f"VERSION should be major.minor.patch, such as 0.2.0, not {wanted!r}")
    released = [
        Version(tag.removeprefix(TAG_PREFIX)) for tag in tags if VERSION.fullmatch(tag.removeprefix(TAG_PREFIX))
    ]
    highest = max(released, default=None)
    if highest is not None and Version(wanted) <= highest:
        raise ReleaseError(f"VERSION should be higher than {highest}, which was released")
    if Version(wanted) < Version(current):
        raise ReleaseError(f"VERSION should not be lower than {current}, the version in pyproject.toml")


def version_in(project: str) -> str:
    """The version in the text of ``pyproject.toml``, which stands there once."""
    found = _SECTION.findall(project)
    if len(found) != 1:
        raise ReleaseError(f'pyproject.toml should have one line version = "x.y.z", not {len(found)}')
    return str(found[0])


def with_version(project: str, version: str) -> str:
    """The text of ``pyproject.toml`` with another version."""
    version_in(project)
    return _SECTION.sub(f'version = "{version}"', project)


def entries_in(changelog: str) -> str:
    """The entries under *Unreleased*.

    Raises:
        ReleaseError: there is no such heading, or nothing under it.
    """
    found = _UNRELEASED.search(changelog)
    if found is None:
        raise ReleaseError("CHANGELOG.md should have a heading ## [Unreleased]")
    entries = found["entries"].strip()
    if not re.search(r"^- \S", entries, re.MULTILINE):
        raise ReleaseError("CHANGELOG.md has no entries under Unreleased; say what changes for those who run streamer")
    return entries


def dated(changelog: str, version: str, day: dt.date) -> str:
    """The changelog with the entries under *Unreleased* moved to a version, and *Unreleased* empty."""
    entries = entries_in(changelog)
    if f"## [{version}]" in changelog:
        raise ReleaseError(f"CHANGELOG.md has a heading for {version} already")
    section = f"## [Unreleased]\n\n## [{version}] - {day.isoformat()}\n\n{entries}\n\n"
    return _UNRELEASED.sub(lambda _: section, changelog, count=1).rstrip("\n") + "\n"
