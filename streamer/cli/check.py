"""``streamer check``: lists everything that is wrong with a configuration."""

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config
from streamer.cli.quiet import quiet_client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamer.cli.options import Commands
    from streamer.settings import Settings
    from streamer.settings.inbound import InboundSettings
    from streamer.tracing.switch import Switch

EXIT_UNAVAILABLE: Final = 69


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "check",
        help="list everything that is wrong with a configuration",
        description="List everything that is wrong with a configuration: with its file, with the files of keys and"
        " certificates that it names, with state_dir. What is no fault and hardly meant is a warning. With --connect,"
        " also check what is elsewhere: brokers, topics, rights, dead-letter topics and their settings, the directory's"
        " database, destinations, write keys. Nothing is changed, and no event is sent.",
        epilog="Exit codes: 0 no faults (warnings there may be), 78 faults, 69 problems found with --connect."
        " Example: streamer check --config streamer.yaml --connect",
    )
    add_config(parser)
    parser.add_argument(
        "--connect",
        action="store_true",
        help="also ask the brokers and the directory, connect to the destinations, ask Segment about the write keys",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, and print the result: a summary on stdout, problems on stderr."""
    # The model and the clients take a third of a second to load; `streamer --help` should not wait for them.
    from streamer.settings import examine  # noqa: PLC0415
    from streamer.tracing.switch import switch_of  # noqa: PLC0415

    settings, warnings = examine(args.config)
    switch = switch_of(os.environ)
    _print_warnings([*warnings, switch.problem] if switch.problem else warnings)
    if args.connect:
        from streamer.operations.connection_check import look  # noqa: PLC0415

        with quiet_client():
            findings = asyncio.run(look(settings))
        _print_warnings(findings.warnings)
        found = findings.problems
        if found:
            count = "is 1 problem" if len(found) == 1 else f"are {len(found)} problems"
            print(f"streamer: {args.config} is valid, but there {count}:", *found, sep="\n  ", file=sys.stderr)
            return EXIT_UNAVAILABLE
    _print_summary(settings, switch)
    return 0


def _print_inbound(inbound: "InboundSettings", settings: "Settings") -> None:
    if inbound.listen is not None:
        names = ", ".join(inbound.webhooks)
        address = f"{inbound.listen.host}:{inbound.listen.port}"
        print(f"inbound: http://{address}/webhooks/segment/ {names} -> {inbound.topic}")
    if settings.directory is not None:
        print(
            f"inbound: {inbound.topic} -> directory ({settings.directory.show_url()}) -> {inbound.profiles_topic},"
            f" {inbound.triggers_topic}, group {inbound.group_id}, dead letters to {inbound.dead_letters.topic}"
        )


def _print_warnings(warnings: "Iterable[str]") -> None:
    for warning in warnings:
        print(f"streamer: warning: {warning}", file=sys.stderr)


def _print_summary(settings: "Settings", switch: "Switch") -> None:
    for name, integration in settings.integrations.items():
        destination = settings.destinations[integration.destination]
        dead_letters = dict.fromkeys(integration.dead_letter_topic(topic) for topic in integration.topics)
        status = f"paused ({integration.on_pause})" if integration.status == "paused" else integration.status
        print(
            f"{name}: {', '.join(integration.topics)} ({integration.dialect}) -> {integration.destination}"
            f" ({destination.url}), group {integration.group_id}, {status}, dead letters to {', '.join(dead_letters)}"
        )
    if settings.inbound is not None:
        _print_inbound(settings.inbound, settings)
    print(switch)
    print(f"configuration {settings.fingerprint()} has no faults")
