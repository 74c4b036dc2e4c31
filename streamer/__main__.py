"""Start here: the command line. Each command is a module in `streamer.cli` and is explained there.

What loads slowly is imported inside functions, after the signals are caught that can come from the first moment.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from streamer.level_signals import LEVEL_SIGNALS
from streamer.reload_signal import RELOAD_SIGNAL
from streamer.stop_signals import STOP_SIGNALS

if TYPE_CHECKING:
    import argparse

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNAVAILABLE: Final = 69
EXIT_SETTINGS: Final = 78
EXIT_INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; those of the process by default.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 69 something that we depend on is not available, 78 the
        configuration is wrong, 130 interrupted, 143 `streamer run` was ended by a second signal.
    """
    argv = sys.argv[1:] if argv is None else argv
    with ExitStack() as signals:
        if argv[:1] == ["run"]:
            signals.enter_context(LEVEL_SIGNALS.caught())
            signals.enter_context(RELOAD_SIGNAL.caught())
            signals.enter_context(STOP_SIGNALS.caught())
        try:
            return _run(argv)
        except KeyboardInterrupt:
            print("streamer: interrupted", file=sys.stderr)  # noqa: T201 - for people
            return EXIT_INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    from streamer.core.errors import SettingsError, UnavailableError  # noqa: PLC0415 - see above, as those below

    parser = _parser()
    if not argv:
        parser.print_help()
        return EXIT_USAGE  # nothing was asked for: a script that has lost its argument must not seem to succeed
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except SettingsError as error:
        count = "1 fault" if len(error.faults) == 1 else f"{len(error.faults)} faults"
        place = f" in {args.config}" if "config" in args else ""
        print(f"streamer: {count}{place}:", *error.faults, sep="\n  ", file=sys.stderr)  # noqa: T201 - for people
        return EXIT_SETTINGS
    except UnavailableError as error:
        print(f"streamer: {error}", file=sys.stderr)  # noqa: T201 - for people
        return EXIT_UNAVAILABLE
    except BrokenPipeError:
        # The reader of our output has ended, as `head` does. Python would report an error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return code


def _parser() -> "argparse.ArgumentParser":
    import argparse  # noqa: PLC0415

    from streamer import __version__  # noqa: PLC0415
    from streamer.cli import (  # noqa: PLC0415
        asyncapi,
        audit,
        check,
        completion,
        demo,
        diff,
        dlq,
        init,
        lag,
        pause,
        replay,
        resume,
        run,
        sandbox,
        schema,
        send,
        tap,
        top,
        trace,
        users,
        version,
        webhook,
    )
    from streamer.cli import map as map_command  # noqa: PLC0415
    from streamer.cli import test as test_command  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        prog="streamer",
        description="Delivers survey events from Kafka to Segment; commits only after delivery.",
        epilog="Example: streamer check --config streamer.yaml --connect",
    )
    parser.add_argument("--version", action="version", version=f"streamer {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (
        run,
        demo,
        init,
        check,
        trace,
        audit,
        lag,
        top,
        tap,
        pause,
        resume,
        replay,
        dlq,
        map_command,
        test_command,
        diff,
        schema,
        asyncapi,
        send,
        users,
        webhook,
        sandbox,
        completion,
        version,
    ):
        command.add_parser(commands)
    completion.complete(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
