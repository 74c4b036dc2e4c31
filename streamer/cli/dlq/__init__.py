"""``streamer dlq``: what to do about dead letters. Each command of it is a module here."""

from typing import TYPE_CHECKING

from streamer.cli.dlq import export, importing, ls, redrive, show, why

if TYPE_CHECKING:
    from streamer.cli.options import Commands


def add_parser(commands: "Commands") -> None:
    """Register the command and its parts."""
    parser = commands.add_parser(
        "dlq",
        help="count dead letters, show them, say why they are, write them back to their topics, correct them",
        description="Dead letters are records that could not be delivered. streamer wrote them to a dead-letter topic,"
        " with the reason. ls counts them, why counts them by what is wrong with them, and show shows one. redrive"
        " writes them back to the topics that they were read from, after the cause is removed. export writes them to"
        " files, and import writes them back from there with corrected values.",
        epilog="Example: streamer dlq ls --config streamer.yaml",
    )
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (ls, show, why, redrive, export, importing):
        part.add_parser(parts)
