"""``streamer users``: the directory of users of the way back: imported, exported, looked up, forgotten."""

import argparse
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from streamer.cli import users_import
from streamer.cli.directory import EXIT_FAILED, STDERR, load_settings, work_on_directory
from streamer.cli.options import add_config, add_output
from streamer.cli.output import Row, print_rows
from streamer.cli.progress import ProgressBar

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.core.inbound.directory import User
    from streamer.directory.store import Directory
    from streamer.settings import Settings

EXPORT_BYTES: Final = 64 << 10
"""Lines are written to standard output in blocks of about this size."""


def add_parser(commands: "Commands") -> None:
    """Register the command and its subcommands."""
    parser = commands.add_parser(
        "users",
        help="import, export, look up and forget users of the directory",
        description="The directory holds the users that Segment's calls describe (configuration sections inbound and"
        " directory). These commands work on its database, also while the service runs; no restart is needed.",
        epilog="Example: streamer users show usr_48151 --config streamer.yaml",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    users_import.add_parser(parts)
    _add_export(parts)
    _add_find(parts)
    show = parts.add_parser(
        "show",
        help="print all that is known of a user",
        description="Print the directory line of a user as JSON, with all times. An old name of the user will do.",
        epilog="Exit codes: 0 done, 1 there is no such user, 69 the database is away, 78 faults in the configuration."
        " Example: streamer users show usr_48151 | jq .attributes",
    )
    add_config(show)
    show.add_argument("username", metavar="USERNAME")
    show.set_defaults(run=run_show)
    forget = parts.add_parser(
        "forget",
        help="delete a user, as a delete call of Segment does",
        description="Delete a user with devices, redirects and attributes, and publish a tombstone of the profile."
        " Calls that are older than now do not bring the user back. Without --execute, print what would be deleted.",
        epilog="Exit codes: 0 done, 1 there is no such user, 69 the database is away, 78 faults in the configuration."
        " Example: streamer users forget usr_48151 --execute",
    )
    add_config(forget)
    forget.add_argument("username", metavar="USERNAME")
    forget.add_argument("--execute", action="store_true", help="delete; without it, print what would be deleted")
    forget.set_defaults(run=run_forget)


def _add_export(parts: "Commands") -> None:
    parser = parts.add_parser(
        "export",
        help="print all users as JSON lines",
        description="Print all users, then the devices without a user that have attributes, as JSON lines sorted by"
        " code point: the directory as it is at one moment.",
        epilog="Exit codes: 0 done, 69 the database is away, 78 faults in the configuration."
        " Example: streamer users export --times > users.jsonl",
    )
    add_config(parser)
    parser.add_argument(
        "--times", action="store_true", help="add the times of all values, and all devices, for a move without loss"
    )
    parser.set_defaults(run=run_export)


def _add_find(parts: "Commands") -> None:
    parser = parts.add_parser(
        "find",
        help="find users by e-mail address, userId or anonymousId",
        description="Print the users that have an e-mail address, a userId (also an old one) or a device.",
        epilog="Exit codes: 0 found, 1 nobody was found, 69 the database is away, 78 faults in the configuration."
        " Example: streamer users find --email ben@example.com",
    )
    add_config(parser)
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--email", metavar="E", help="compared without regard to case, as for calls")
    by.add_argument("--user-id", metavar="U", help="a username or an old one, exactly")
    by.add_argument("--anonymous-id", metavar="A", help="exactly")
    add_output(parser)
    parser.set_defaults(run=run_find)


def run_export(args: argparse.Namespace) -> int:
    """Print all lines."""
    return work_on_directory(load_settings(args), lambda directory: _export(directory, times=args.times))


async def _export(directory: "Directory", *, times: bool) -> int:
    from streamer.directory.transfer import export  # noqa: PLC0415

    bar = ProgressBar("exporting")
    block = bytearray()
    is_shown = not sys.stdout.isatty()
    async with aclosing(export(directory, times=times, on_progress=bar.show if is_shown else _say_nothing)) as lines:
        async for line in lines:
            block += line
            if len(block) >= EXPORT_BYTES:
                _write(block)
    _write(block)
    bar.clear()
    return 0


def _say_nothing(_done: int, _total: int) -> None:
    """The lines on the terminal show the progress."""


def _write(block: bytearray) -> None:
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    block.clear()


def run_find(args: argparse.Namespace) -> int:
    """Print who was found."""
    return work_on_directory(load_settings(args), lambda directory: _find(directory, args))


async def _find(directory: "Directory", args: argparse.Namespace) -> int:
    from streamer.directory.people import find  # noqa: PLC0415

    users, devices = await find(directory, email=args.email, user_id=args.user_id, anonymous_id=args.anonymous_id)
    print_rows([_user_row(user) for user in users], args.output)
    for device in devices:
        print(
            f"streamer: a device without a user, with {len(device.person.attributes):,} attributes of its own",
            file=sys.stderr,
        )
    if not users:
        print("streamer: no user was found", file=sys.stderr)
    return 0 if users else EXIT_FAILED


def run_show(args: argparse.Namespace) -> int:
    """Print a user."""
    return work_on_directory(load_settings(args), lambda directory: _show(directory, args.username))


async def _show(directory: "Directory", username: str) -> int:
    from streamer.core.inbound.lines import user_line  # noqa: PLC0415

    user = await _user_of(directory, username)
    if user is None:
        return EXIT_FAILED
    line = user_line(user, times=True)
    if sys.stdout.isatty():
        import orjson  # noqa: PLC0415

        line = orjson.dumps(orjson.loads(line), option=orjson.OPT_INDENT_2)
    print(line.decode())
    return 0


def run_forget(args: argparse.Namespace) -> int:
    """Delete a user, or print what would be deleted."""
    from streamer.logs import configured  # noqa: PLC0415

    settings = load_settings(args)
    with configured(settings.log, file_descriptor=STDERR):
        return work_on_directory(settings, lambda directory: _forget(directory, settings, args))


async def _forget(directory: "Directory", settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.directory.people import forget  # noqa: PLC0415

    user = await _user_of(directory, args.username)
    if user is None:
        return EXIT_FAILED
    what = f"{len(user.devices):,} devices, {len(user.redirects):,} old names"
    if not args.execute:
        print(f"streamer: nothing was deleted; --execute deletes the user with {what}", file=sys.stderr)
        return 0
    await forget(directory, args.username, settings.inbound_rules())
    print(f"streamer: the user is deleted, with {what}; the service publishes the tombstone", file=sys.stderr)
    return 0


async def _user_of(directory: "Directory", username: str) -> "User | None":
    from streamer.directory.people import find  # noqa: PLC0415

    users, _ = await find(directory, user_id=username)
    if not users:
        print("streamer: there is no such user", file=sys.stderr)
        return None
    return users[0]


def _user_row(user: "User") -> Row:
    def text(value: Any) -> str:
        return "" if value is None else str(value.value)

    person = user.person
    return {
        "username": user.username,
        "email": text(person.email),
        "firstname": text(person.firstname),
        "lastname": text(person.lastname),
        "attributes": len(person.attributes),
        "devices": len(user.devices),
        "redirects": len(user.redirects),
        "changed": _changed(user),
    }


def _changed(user: "User") -> str:
    from streamer.core.inbound.call import OLDEST  # noqa: PLC0415
    from streamer.core.inbound.times import text_of  # noqa: PLC0415

    return "" if user.changed == OLDEST else text_of(user.changed)
