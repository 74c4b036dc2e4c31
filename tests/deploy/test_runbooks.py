"""The commands of the runbooks can be pasted at night: they exist, and so does what they look for."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from streamer.__main__ import _parser
from streamer.logs import Event
from streamer.logs.runbooks import PAGE
from streamer.status.document import document_of
from tests.deploy.alerts import ALERTS, ROOT, known_metrics
from tests.devkit.docs.test_docs import RIDDLES
from tests.status.conftest import NOW, ToldService
from tools.dashboard.form import ROWS

TEXT = (ROOT / PAGE).read_text("utf-8")
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL))
INLINE = [" ".join(code.split()) for code in re.findall(r"`(streamer [a-z][^`]*)`", TEXT)]
COMMANDS = sorted({*re.findall(r"^streamer [a-z].*$", SHELL, re.MULTILINE), *INLINE})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_the_command_line_takes(command: str) -> None:
    words = shlex.split(re.split(r" [|>] ", command)[0], comments=True)
    if len(words) > 2:  # the shorter ones are only named
        try:
            _parser().parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"the command line does not take: {command}")


def test_no_text_has_a_riddle_in_it() -> None:
    """They are read at night, by people whose first language may be another one."""
    annotations = [text for alert in ALERTS.values() for text in alert["annotations"].values()]
    panels = [f"{panel.title}. {panel.description}" for row in ROWS for panel in row.panels]
    for text in (TEXT, (ROOT / "docs/monitoring.md").read_text("utf-8"), *annotations, *panels):
        words = " ".join(text.split())
        assert [riddle for riddle in RIDDLES if re.search(rf"\b{riddle}\b", words, re.IGNORECASE)] == [], words[:80]


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 8


def test_the_metrics_that_are_looked_for_exist() -> None:
    names = re.findall(r"\bmetric (\w+)", SHELL)
    assert names
    for name in names:
        assert any(known.startswith(name) for known in known_metrics()), name


def test_the_log_lines_that_are_looked_for_exist() -> None:
    events = "\n".join(event.event_name for event in Event)
    patterns = [
        quoted or word for quoted, word in re.findall(r"^logs \| grep (?:-E '([^']+)'|(\S+))", SHELL, re.MULTILINE)
    ]
    assert len(patterns) > 20
    for pattern in patterns:
        whole = pattern if "." in pattern else rf"(?:{pattern})$"
        for alternative in alternatives_of(whole):
            assert re.search(alternative, events, re.MULTILINE), f"no event is named like {alternative}"


def alternatives_of(pattern: str) -> Iterator[str]:
    """Each alternative of a pattern that has at most one group."""
    match = re.fullmatch(r"(.*)\((?:\?:)?([^)]*)\)(.*)", pattern)
    before, choices, after = match.groups() if match else ("", pattern, "")
    yield from (f"{before}{choice}{after}" for choice in choices.split("|"))


def test_the_fields_of_the_status_that_are_looked_for_exist() -> None:
    document = document_of(ToldService().status(), now=NOW, monotonic_now=0.0)
    patterns = re.findall(r"^status \| grep .*?'\"(?:\(([\w|]+)\)|(\w+))\"", SHELL, re.MULTILINE)
    assert patterns
    assert {field for many, one in patterns for field in (many or one).split("|")} <= set(keys_of(document))


def keys_of(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
    for part in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from keys_of(part)


def test_the_paths_that_are_asked_for_exist() -> None:
    """Those of `streamer.server`."""
    paths = set(re.findall(r"\bask '?(/\w+)", SHELL))
    assert paths <= {"/livez", "/readyz", "/startupz", "/metrics", "/version", "/status"}
