"""The client's lines that are lowered to ``debug`` are known by their formats, which must be those of this version."""

import ast
from pathlib import Path

import aiokafka
import pytest

from streamer.kafka.client_lines import ABOUT_CONNECTIONS

LEVELS = {"warning", "error"}


def formats() -> set[str]:
    """The first argument of every warning and error in the client."""
    calls = (
        node
        for path in Path(aiokafka.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and node.args
    )
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}


@pytest.mark.parametrize("line", sorted(ABOUT_CONNECTIONS))
def test_the_client_still_says_it_in_these_words(line: str) -> None:
    assert line in formats()
