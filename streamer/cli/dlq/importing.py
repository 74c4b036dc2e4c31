"""``streamer dlq import``: writes corrected dead letters back to the topics that they were read from."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.cli.dlq.redrive import add_writing, carry_out
from streamer.cli.dlq.selecting import EXIT_FAILED, EXIT_USAGE, load_settings, reading, topics_of
from streamer.cli.options import add_config, add_output
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.core.dead_letters.redrive import Plan
from streamer.core.model import Filtered, Outcome, Record, TrackCall
from streamer.operations.dry_mapping import dry_end

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.core.inbound.rules import Rules
    from streamer.operations.corrections import Corrections
    from streamer.operations.letter_files import Judge, Reviewed
    from streamer.settings import Settings


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "import",
        help="write corrected dead letters back to the topics that they were read from",
        description="Read dead letters that streamer dlq export wrote and a person corrected, and write those with"
        " another value back to the topics that they were read from, with their own key, headers and timestamp. A value"
        " that the integration would set aside again is not written. Only the value may be corrected; what else is in"
        " the file is not read. Without --execute nothing is written. Like redrive, the command can be interrupted and"
        " repeated.",
        epilog="Exit codes: 0 done, 1 some corrections are invalid, skipped or left, or the file cannot be read,"
        " 69 the brokers are not available, 78 faults in the configuration, 130 interrupted."
        " Example: streamer dlq import --config streamer.yaml letters.jsonl --execute",
    )
    parser.add_argument(
        "file", metavar="FILE|DIR", type=Path, help="file of dlq export, or a directory with .json files of it"
    )
    add_config(parser)
    add_writing(parser)
    parser.add_argument(
        "--force", action="store_true", help="also write values that the integration would set aside again"
    )
    add_output(parser)
    parser.set_defaults(run=run, integration=[])


def run(args: argparse.Namespace) -> int:
    """Write the corrected dead letters back, or only say what would be written."""
    from streamer.operations.corrections import Corrections  # noqa: PLC0415

    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    try:
        corrections = Corrections(args.file, topics_of(settings, args))
        if corrections.faults:
            print("streamer: nothing was written, because of faults:", *corrections.faults, sep="\n  ", file=sys.stderr)
            return EXIT_FAILED
        with quiet_client():
            return asyncio.run(_import(settings, corrections, args))
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"streamer: {error.filename} cannot be read: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED


async def _import(settings: "Settings", corrections: "Corrections", args: argparse.Namespace) -> int:
    from streamer.operations.letter_files import composer, review  # noqa: PLC0415
    from streamer.operations.redrive import is_read  # noqa: PLC0415

    async with reading(settings) as reader:
        bar = ProgressBar("comparing")
        reviewed = await review(reader, corrections, judge_of(settings), bar.show, force=args.force)
        bar.clear()
        plan = Plan(
            reviewed.stock,
            is_read=lambda name, topic: is_read(settings, name, topic),
            max_redrives=args.max_redrives,
            again=args.again,
            corrected=reviewed.skip_of,
        )
        code = await carry_out(plan, reader, settings, args, composer(corrections))
    _say(reviewed, corrections)
    return code or (EXIT_FAILED if reviewed.found < len(corrections) else 0)


def judge_of(settings: "Settings") -> "Judge":
    """Says why a record, as it will be written, would not be delivered: it is mapped, and nothing is sent."""
    from streamer.core.pushing import new_mapper  # noqa: PLC0415
    from streamer.settings.inbound import INBOUND  # noqa: PLC0415

    rules = None if settings.inbound is None else settings.inbound_rules()
    mappers = {name: new_mapper(settings.mapping(name)) for name in settings.integrations}

    def judge(integration: str, record: Record, value: bytes) -> str | None:
        if integration == INBOUND and rules is not None:
            return _fault_of_call(record, value, rules)
        mapper = mappers.get(integration)
        if mapper is None:  # the integration is gone, so that its dead letters are skipped as `not_read`
            return None

        def map_it() -> TrackCall | Filtered:
            return mapper.map(value, record.timestamp, record.headers, record.key)

        end = dry_end(map_it)
        if end.outcome is Outcome.DELIVERED:
            return None
        return f"{end.reason}: {end.detail}" if end.detail else f"it would be filtered as {end.reason}"

    return judge


def _fault_of_call(record: Record, value: bytes, rules: "Rules") -> str | None:
    """Why a call of the way back would not be applied, as far as its record alone says."""
    from streamer.core.inbound.call import Ignored, Rejected  # noqa: PLC0415
    from streamer.core.inbound.reading import read  # noqa: PLC0415

    end = read(value, record.headers, record.timestamp, rules)
    if isinstance(end, Rejected):
        return f"{end.reason}: {end.detail}"
    return f"it would be ignored as {end.reason}" if isinstance(end, Ignored) else None


def _say(reviewed: "Reviewed", corrections: "Corrections") -> None:
    """Say what the files hold, compared with Kafka."""
    changed = reviewed.found - reviewed.unchanged
    print(
        f"streamer: {len(corrections):,} dead letters in the file: {changed:,} changed, {reviewed.unchanged:,}"
        f" unchanged; {reviewed.invalid:,} of the changed are invalid",
        file=sys.stderr,
    )
    for complaint in reviewed.complaints:
        print(f"  {complaint}", file=sys.stderr)
    missing = len(corrections) - reviewed.found
    if missing:
        print(f"streamer: {missing:,} are no longer in their topics; nothing was written for them", file=sys.stderr)
