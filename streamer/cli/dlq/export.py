"""``streamer dlq export``: writes dead letters to files, so that people can look at them and correct them."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from streamer.cli.dlq.selecting import (
    EXIT_FAILED,
    EXIT_USAGE,
    add_selection,
    load_settings,
    read_stock,
    reading,
    say_foreign,
)
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.core.dead_letters.redrive import Plan, kind_of

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.settings import Settings


def add_parser(parts: "Commands") -> None:
    """Register the command."""
    parser = parts.add_parser(
        "export",
        help="write dead letters to files, so that they can be corrected",
        description="Write dead letters that were not redriven as JSON: one a line into a file, or each into a file of"
        " its own in a directory. The value is under value_json if it is an object or a list of JSON, else under"
        " value_text, else under value_base64. Correct the value there; streamer dlq import writes it back. The files"
        " hold the answers of people; only you can read them.",
        epilog="Exit codes: 0 done, 1 a file exists or cannot be written, 69 the brokers are not available, 78 faults"
        " in the configuration."
        " Example: streamer dlq export --config streamer.yaml --reason schema_invalid letters.jsonl",
    )
    parser.add_argument(
        "target",
        metavar="DIR|FILE",
        help="file to write; - for stdout; a directory, or a name that ends with a slash, for a file each",
    )
    add_selection(parser)
    parser.add_argument("--again", action="store_true", help="also write dead letters that were redriven")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the selected dead letters."""
    settings = load_settings(args)
    if settings is None:
        return EXIT_USAGE
    try:
        with quiet_client():
            asyncio.run(_export(settings, args))
    except BrokenPipeError:
        raise
    except FileExistsError as error:
        print(
            f"streamer: {error.filename} exists and was not overwritten, because it may have corrections; name another"
            " file, or remove it",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except OSError as error:
        print(f"streamer: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    return 0


async def _export(settings: "Settings", args: argparse.Namespace) -> None:
    from streamer.operations.letter_files import LetterFiles, export  # noqa: PLC0415

    async with reading(settings) as reader:
        stock = await read_stock(reader, settings, args, kind_of)
        plan = Plan.of_all(stock, again=args.again)
        bar = ProgressBar("writing")
        try:
            with LetterFiles(args.target) as files:
                written = await export(reader, plan, files, bar.show)
        finally:
            bar.clear()
    say_foreign(stock.foreign)
    print(f"streamer: {written:,} dead letters written to {args.target}", file=sys.stderr)
