"""``streamer users import``: adds and updates users from a file."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.cli.directory import EXIT_FAILED, STDERR, load_settings, work_on_directory
from streamer.cli.options import add_config
from streamer.cli.progress import ProgressBar

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.directory.store import Directory
    from streamer.directory.transfer import Import
    from streamer.settings import Settings


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "import",
        help="add and update users from a file of JSON lines",
        description="Add and update users from a file of JSON lines, as export writes them; only username is required,"
        " or anonymousId and attributes. The whole file is checked first. Values without a time are older than any"
        " call: they fill gaps and replace what was imported before, and never what a call has set. Repeat the command"
        " if it was interrupted.",
        epilog="Exit codes: 0 done, 1 the file has faults and nothing was imported, 69 the database is away, 78 faults"
        " in the configuration. Example: streamer users import users.jsonl",
    )
    add_config(parser)
    parser.add_argument("file", metavar="FILE", type=Path, help="a file of JSON lines, in UTF-8")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="delete everything before: users, devices, deletion marks, known messageIds and records that wait to be"
        " published. Calls wait meanwhile",
    )
    parser.add_argument(
        "--execute", action="store_true", help="with --replace: do it, and do not only say what it does"
    )
    parser.add_argument("--publish", action="store_true", help="also publish the profiles of imported users")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the file, and import it."""
    from streamer.directory.transfer import FileFaultsError, check_file  # noqa: PLC0415 - loads SQLAlchemy
    from streamer.logs import configured  # noqa: PLC0415

    settings = load_settings(args)
    bar = ProgressBar("checking")
    try:
        found = check_file(args.file, settings.inbound_rules(), bar.show)
        bar.clear()
        if args.replace and not args.execute:
            return work_on_directory(settings, lambda directory: _say_replace(directory, found))
        with configured(settings.log, file_descriptor=STDERR):
            return work_on_directory(settings, lambda directory: _import(directory, settings, args))
    except FileFaultsError as error:
        bar.clear()
        print(
            f"streamer: nothing was imported, because {args.file} has faults:",
            *error.faults,
            sep="\n  ",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except OSError as error:
        bar.clear()
        print(f"streamer: {args.file} cannot be read: {os.strerror(error.errno or 0)}", file=sys.stderr)
        return EXIT_FAILED


async def _say_replace(directory: "Directory", found: "Import") -> int:
    counts = await directory.counts()
    print(
        f"streamer: nothing was changed; --execute deletes {counts.users:,} users and {counts.devices:,} devices, with"
        " all deletion marks, known messageIds and records that wait to be published, then imports"
        f" {found.users:,} users and {found.devices:,} devices without a user",
        file=sys.stderr,
    )
    return 0


async def _import(directory: "Directory", settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.directory.transfer import import_file  # noqa: PLC0415

    await directory.migrate()
    bar = ProgressBar("importing")
    try:
        done = await import_file(
            directory,
            args.file,
            settings.inbound_rules(),
            replace=args.replace,
            publish=args.publish,
            on_progress=bar.show,
        )
    finally:
        bar.clear()
    if done.deleted:
        print(f"streamer: {done.deleted:,} users were left out, because they were deleted since", file=sys.stderr)
    for remark, count in sorted(done.remarks.items()):
        print(f"streamer: {remark}: {count:,} values, devices or names were not taken over", file=sys.stderr)
    # In one piece: the log's own writer may come between a line that is printed and its end.
    sys.stderr.write(f"streamer: {done.users:,} users and {done.devices:,} devices without a user are imported\n")
    return 0
