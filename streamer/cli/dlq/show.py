"""``streamer dlq show``: one dead letter with its bytes, its headers and its story."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamer.cli.dlq.selecting import EXIT_FAILED, EXIT_USAGE, load_settings, reading, topics_of
from streamer.cli.options import add_config, add_output, complete_integrations
from streamer.cli.output import harmless, is_json
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.record_text import one_line, value_text
from streamer.core.dead_letters.casebook import Case, Casebook
from streamer.core.dead_letters.dead_letter import texts_of
from streamer.core.dead_letters.exported import exported, key_of, record_time, time_text, value_of
from streamer.core.dead_letters.redrive import is_of_dead_letter

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.settings import Settings


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "show",
        help="show a dead letter: its bytes, its headers, and what became of it",
        description="Show the dead letter at a place, or those with a messageId: why it was set aside and when, its"
        " attempts, when it was redriven, which dead letter it became again, its headers, and its value: as JSON or as"
        " text if it is, else as a hex dump.",
        epilog="Exit codes: 0 found, 1 not found, 69 the brokers are not available, 78 faults in the configuration."
        " Examples: streamer dlq show --config streamer.yaml evt_3; streamer dlq show --config streamer.yaml --raw"
        " surveys.dlq:0:17 > value.json",
    )
    parser.add_argument(
        "one",
        metavar="PLACE|MESSAGE_ID",
        help="topic:partition:offset of the dead letter or of the record that it is of, or a messageId",
    )
    add_config(parser)
    complete_integrations(
        parser.add_argument(
            "--integration",
            metavar="NAME",
            action="append",
            default=[],
            help="look only at the dead-letter topics of this integration; repeatable",
        )
    )
    parser.add_argument("--raw", action="store_true", help="write the bytes of the value to stdout, and nothing else")
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find the dead letter, and show it."""
    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    with quiet_client():
        casebook = asyncio.run(_find(settings, args))
    if not casebook.cases:
        looked = ", ".join(topics_of(settings, args))
        print(f"streamer: no dead letter {args.one} is in {looked}; retention may have deleted it", file=sys.stderr)
        return EXIT_FAILED
    if args.raw:
        return write_raw(casebook.cases)
    for number, case in enumerate(casebook.cases):
        if is_json(args.output):
            print(json.dumps(_document(case)))
        else:
            print(*([""] if number else []), *lines_of(case), sep="\n")
    if casebook.more:
        print(f"streamer: and {casebook.more:,} more, which are not shown", file=sys.stderr)
    return 0


async def _find(settings: "Settings", args: argparse.Namespace) -> Casebook:
    from streamer.operations.redrive import find_cases  # noqa: PLC0415

    casebook = Casebook(args.one)
    bar = ProgressBar("reading")
    async with reading(settings) as reader:
        await find_cases(reader, topics_of(settings, args), casebook, bar.show)
    bar.clear()
    return casebook


def write_raw(cases: list[Case]) -> int:
    """Write the bytes of the value of the only case to stdout; returns the exit code."""
    if len(cases) > 1:
        places = ", ".join(str(case.place) for case in cases)
        print(f"streamer: {len(cases)} dead letters have it; name the place of one: {places}", file=sys.stderr)
        return EXIT_FAILED
    value = value_of(cases[0].record, cases[0].letter)
    if value is None:
        print(f"streamer: the dead letter {cases[0].place} has no value", file=sys.stderr)
        return EXIT_FAILED
    sys.stdout.buffer.write(value)
    return 0


def _document(case: Case) -> dict[str, object]:
    return {
        **exported(case.record, case.letter),
        "schema_says": _sentence(case) or None,
        "redriven": [time_text(moment) for moment in case.redriven_at],
        "dead_letter_again": [{"place": str(place), "time": time_text(moment)} for place, moment in case.again],
    }


def lines_of(case: Case) -> Iterator[str]:
    """A dead letter for people, line by line."""
    yield str(case.place)
    for label, text in _story(case):
        if text:
            yield f"  {label:<15}{harmless(text)}"
    theirs = [header for header in case.record.headers if not is_of_dead_letter(header[0])]
    yield "headers of the record" if theirs else "the record has no headers"
    for name, value in theirs:
        yield f"  {one_line(name.encode(errors='replace'))}: {one_line(value)}"
    value = value_of(case.record, case.letter)
    if value is None:
        yield "no value: " + ("the record has none" if case.letter.is_tombstone else "the broker did not accept it")
        return
    kind, text = value_text(value)
    yield f"value ({len(value):,} bytes, {kind})"
    yield text


def _story(case: Case) -> Iterator[tuple[str, str | None]]:
    """What happened, from the record on."""
    letter, headers = case.letter, texts_of(case.record)
    yield "message id", letter.message_id
    yield "integration", letter.integration
    recorded = time_text(record_time(case.record, letter))
    yield "record", f"{case.source}, of {recorded or 'no time'}"
    yield "key", one_line(key_of(case.record, letter))
    yield "redriven from", letter.redriven_from
    yield "destination", headers.get("streamer.destination")
    yield "attempts", headers.get("streamer.attempts")
    yield "first failure", headers.get("streamer.first_failure_time")
    yield "HTTP status", headers.get("streamer.http.status")
    yield "dead letter", f"since {time_text(letter.set_aside_at)}, redriven {letter.redrives} times before"
    stage = headers.get("__connect.errors.stage")
    yield "reason", letter.reason + (f" (stage {stage})" if stage else "")
    yield "detail", letter.detail
    yield "schema says", _sentence(case)
    for moment in case.redriven_at:
        yield "redriven", time_text(moment)
    for place, moment in case.again:
        yield "again", f"dead letter again since {time_text(moment)}: {place}"


def _sentence(case: Case) -> str:
    from streamer.core.mapping.sentence import sentence_of  # noqa: PLC0415 - the schemas' library loads slowly

    return sentence_of(case.letter.detail)
