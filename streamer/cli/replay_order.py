"""What ``streamer replay`` is asked for, checked against the configuration; and the same as words to type."""

import argparse
import time

from streamer.cli.replay_words import command_of
from streamer.core.records.replay import name_of
from streamer.replay import Order
from streamer.settings import Settings


class UsageError(Exception):
    """The options do not make sense together, or with the configuration; the text says what to type."""


def order_of(args: argparse.Namespace, settings: Settings) -> Order:
    """What is to be replayed.

    Raises:
        UsageError: that makes no sense.
    """
    name = _integration_of(args, settings)
    integration = settings.integrations[name]
    destination = args.to_destination or integration.destination
    if destination not in settings.destinations:
        known = ", ".join(settings.destinations)
        raise UsageError(f"{args.config} has no destination {destination}; it has {known}")
    kind, own_kind = settings.destinations[destination].kind, settings.destinations[integration.destination].kind
    if kind != own_kind:
        raise UsageError(f"{destination} is of the kind {kind}, and the calls of {name} are for the kind {own_kind}")
    if integration.dialect == "profiles":
        raise UsageError(f"{name} delivers profiles: sent again, an old state would replace a newer one")
    if not args.since.at < args.until.at:
        raise UsageError("--from must be before --to")
    if args.until.at > time.time():
        raise UsageError("--to must not be in the future: the range would grow while it is replayed")
    if args.execute and not (args.since.is_fixed and args.until.is_fixed):
        raise UsageError(
            "--execute needs --from and --to as RFC 3339 (2026-11-27T10:00:00Z): the same command must mean the same"
            f" range when it is repeated. Type: {command_of(args, name)}"
        )
    if args.rate < 1:
        raise UsageError("--rate must be at least 1/s")
    elsewhere = destination if destination != integration.destination else ""
    return Order(
        integration=name,
        destination=destination,
        name=name_of(name, args.since.at, args.until.at, elsewhere),
        rate=int(args.rate),
        is_elsewhere=bool(elsewhere),
    )


def _integration_of(args: argparse.Namespace, settings: Settings) -> str:
    known = ", ".join(settings.integrations)
    if args.integration is None and len(settings.integrations) == 1:
        return next(iter(settings.integrations))
    if args.integration is None:
        raise UsageError(f"--integration is missing; {args.config} has {known or 'none'}")
    if args.integration not in settings.integrations:
        raise UsageError(f"{args.config} has no integration {args.integration}; it has {known or 'none'}")
    return str(args.integration)
