"""Whose settings a dry run maps with: those of an integration in a configuration, or the defaults of a dialect."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from streamer.cli.options import add_config, are_known, complete_integrations
from streamer.core.model import MappingSettings

if TYPE_CHECKING:
    from streamer.pipeline.intake import MapsRecords


def add_mapping_source(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, and either ``--integration`` or ``--dialect``."""
    add_config(parser)
    choice = parser.add_mutually_exclusive_group(required=True)
    complete_integrations(
        choice.add_argument(
            "--integration",
            metavar="NAME",
            help="whose settings to map with; write keys and brokers may be missing in the configuration",
        )
    )
    dialect = choice.add_argument(
        "--dialect", metavar="NAME", help="map with the defaults of this dialect; no configuration is read"
    )
    dialect.completer = _dialects  # type: ignore[attr-defined] # argcomplete looks for it under this name


def _dialects(**_: Any) -> list[str]:
    """The names of all dialects of events, for shells."""
    from streamer.core.mapping.dialects import DIALECTS  # noqa: PLC0415 - `streamer --help` should not wait for it

    return list(DIALECTS)


def mapping_of(args: argparse.Namespace) -> MappingSettings | None:
    """The chosen settings; None: there are none of that name, which is said on stderr.

    Raises:
        SettingsError: there are faults in the settings of the integration.
    """
    # The settings' model takes a while to load; `streamer --help` should not wait for it.
    from streamer.core.mapping.dialects import DIALECTS  # noqa: PLC0415
    from streamer.settings import load_for_mapping  # noqa: PLC0415

    if args.dialect is not None:
        if args.dialect in DIALECTS:
            return MappingSettings(dialect=args.dialect)
        print(f"streamer: {args.dialect} is no dialect of events; there are {', '.join(DIALECTS)}", file=sys.stderr)
        return None
    settings = load_for_mapping(args.config, args.integration)
    if not are_known([args.integration], settings.integrations, args.config):
        return None
    return settings.mapping(args.integration)


def new_mapper_of(settings: MappingSettings) -> "MapsRecords":
    """The mapper of these settings."""
    from streamer.core.pushing import new_mapper  # noqa: PLC0415 - the schemas' library takes a while to load

    return new_mapper(settings)
