"""docs/log-events.md: every log event, from the catalogue in `streamer.logs`."""

import logging
from typing import Final

from streamer.devkit.docs.markdown import code, codes, page, table
from streamer.logs import FOLD_SECONDS, Event
from streamer.logs.fault import Fault
from streamer.logs.fields import COMMON_FIELDS, FIELDS
from streamer.logs.runbooks import ALERTS, runbook_of

_FAULTS: Final = {
    Fault.UNHAPPY: "The destination's. It passes without help.",
    Fault.SET_UP: "The configuration's, or that of something else that only an operator can correct.",
    Fault.REFUSED: "The event's. No attempt will make it acceptable.",
    Fault.OURS: "A bug in streamer.",
    Fault.KAFKA: "The brokers', or that of the network between them and streamer.",
}

_INTRODUCTION: Final = f"""\
streamer writes one JSON object per line to standard output (on a terminal, readable lines). Every line is one of the
events below. Their names and levels are a contract: alerts may use them. `error` means that a person is needed, or that
a record was dead-lettered.

A line about a fault says whose fault it is, whether data is at risk, and what to do next. Some lines have a more exact
next step than the one shown here. `data_at_risk` is `yes` only on `{Event.RECORDS_LOST.event_name}`.

Lines of the same event and subject are folded: if an event has a limit, further lines within {FOLD_SECONDS:g} s are
counted, and a last line has their number in `suppressed`. The subject is made of integration, destination, topic,
partition, reason, error type and library."""


def render() -> dict[str, str]:
    """The page."""
    return {
        "log-events.md": page(
            "# Log events",
            _INTRODUCTION,
            "## Whose fault",
            table(("`fault`", "whose it is"), [(code(fault), _FAULTS[fault]) for fault in Fault]),
            "## All events",
            table(("event", "level", "fault"), [_summary(event) for event in Event]),
            *(block for event in Event for block in _section(event)),
            "## Fields of every line",
            table(("field", "meaning"), [(code(name), meaning) for name, meaning in COMMON_FIELDS.items()]),
            "## Fields of some events",
            "A field without a value is left out. On a terminal (`log.format: console`) fields have their short names.",
            table(
                ("field", "short name", "meaning"),
                [
                    (code(field.outside_name), code(name) if name != field.outside_name else "", field.meaning)
                    for name, field in FIELDS.items()
                    if field.outside_name not in COMMON_FIELDS
                ],
            ),
        )
    }


def _summary(event: Event) -> tuple[str, str, str]:
    name = event.event_name
    return f"[{code(name)}](#{name.replace('.', '')})", _level(event), code(event.fault) if event.fault else ""


def _level(event: Event) -> str:
    return logging.getLevelName(event.level).lower()


def _section(event: Event) -> list[str]:
    facts = [f"Level: {code(_level(event))}"]
    if event.fault is not None:
        facts.append(f"Fault: {code(event.fault)}")
    if event.max_lines is not None:
        lines = "line" if event.max_lines == 1 else "lines"
        facts.append(f"Limit: {event.max_lines} {lines} per subject in {FOLD_SECONDS:g} s")
    fields = [FIELDS[name].outside_name for name in event.fields]
    own = [name for name in fields if name not in COMMON_FIELDS]
    if own:
        facts.append(f"Fields: {codes(own)}")
    runbook = runbook_of(event)
    if runbook is not None:
        facts.append(f"Runbook: [{ALERTS[event]}]({runbook.removeprefix('docs/')})")
    next_step = [f"Next step: {event.next_step}"] if event.next_step else []
    return [f"### {event.event_name}", event.meaning, *next_step, "\n".join(f"- {fact}" for fact in facts)]
