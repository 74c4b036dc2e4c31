"""The last faults, one entry for all lines of one kind and subject, and the last dead letters with what to type."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from streamer.logs.fault import FaultLine
from streamer.page.figures import count, moment
from streamer.page.markup import element, joined
from streamer.page.parts import do, heading, name
from streamer.page.view import View
from streamer.status import RecentLetter

MAX_FAULTS: Final = 20
MAX_LETTERS: Final = 20

CONFIG: Final = "streamer.yaml"
"""Stands for the configuration file in commands: the page does not know under which name an operator reaches it."""

BROKERS: Final = "BROKER:9092"
"""Stands for the brokers: an operator may reach them under other names, and the page need not tell them."""


def faults(view: View) -> Markup:
    """The section of the last faults, the newest first."""
    lines = list(view.status.last_faults)[-MAX_FAULTS:]
    entries = [_fault(line, view) for line in sorted(lines, key=lambda line: line.at, reverse=True)]
    return joined(
        [
            heading("faults", "Last faults", "lines of one kind, subject and reason are one entry"),
            element("ol", entries, class_="entries")
            if entries
            else element("p", "No fault has been logged since the start.", class_="quiet"),
        ]
    )


def _fault(line: FaultLine, view: View) -> Markup:
    times = None
    if line.lines > 1:
        began = None if line.first_at is None else joined([" since ", moment(line.first_at, view.now)])
        times = element("span", count(line.lines), " times", began, class_="times")
    at_risk = line.data_at_risk != "no"
    return element(
        "li",
        element(
            "p",
            moment(line.at, view.now),
            " ",
            element("code", line.event_name, class_="event"),
            " ",
            element("b", name(line.subject)) if line.subject else None,
            " ",
            times,
            class_="head",
        ),
        element("p", joined(filter(None, [line.reason, line.detail]), ": ")) if line.reason or line.detail else None,
        element("p", "✕ Data at risk: ", line.data_at_risk, class_="act") if at_risk else None,
        do(line.next_step),
        data_key=f"{line.event_name} {line.subject} {line.reason}",
    )


def letters(view: View) -> Markup:
    """The section of the last dead letters of all integrations, the newest first."""
    found = [(consumer.name, letter) for consumer in view.status.consumers for letter in consumer.recent_letters]
    newest = sorted(found, key=lambda one: one[1].at, reverse=True)[:MAX_LETTERS]
    return joined(
        [
            heading("letters", "Last dead letters", f"the newest {len(newest)}" if newest else None),
            element("ol", [_letter(integration, letter, view) for integration, letter in newest], class_="entries")
            if newest
            else element("p", "No record has been dead-lettered since the start.", class_="quiet"),
        ]
    )


def _letter(integration: str, letter: RecentLetter, view: View) -> Markup:
    partition = f"{letter.topic}-{letter.partition}"
    place = element("code", name(partition), " offset ", letter.offset)
    message_id = "no messageId" if letter.message_id is None else joined(["messageId ", _code(letter.message_id)])
    return element(
        "li",
        element(
            "p",
            moment(letter.at, view.now),
            " ",
            element("code", letter.reason, class_="event"),
            " ",
            element("b", name(integration)),
            " ",
            element("span", place, " ", message_id, class_="place"),
            class_="head",
        ),
        element("p", name(letter.detail)) if letter.detail else None,
        element(
            "details",
            element("summary", "What to type"),
            [
                joined([element("p", why), element("pre", element("code", command))])
                for why, command in commands(integration, letter)
            ],
            data_key="commands",
        ),
        data_key=f"{integration} {partition} {letter.offset}",
    )


def _code(text: str) -> Markup:
    return element("code", name(text))


def commands(integration: str, letter: RecentLetter) -> Sequence[tuple[str, str]]:
    """What to type about a dead letter, each with what it is for. Names are quoted for a shell."""
    selection = ["--config", CONFIG, "--integration", integration, "--reason", letter.reason]
    day = datetime.fromtimestamp(letter.at, UTC).strftime("%Y-%m-%dT00:00:00Z")
    look = [
        *("kafka-console-consumer.sh", "--bootstrap-server", BROKERS, "--topic", letter.topic),
        *("--partition", str(letter.partition), "--offset", str(letter.offset), "--max-messages", "1"),
        *("--property", "print.headers=true"),
    ]
    return (
        ("See the record as it was produced. Its value holds a person's answers.", shlex.join(look)),
        ("Count all dead letters of this kind.", shlex.join(["streamer", "dlq", "ls", *selection, "--since", day])),
        (
            "Once the cause is removed, see what would be written back. Add --execute to do so.",
            shlex.join(["streamer", "dlq", "redrive", *selection]),
        ),
    )
