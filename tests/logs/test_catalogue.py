"""The catalogue of log events is what streamer says, no more and no less."""

import re
from pathlib import Path

import streamer
from streamer.logs import Event

SOURCES = "".join(path.read_text() for path in Path(streamer.__path__[0]).rglob("*.py"))


def test_every_event_of_the_catalogue_is_told_somewhere() -> None:
    """One that nobody tells is a promise to on-call that nothing keeps."""
    told = set(re.findall(r"\bEvent\.([A-Z_]+)", SOURCES))
    assert {event.name for event in Event} == told
