"""docs/questions.md shows what the questions printed."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from streamer.__main__ import _parser
from tests.questions import transcripts

SHOWN: Final = Path(__file__).with_name("test_questions.py").read_text("utf-8")
COMMANDS: Final = re.findall(r"^\$ streamer (.+)$", transcripts.PAGE.read_text("utf-8"), re.MULTILINE)


def test_every_block_of_the_page_is_written_by_a_question() -> None:
    assert transcripts.names()
    assert [name for name in transcripts.names() if f'"{name}"' not in SHOWN] == []


def test_every_block_has_an_output() -> None:
    text = transcripts.PAGE.read_text("utf-8")
    assert [name for name in transcripts.names() if f"<!-- answer: {name} -->\n```\n$ streamer " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_the_page_exist(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "those.txt").write_text("evt_1")
    monkeypatch.chdir(tmp_path)
    _parser().parse_args(shlex.split(command))
