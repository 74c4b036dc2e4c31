"""What a release does to versions and to the changelog."""

import datetime as dt
import re
from pathlib import Path
from typing import Final

import pytest

from tools.changelog import ReleaseError, check_version, dated, entries_in, version_in, with_version

ROOT: Final = Path(__file__).parents[2]
DAY: Final = dt.date(2026, 1, 31)
CHANGELOG: Final = """\
# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-01-01

- The first one.
"""


@pytest.mark.parametrize(
    ("wanted", "current", "tags"),
    [
        ("0.1.0", "0.1.0", ()),
        ("0.1.0", "0.0.9", ("v0.0.9",)),
        ("0.10.0", "0.9.0", ("v0.9.0", "v0.2.0", "nightly")),
        ("1.0.0", "0.1.0", ("v0.1.0",)),
    ],
)
def test_a_version_that_is_higher_than_what_was_released_is_taken(
    wanted: str, current: str, tags: tuple[str, ...]
) -> None:
    check_version(wanted, current, tags)


@pytest.mark.parametrize(
    ("wanted", "current", "tags", "text"),
    [
        ("", "0.1.0", (), "should be major.minor.patch"),
        ("1.0", "0.1.0", (), "should be major.minor.patch"),
        ("v1.0.0", "0.1.0", (), "should be major.minor.patch"),
        ("1.0.0rc1", "0.1.0", (), "should be major.minor.patch"),
        ("1.01.0", "0.1.0", (), "should be major.minor.patch"),
        ("0.1.0", "0.1.0", ("v0.1.0",), "should be higher than 0.1.0, which was released"),
        ("0.9.0", "0.1.0", ("v0.10.0", "v0.1.0"), "should be higher than 0.10.0"),
        ("0.1.0", "0.2.0", (), "should not be lower than 0.2.0"),
    ],
)
def test_other_versions_are_refused(wanted: str, current: str, tags: tuple[str, ...], text: str) -> None:
    with pytest.raises(ReleaseError, match=re.escape(text)):
        check_version(wanted, current, tags)


def test_the_version_is_set_in_its_one_place() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")

    changed = with_version(project, "12.34.56")

    assert version_in(changed) == "12.34.56"
    assert with_version(changed, version_in(project)) == project


@pytest.mark.parametrize("text", ['[project]\nname = "x"\n', 'version = "1.0.0"\nversion = "2.0.0"\n'])
def test_a_version_that_does_not_stand_there_once_is_refused(text: str) -> None:
    with pytest.raises(ReleaseError, match="should have one line"):
        with_version(text, "1.2.3")


def test_entries_get_version_and_date_and_the_next_ones_have_room() -> None:
    assert dated(CHANGELOG, "0.2.0", DAY) == CHANGELOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - 2026-01-31\n"
    )


def test_the_first_release_has_no_section_behind_it() -> None:
    first = CHANGELOG.partition("## [0.1.0]")[0]

    released = dated(first, "0.1.0", DAY)

    assert released.endswith("## [0.1.0] - 2026-01-31\n\n### Added\n\n- A thing.\n")
    with pytest.raises(ReleaseError, match="no entries under Unreleased"):
        entries_in(released)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (CHANGELOG.replace("## [Unreleased]", "## Unreleased"), "should have a heading"),
        (CHANGELOG.replace("- A thing.", ""), "has no entries under Unreleased"),
        (CHANGELOG.replace("0.1.0", "0.2.0"), "has a heading for 0.2.0 already"),
    ],
)
def test_a_changelog_that_says_nothing_of_the_release_is_refused(text: str, error: str) -> None:
    with pytest.raises(ReleaseError, match=re.escape(error)):
        dated(text, "0.2.0", DAY)


def test_the_changelog_of_this_repository_can_be_read() -> None:
    """Right after a release *Unreleased* is empty, so only the heading is asked for."""
    assert "## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")
