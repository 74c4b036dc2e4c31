"""``streamer asyncapi``: the topics as an AsyncAPI document, for producers and their tools."""

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

import orjson

from streamer.cli.options import add_config

if TYPE_CHECKING:
    from streamer.cli.options import Commands

DEFAULT_TITLE: Final = "Survey events"


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "asyncapi",
        help="print the topics as an AsyncAPI document",
        description="Print an AsyncAPI 3.0 document with Kafka bindings: each topic of the configuration, whether"
        " streamer reads or writes it, and the schemas and examples of its records. With --dialects, print those of all"
        " dialects, without names and brokers. Nothing is connected, and no secret is in it.",
        epilog="Exit codes: 0 done, 78 faults in the configuration."
        " Examples: streamer asyncapi --config streamer.yaml > asyncapi.yaml; streamer asyncapi --dialects -o json",
    )
    add_config(parser)
    parser.add_argument("--dialects", action="store_true", help="describe the dialects, without a configuration")
    parser.add_argument("--title", default=DEFAULT_TITLE, help="title of the document (default: %(default)s)")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the document."""
    # The contracts and the model take a third of a second to load.
    from streamer.operations.describing import document_of, document_of_dialects  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    if args.dialects:
        document = document_of_dialects(title=args.title)
    else:
        document = document_of(load(args.config), title=args.title)
    sys.stdout.write(_as_yaml(document) if args.output == "yaml" else _as_json(document))
    return 0


def _as_json(document: dict[str, Any]) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _as_yaml(document: dict[str, Any]) -> str:
    import yaml  # noqa: PLC0415

    class Plain(yaml.SafeDumper):
        """Writes what occurs twice twice: anchors would make it hard to read."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is the library's
            return True

    text: str = yaml.dump(document, Dumper=Plain, sort_keys=False, allow_unicode=True, width=100)
    return text
