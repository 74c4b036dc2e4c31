"""The documents name files and sections that exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

LINK: Final = re.compile(r"\[[^\]]*\]\((?!https?:)(?P<path>[^)#]*)(?:#(?P<anchor>[^)]*))?\)")
FILE: Final = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")
"""A path in code: with a slash, and without a blank or a wildcard."""

TOP: Final = {".ci", "bench", "deploy", "docs", "examples", "schemas", "streamer", "tests", "tools"}
"""A path begins with one of these, or belongs to somebody else."""


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def anchors_of(document: Path) -> Iterator[str]:
    """What GitHub makes of the headings of a document."""
    for heading in re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in LINK.finditer(document.read_text("utf-8")):
        target = document.parent / link["path"] if link["path"] else document
        assert target.exists(), f"{name_of(document)} links to {link['path']}, which does not exist"
        if link["anchor"]:
            assert link["anchor"] in set(anchors_of(target)), f"{name_of(target)} has no section {link['anchor']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_of_this_repository_exists(document: Path) -> None:
    named = [path for path in FILE.findall(document.read_text("utf-8")) if path.partition("/")[0] in TOP]

    missing = [path for path in named if not (ROOT / path).exists() and path != "bench/results/"]
    assert missing == [], f"{name_of(document)} names files that do not exist"


def test_the_documents_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/configuration.md", "docs/decisions/README.md"} <= set(
        map(name_of, DOCUMENTS)
    )
