"""Options that several commands share."""

import argparse
import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it
    """Where `add_parser` of a command registers it."""


def complete_integrations(option: argparse.Action) -> None:
    """Have shells complete the names of integrations for an option or argument."""
    option.completer = _integrations  # type: ignore[attr-defined] # argcomplete looks for it under this name


def _integrations(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The names of the integrations in the configuration, whatever else is wrong with it; none if it cannot be read."""
    import yaml  # noqa: PLC0415 - only a shell that asks for completions needs it

    try:
        document = yaml.safe_load(parsed_args.config.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    names = document.get("integrations") if isinstance(document, dict) else None
    return [str(name) for name in names] if isinstance(names, dict) else []


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``: the configuration file, by default what ``STREAMER_CONFIG`` names, else ``streamer.yaml``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        default=Path(os.environ.get("STREAMER_CONFIG") or "streamer.yaml"),
        help="configuration file (default: $STREAMER_CONFIG, else streamer.yaml)",
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add ``--output``, which `streamer.cli.output.print_rows` takes."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json"),
        help="default: a table on a terminal, otherwise one JSON object per line",
    )


def are_known(asked: Iterable[str], known: Collection[str], config: Path) -> bool:
    """Whether all integrations that were asked for exist; the first one that does not is named on stderr.

    Args:
        asked: their names.
        known: those of the configuration.
        config: its file.
    """
    for name in asked:
        if name not in known:
            print(f"streamer: {config} has no integration {name}; it has {', '.join(known)}", file=sys.stderr)
            return False
    return True


def add_instances(parser: argparse.ArgumentParser) -> None:
    """Add ``--instance`` and ``--token-file``: which running instances are asked, and with which token."""
    parser.add_argument(
        "--instance",
        metavar="URL",
        action="append",
        default=[],
        type=_instance,
        help="ask this instance, such as http://10.0.0.5:8080; repeatable. Default: the one of this configuration on"
        " this machine, and the other members of the consumer groups at server.port",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="file with the token of the instances (default: server.token_file of the configuration)",
    )


def _instance(text: str) -> str:
    """The address of an instance."""
    if text.startswith("unix:") or (text.startswith(("http://", "https://")) and text.partition("//")[2]):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is not a URL such as http://10.0.0.5:8080")
