"""The pages on profiles and triggers say what the code says, for both APIs."""

from pathlib import Path

import pytest

from streamer.core.pushing import APIS, PUSHES
from streamer.devkit.docs.pushes import render

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", PUSHES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    page = render()[f"dialects/{name}.md"]
    assert (DOCS / f"dialects/{name}.md").read_text() == page, "run: python -m streamer.devkit.docs"
    assert all(f"## {api.platform}" in page for api in APIS.values())
    assert all(f"`{reason}`" in page for reason in PUSHES[name].filters)
