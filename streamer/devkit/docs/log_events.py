"""docs/log-events.md: every log event, from the catalogue in `streamer.logs`."""

import logging
from typing import Final

from streamer.devkit.docs.markdown import code, codes, page, table
from streamer.logs import Event
from streamer.logs.fault import Fault
from streamer.logs.fields import COMMON_FIELDS, ECS_COMMON_FIELDS, FIELDS, LogField
from streamer.logs.folding import FOLD_SECONDS, MAX_FOLD_SECONDS, QUIET_SECONDS
from streamer.logs.forms import ECS_VERSION
from streamer.logs.runbooks import ALERTS, runbook_of

_FAULTS: Final = {
    Fault.UNHAPPY: "The destination's. It passes without help.",
    Fault.SET_UP: "The configuration's, or that of something else that only an operator can correct.",
    Fault.REFUSED: "The event's. No attempt will make it acceptable.",
    Fault.OURS: "A bug in streamer.",
    Fault.KAFKA: "The brokers', or that of the network between them and streamer.",
}

_INTRODUCTION: Final = f"""\
streamer writes one JSON object per line to standard output. Every line is one of the events below. Their names and
levels are a contract: alerts may use them. `error` means that a person is needed, or that a record was dead-lettered.

A line about a fault says whose fault it is, whether data is at risk, and what to do next. Some lines have a more exact
next step than the one shown here. `data_at_risk` is `yes` only on `{Event.RECORDS_LOST.event_name}`.

Lines of the same event and subject are folded: if an event has a limit, further lines within {FOLD_SECONDS:g} s are
counted, and one line at the end has their number in `suppressed`. While lines go on coming, the next windows are
20, 40 .. {MAX_FOLD_SECONDS:g} s long: a fault that lasts for hours is a line every 10 minutes. When no line has come
for {QUIET_SECONDS:g} s, the next one is written at once. The subject is made of integration, destination, topic,
partition, webhook, reason, error type and library. Events that are states of one thing, such as `destination.held` and
`destination.resumed`, are folded together, so that the last line is that of the present state; a line of a higher level
is written at once. Counts are written before the process ends.

## Forms

On a terminal, lines are text for people: time (UTC), level, event, subject, reason, `data_at_risk`, `next_step`, and
then the other fields under their short names. With the environment variable `NO_COLOR` they have no colours.
`log.format` chooses the form.

In JSON, `log.profile: otel` (the default) uses OpenTelemetry's names where there are any; `log.profile: ecs` uses those
of the Elastic Common Schema {ECS_VERSION}. There, what the schema has no name for is in the object `labels` under its
short name, and a fault's `detail` is in `error.message`. `event.outcome` is `failure` on lines about a fault, `unknown`
on other warnings, and `success` on the rest.

## Level

`log.level` sets the least level that is written. `kill -USR1 PID` sets it to `debug` while streamer runs, and
`kill -USR2 PID` sets it back. A line `{Event.LOG_LEVEL_CHANGED.event_name}` says so."""


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
            table(
                ("field", "ECS", "meaning"),
                [
                    (code(name), code(ECS_COMMON_FIELDS[name]) if name in ECS_COMMON_FIELDS else "", meaning)
                    for name, meaning in COMMON_FIELDS.items()
                ],
            ),
            "## Fields of some events",
            "A field without a value is left out.",
            table(
                ("field", "short name", "ECS", "meaning"),
                [
                    (
                        code(field.outside_name),
                        code(name) if name != field.outside_name else "",
                        code(_ecs_name(name, field)),
                        field.meaning,
                    )
                    for name, field in FIELDS.items()
                    if field.outside_name not in COMMON_FIELDS
                ],
            ),
        )
    }


def _ecs_name(name: str, field: LogField) -> str:
    return field.ecs_name or f"labels.{name}"


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
        facts.append(f"Limit: {event.max_lines} {lines} per subject in a window")
    fields = [FIELDS[name].outside_name for name in event.fields]
    own = [name for name in fields if name not in COMMON_FIELDS]
    if own:
        facts.append(f"Fields: {codes(own)}")
    runbook = runbook_of(event)
    if runbook is not None:
        facts.append(f"Runbook: [{ALERTS[event]}]({runbook.removeprefix('docs/')})")
    next_step = [f"Next step: {event.next_step}"] if event.next_step else []
    return [f"### {event.event_name}", event.meaning, *next_step, "\n".join(f"- {fact}" for fact in facts)]
