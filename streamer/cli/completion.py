"""``streamer completion``: what a shell needs to complete commands, options and names of integrations.

argcomplete does the work: the shell calls ``streamer`` with the variable ``_ARGCOMPLETE``, and `complete` answers from
the parser of the command line. Nobody else imports it, so other commands start as fast as without it.
"""

import argparse
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamer.cli.options import Commands

VARIABLE: Final = "_ARGCOMPLETE"
"""Set by the shell when it asks for completions."""

SHELLS: Final = ("bash", "zsh", "fish")

EPILOG: Final = """\
examples:
  eval "$(streamer completion bash)"          # in ~/.bashrc
  eval "$(streamer completion zsh)"           # in ~/.zshrc, after compinit
  streamer completion fish | source           # in ~/.config/fish/config.fish
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "completion",
        help="print what bash, zsh or fish need to complete streamer's commands",
        description="Print what a shell needs to complete commands, options, and the names of integrations in the file"
        " that --config or STREAMER_CONFIG names.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - see above

    print(shellcode(["streamer"], shell=args.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for completions, and end the process; return if none asks."""
    if VARIABLE in os.environ:
        import argcomplete  # noqa: PLC0415 - see above

        argcomplete.autocomplete(parser)
