"""``streamer map``: what would be sent for records, without sending it; no network."""

import argparse
import datetime as dt
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.cli.explanation import as_json, explanation_of, print_table
from streamer.cli.mapping_source import add_mapping_source, mapping_of, new_mapper_of
from streamer.cli.record_values import STDIN, values_in
from streamer.core.model import MappingSettings
from streamer.operations.dry_mapping import DryEnd, dry_end

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.core.mapping import Mapper
    from streamer.core.mapping.event import EventDocument
    from streamer.pipeline.intake import MapsRecords

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "map",
        help="show what would be sent to Segment for records, without sending it",
        description="Read record values, one JSON document a line, and print one JSON object for each, in the same"
        " order: how the record would end, why, and the calls exactly as they would be sent. A refused record also has"
        " its messageId and the values for which it is refused. With --canonical, print the event in canonical form"
        " instead of the calls. Nothing leaves this machine.",
        epilog="Exit codes: 0 also when records are refused (1 with --strict), 1 a file cannot be read, 2 wrong usage,"
        " 78 faults in the settings of the integration."
        " Examples: streamer map --dialect sprig --strict events.jsonl;"
        " streamer map --config streamer.yaml --integration sprig events.jsonl;"
        " streamer map --dialect sprig --raw --explain event.json",
    )
    add_mapping_source(parser)
    add = parser.add_argument
    add("--raw", action="store_true", help="each file is one whole record value, not a line each")
    add(
        "--strict",
        action="store_true",
        help="exit with 1 if a record is refused, and name each one on stderr with its line and messageId",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--canonical",
        action="store_true",
        help="print the event of each record in canonical form, null if it has none, instead of the calls",
    )
    shown.add_argument(
        "--explain",
        action="store_true",
        help="also print, for each field of a call, from which place of the record and which settings it comes, and by"
        " which rule: a table on a terminal, else in the JSON object",
    )
    add("-o", "--output", choices=("table", "json"), help="with --explain: form of the output")
    add(
        "--record-time",
        metavar="TIME",
        type=_epoch_ms,
        help="the broker's time of the records: RFC 3339 or milliseconds since 1970 (default: now)",
    )
    add("files", metavar="FILE", nargs="*", default=["-"], help="files to read; - or none: stdin")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Map the records and print how each ends."""
    settings = mapping_of(args)
    if settings is None:
        return EXIT_USAGE
    from streamer.core.mapping import Mapper  # noqa: PLC0415 - the schemas' library takes a while to load

    mapper = new_mapper_of(settings)
    events = mapper if isinstance(mapper, Mapper) else None
    if events is None and (args.canonical or args.explain):
        have = "no canonical form" if args.canonical else "no explanation"
        print(f"streamer: records of the dialect {settings.dialect} are no events, and have {have}", file=sys.stderr)
        return EXIT_USAGE
    printing = _Printing(mapper, events, settings, args)
    for name in args.files:
        try:
            with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
                printing.all_of(name, values_in(file, raw=args.raw))
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"streamer: {name} cannot be read: {error.strerror}", file=sys.stderr)
            return EXIT_FAILED
    for warning, records in mapper.warnings.items():
        print(f"streamer: accepted with a warning: {warning} (records: {records})", file=sys.stderr)
    if not args.strict:
        return 0
    print(f"streamer: {printing.refused:,} of {printing.records:,} records refused", file=sys.stderr)
    return EXIT_FAILED if printing.refused else 0


class _Printing:
    """Maps one record after the other, and prints what becomes of it."""

    def __init__(
        self, mapper: "MapsRecords", events: "Mapper | None", settings: MappingSettings, args: argparse.Namespace
    ) -> None:
        """Prepare; ``events`` is the mapper, if its records are events."""
        self._mapper = mapper
        self._events = events
        self._settings = settings
        self._args = args
        self._time_ms = time.time_ns() // 1_000_000 if args.record_time is None else args.record_time
        self._is_table = args.explain and (args.output or ("table" if sys.stdout.isatty() else "json")) == "table"
        self.records = 0
        self.refused = 0

    def all_of(self, name: str, values: Iterator[bytes]) -> None:
        """Print what becomes of the records of one file."""
        from streamer.operations.dry_line import looks_cut_into_lines  # noqa: PLC0415 - the mapping takes a while to load

        is_cut = False
        for number, value in enumerate(values, start=1):
            where = ("stdin" if name == STDIN else name) + ("" if self._args.raw else f":{number}")
            end = dry_end(partial(self._mapper.map, value, self._time_ms, (), None))
            is_cut = is_cut or (number == 1 and not self._args.raw and looks_cut_into_lines(value, end))
            self._print(where, value, end)
        if is_cut:
            text = f"{name} seems to be one JSON document over several lines; a line was taken for a record each time"
            print(f"streamer: {text}. Use --raw: each file is one record. Of a list: jq -c '.[]' FILE", file=sys.stderr)

    def _print(self, where: str, value: bytes, end: DryEnd) -> None:
        from streamer.operations.dry_line import event_document, found_in, line_of, refusal  # noqa: PLC0415

        self.records += 1
        line = line_of(end)
        if end.is_refused:
            self.refused += 1
            found = found_in(value, end, self._mapper, self._settings)
            line |= {"message_id": end.message_id, "found": found}
            if self._args.strict:
                print(f"streamer: {refusal(where, end, found)}", file=sys.stderr)
        if self._events is not None and self._args.canonical:
            del line["calls"]
            sys.stdout.buffer.write(_with_event(line, event_document(value, self._time_ms, self._events)))
        elif self._events is not None and self._args.explain:
            fields = explanation_of(value, self._time_ms, end, self._events, self._settings)
            if self._is_table:
                print_table(where, end, fields)
            else:
                sys.stdout.buffer.write(_dumps({**line, "explain": as_json(fields)}))
        else:
            sys.stdout.buffer.write(_dumps(line))


def _with_event(line: dict[str, Any], document: "EventDocument | None") -> bytes:
    try:
        return _dumps({**line, "event": document})
    except orjson.JSONEncodeError:
        # Only what is not sent can be so deep in a record that is delivered.
        detail = line["detail"] or "the event is nested too deeply to be shown"
        return _dumps({**line, "detail": detail, "event": None})


def _dumps(line: dict[str, Any]) -> bytes:
    """A line of output; without the values of a refused record if they are nested too deeply to be shown."""
    try:
        return orjson.dumps(line) + b"\n"
    except orjson.JSONEncodeError:
        if not line.get("found"):
            raise
        return _dumps({**line, "found": []})


def _epoch_ms(text: str) -> int:
    """A time of the command line in milliseconds since 1970: given as such, or in RFC 3339."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        instant = dt.datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither RFC 3339 (2026-03-02T09:15:27Z) nor milliseconds")
    return int(instant.timestamp() * 1000)
