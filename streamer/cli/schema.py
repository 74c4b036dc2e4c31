"""``streamer schema``: the JSON Schemas of records, and of the configuration."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from streamer.cli.options import add_config, are_known, complete_integrations
from streamer.cli.output import Row, print_rows

if TYPE_CHECKING:
    from streamer.cli.options import Commands

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

CONFIG: Final = "config"
"""Name of the schema of the configuration."""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of records, or of the configuration",
        description="Print a JSON Schema (2020-12): of any record of a dialect's topic, of one form of its records, or"
        " of the configuration (config), for editors. Without a name, list what there is. With --out, write all"
        " schemas of records to files.",
        epilog="Exit codes: 0 done, 1 a file cannot be written, 2 no such schema. Examples:"
        " streamer schema sprig --bundle > sprig.schema.json; streamer schema config > streamer.schema.json, and as the"
        " first line of streamer.yaml: # yaml-language-server: $schema=./streamer.schema.json;"
        " streamer schema --out schemas --base https://schemas.example.com/surveys",
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="dialect, form, $id or config; without it: list all names"
    )
    parser.add_argument("--bundle", action="store_true", help="put the schemas that it refers to into it")
    parser.add_argument(
        "--base",
        metavar="URL",
        type=_address,
        help="where you publish the files: $id and references become addresses below it, else they are names (urn:)",
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write every schema of records to a file in DIR")
    add_config(parser)
    complete_integrations(
        parser.add_argument(
            "--integration", metavar="NAME", help="with the settings of this integration, from the configuration"
        )
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one schema, list them, or write them to files."""
    from streamer.core.describing.topic_schema import name_of, names  # noqa: PLC0415 - compiles schemas

    if args.out is not None:
        return _write_all(args)
    if args.name is None:
        print_rows(_rows(), None)
        return 0
    if args.name == CONFIG:
        from streamer.settings.editor_schema import editor_schema  # noqa: PLC0415

        _print(editor_schema())
        return 0
    name = name_of(args.name)
    if name is None:
        print(f"streamer: there is no schema {args.name}; there are {', '.join([*names(), CONFIG])}", file=sys.stderr)
        return EXIT_USAGE
    chosen = _chosen(args)
    if chosen is None:
        return EXIT_USAGE
    _print(_made(name, args, chosen))
    return 0


def _made(name: str, args: argparse.Namespace, chosen: dict[str, object]) -> dict[str, Any]:
    from streamer.core.describing.topic_schema import bundled, published, schema_of  # noqa: PLC0415

    schema = schema_of(name, chosen)
    schema = bundled(schema) if args.bundle else schema
    return published(schema, args.base) if args.base else schema


def _chosen(args: argparse.Namespace) -> dict[str, object] | None:
    """Settings of the dialects as an integration has them; None if there is no such integration."""
    if args.integration is None:
        return {}
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    if not are_known([args.integration], settings.integrations, args.config):
        return None
    return dict(settings.mapping(args.integration).dialect_settings)


def _write_all(args: argparse.Namespace) -> int:
    from streamer.core.describing.topic_schema import file_name, names  # noqa: PLC0415

    chosen = _chosen(args)
    if chosen is None:
        return EXIT_USAGE
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name in names():
            (args.out / file_name(name)).write_bytes(_text(_made(name, args, chosen)))
    except OSError as error:
        print(f"streamer: {args.out}: {error.strerror}; choose a directory that can be written", file=sys.stderr)
        return EXIT_FAILED
    print(f"streamer: {len(names())} schemas written to {args.out}", file=sys.stderr)
    return 0


def _rows() -> list[Row]:
    from streamer.core.describing.topic_schema import contracts, names, schema_of  # noqa: PLC0415
    from streamer.settings.editor_schema import SCHEMA_ID  # noqa: PLC0415

    rows: list[Row] = []
    for name in names():
        schema = schema_of(name)
        rows.append(
            {"name": name, "dialect": contracts().get(name, name), "title": schema["title"], "id": schema["$id"]}
        )
    return [*rows, {"name": CONFIG, "dialect": "", "title": "streamer's configuration", "id": SCHEMA_ID}]


def _print(schema: dict[str, Any]) -> None:
    sys.stdout.write(_text(schema).decode())


def _text(schema: dict[str, Any]) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _address(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
        raise argparse.ArgumentTypeError(f"{text} should be an address such as https://schemas.example.com/surveys")
    return text
