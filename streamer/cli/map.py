"""``streamer map``: what would be sent for records, without sending it; no network."""

import argparse
import datetime as dt
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from streamer.cli.dry_mapping import dry_end
from streamer.cli.options import add_config, complete_integrations
from streamer.cli.record_values import STDIN, values_in
from streamer.core.model import Filtered, TrackCall

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
        " order: how the record would end, why, and the calls exactly as they would be sent. With --canonical, print"
        " the event in canonical form instead of the calls. Nothing leaves this machine.",
        epilog="Exit codes: 0 also when records are rejected, 1 a file cannot be read, 78 faults in the configuration."
        " Examples: streamer map --config streamer.yaml --integration sprig events.jsonl;"
        " streamer map --config streamer.yaml --integration sprig --canonical events.jsonl",
    )
    add_config(parser)
    complete_integrations(
        parser.add_argument("--integration", metavar="NAME", required=True, help="whose settings to map with")
    )
    parser.add_argument("--raw", action="store_true", help="each file is one whole record value, not a line each")
    parser.add_argument(
        "--canonical",
        action="store_true",
        help="print the event of each record in canonical form, null if it has none, instead of the calls",
    )
    parser.add_argument(
        "--record-time",
        metavar="TIME",
        type=_epoch_ms,
        help="the broker's time of the records: RFC 3339 or milliseconds since 1970 (default: now)",
    )
    parser.add_argument("files", metavar="FILE", nargs="*", default=["-"], help="files to read; - or none: stdin")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Map the records and print how each ends."""
    # The schemas' library and the settings' model take a while to load; `streamer --help` should not wait for them.
    from streamer.core.mapping import Mapper  # noqa: PLC0415
    from streamer.core.pushing import new_mapper  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    if args.integration not in settings.integrations:
        known = ", ".join(settings.integrations)
        print(f"streamer: {args.config} has no integration {args.integration}; it has {known}", file=sys.stderr)
        return EXIT_USAGE
    mapper = new_mapper(settings.mapping(args.integration))
    if args.canonical and not isinstance(mapper, Mapper):
        dialect = settings.integrations[args.integration].dialect
        print(f"streamer: records of the dialect {dialect} are no events, and have no canonical form", file=sys.stderr)
        return EXIT_USAGE
    record_time_ms = time.time_ns() // 1_000_000 if args.record_time is None else args.record_time
    canonical = mapper if args.canonical and isinstance(mapper, Mapper) else None
    for name in args.files:
        try:
            with nullcontext(sys.stdin.buffer) if name == STDIN else Path(name).open("rb") as file:
                for value in values_in(file, raw=args.raw):
                    end = _canonical_line(canonical, value, record_time_ms) if canonical else None
                    sys.stdout.buffer.write(end or _line(mapper, value, record_time_ms))
        except BrokenPipeError:
            raise
        except OSError as error:
            print(f"streamer: {name} cannot be read: {error.strerror}", file=sys.stderr)
            return EXIT_FAILED
    for warning, records in mapper.warnings.items():
        print(f"streamer: accepted with a warning: {warning} (records: {records})", file=sys.stderr)
    return 0


def _line(mapper: "MapsRecords", value: bytes, record_time_ms: int) -> bytes:
    """How one record ends, and its calls, as a line of JSON."""
    end = dry_end(lambda: mapper.map(value, record_time_ms, (), None))
    calls = [] if end.call is None else [orjson.Fragment(end.call.body)]
    return orjson.dumps({"outcome": end.outcome, "reason": end.reason, "detail": end.detail, "calls": calls}) + b"\n"


def _canonical_line(mapper: "Mapper", value: bytes, record_time_ms: int) -> bytes:
    """How one record ends, and its event in canonical form, as a line of JSON."""
    document: EventDocument | None = None

    def map_keeping_the_event() -> TrackCall | Filtered:
        nonlocal document
        event = mapper.read(value, record_time_ms)
        if isinstance(event, Filtered):
            return event
        document = mapper.to_document(event)
        return mapper.write(event)

    end = dry_end(map_keeping_the_event)
    line = {"outcome": end.outcome, "reason": end.reason, "detail": end.detail, "event": document}
    try:
        return orjson.dumps(line) + b"\n"
    except orjson.JSONEncodeError:
        # Only what is not sent can be so deep in a record that is delivered.
        detail = end.detail or "the event is nested too deeply to be shown"
        return orjson.dumps({**line, "detail": detail, "event": None}) + b"\n"


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
