"""The pages that are made from the code are true, and written in plain words."""

import argparse
import re
from collections.abc import Iterator
from typing import Any

import pytest

from streamer.__main__ import _parser
from streamer.devkit.docs.__main__ import DIRECTORY, generators, render_all
from streamer.devkit.docs.metrics import VALUES
from streamer.logs import Event
from streamer.status.inbound_metrics import OF_INBOUND
from streamer.status.metric_catalogue import (
    OF_CONSUMER,
    OF_DELIVERED_PARTITION,
    OF_DESTINATION,
    OF_INTEGRATION,
    OF_PARTITION,
    OF_SERVICE,
)
from streamer.status.series import Series

PAGES = render_all()
METRICS: list[Series[Any]] = [
    *OF_SERVICE,
    *OF_PARTITION,
    *OF_DELIVERED_PARTITION,
    *OF_CONSUMER,
    *OF_INTEGRATION,
    *OF_DESTINATION,
    *OF_INBOUND,
]

RIDDLES = (
    *("for ever", "anew", "tells of", "is told", "in a row", "is no name", "nobody took it", "goes again"),
    *("go again", "stands still", "stood still", "of its own accord", "begun"),
)
"""What reads like a riddle to somebody whose first language is another one; each has a usual word."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    path = DIRECTORY / name
    assert path.exists(), "run: make docs"
    assert path.read_text(encoding="utf-8") == PAGES[name], "run: make docs"


def test_the_modules_that_make_pages_are_found() -> None:
    assert {"streamer.devkit.docs.log_events", "streamer.devkit.docs.metrics"} <= set(generators())


def test_values_are_listed_for_labels_that_exist() -> None:
    labels = {(series.name, label) for series in METRICS for label in series.labels}
    assert VALUES.keys() <= labels


def helps(parser: argparse.ArgumentParser, command: str = "streamer") -> Iterator[tuple[str, str]]:
    """Each command with its help."""
    yield command, parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, part in action.choices.items():
                yield from helps(part, f"{command} {name}")


TEXTS = [
    *((event.event_name, f"{event.meaning} {event.next_step}") for event in Event),
    *((series.name, f"{series.documentation} {series.exists}") for series in METRICS),
    *helps(_parser()),
    *PAGES.items(),
]


@pytest.mark.parametrize(("name", "text"), TEXTS, ids=[name for name, _ in TEXTS])
def test_a_text_has_no_riddle_in_it(name: str, text: str) -> None:
    words = " ".join(text.split())
    found = [riddle for riddle in RIDDLES if re.search(rf"\b{riddle}\b", words, re.IGNORECASE)]
    assert not found, name
