"""``streamer send``: produces records to a topic of an integration."""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from streamer.cli.options import add_config, are_known, complete_integrations
from streamer.cli.quiet import quiet_client
from streamer.cli.record_values import look_at, read_ahead
from streamer.cli.signals import call_at_signal
from streamer.cli.values import header, per_second
from streamer.core.model import Outcome
from streamer.operations.dry_mapping import dry_end

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.kafka import Place
    from streamer.operations.sending import Destiny, Sent
    from streamer.pipeline.intake import MapsRecords
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

MAX_WARNINGS: Final = 10
"""Records that are named because they will be dead-lettered; further ones are only counted."""

EPILOG: Final = """\
Exit codes: 0 all records are confirmed, 1 a file cannot be read, a record is refused by the brokers, or with --strict
by the mapping, 69 the brokers are not available or the topic does not exist, 78 faults in the configuration,
130 interrupted.

examples:
  streamer send sprig events.jsonl --config streamer.yaml
  head -1 events.jsonl | streamer send sprig - --key usr_1 --header source=test --config streamer.yaml
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "send",
        help="produce records to the topic of an integration",
        description="Produce record values, one JSON document a line, to the topic of an integration, each confirmed by"
        " all in-sync replicas. Print where each record is, as one JSON object per line, unless stdout is a terminal."
        " Warn of records that streamer will dead-letter; they are produced all the same, unless --strict is given.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    complete_integrations(add("integration", metavar="INTEGRATION", help="to whose topic to produce"))
    add("files", metavar="FILE", nargs="*", default=["-"], help="files to read; - or none: stdin")
    add_config(parser)
    add("--topic", metavar="TOPIC", help="which of its topics, if the integration has several")
    add("--raw", action="store_true", help="each file is one whole record value, not a line each")
    add("--key", metavar="TEXT", help="key of all records; without it they have none, and go to any partition")
    add(
        "--header",
        metavar="NAME=VALUE",
        type=header,
        action="append",
        default=[],
        help="header of all records; repeatable",
    )
    add("--rate", metavar="N/s", type=per_second, help="produce at most this many records a second (default: no limit)")
    add(
        "--strict",
        action="store_true",
        help="first read all records, and produce none if streamer would dead-letter one of them",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Produce the records, and say where they are."""
    # The model and the client take a third of a second to load; `streamer --help` should not wait for them.
    from streamer.core.pushing import new_mapper  # noqa: PLC0415
    from streamer.operations.sending import Destiny  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    settings = load(args.config)
    topic = _topic(settings, args)
    if topic is None:
        return EXIT_USAGE
    try:
        look_at(args.files)
    except OSError as error:
        print(f"streamer: {error.filename} cannot be read: {error.strerror}. Nothing was produced", file=sys.stderr)
        return EXIT_FAILED
    key = None if args.key is None else args.key.encode()
    destiny = Destiny(topic=topic, key=key, headers=args.header, per_second=args.rate)
    foresight = _Foresight(new_mapper(settings.mapping(args.integration)), destiny)
    with quiet_client():
        return asyncio.run(_send(settings, args, destiny, foresight))


def _topic(settings: "Settings", args: argparse.Namespace) -> str | None:
    """The topic to produce to; None if the options do not say."""
    if not are_known([args.integration], settings.integrations, args.config):
        return None
    integration = settings.integrations[args.integration]
    if args.topic is None and len(integration.topics) == 1:
        return integration.topics[0]
    if args.topic in integration.topics:
        return str(args.topic)
    known = ", ".join(integration.topics)
    problem = "has several topics" if args.topic is None else f"has no topic {args.topic}"
    print(f"streamer: {args.integration} {problem}; set --topic to one of {known}", file=sys.stderr)
    return None


class _Foresight:
    """Maps each record as the service will, and warns of those that will be dead-lettered."""

    def __init__(self, mapper: "MapsRecords", destiny: "Destiny") -> None:
        self._mapper = mapper
        self._destiny = destiny
        self._records = 0
        self.ends: Counter[str] = Counter()
        """Records that make no call, by how they end and why."""
        self.dead_lettered = 0
        """How many of them will be dead-lettered."""

    async def watch(self, values: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass the values on, with warnings."""
        async for value in values:
            self.look(value)
            yield value

    def look(self, value: bytes) -> None:
        """Map one record."""
        self._records += 1
        now_ms = time.time_ns() // 1_000_000
        end = dry_end(lambda: self._mapper.map(value, now_ms, self._destiny.headers, self._destiny.key))
        if end.outcome is Outcome.DELIVERED:
            return
        self.ends[f"{end.outcome} ({end.reason})"] += 1
        if end.outcome is Outcome.DEAD_LETTERED:
            self.dead_lettered += 1
            if self.dead_lettered <= MAX_WARNINGS:
                detail = f": {end.detail}" if end.detail else ""
                _say(f"warning: record {self._records} will be dead-lettered as {end.reason}{detail}")

    def tell(self) -> None:
        """Print how many records will make no call."""
        for end, records in self.ends.items():
            _say(f"{records:,} of {number_of(self._records)} will end as {end}")


async def _send(settings: "Settings", args: argparse.Namespace, destiny: "Destiny", foresight: _Foresight) -> int:
    from streamer.core.errors import UnavailableError  # noqa: PLC0415
    from streamer.kafka import RefusedWriteError, Sender, missing_topics, preflight  # noqa: PLC0415
    from streamer.operations.sending import Sent, send_all  # noqa: PLC0415

    values = foresight.watch(read_ahead(args.files, raw=args.raw))
    if args.strict:
        kept = [value async for value in values]
        if foresight.dead_lettered:
            foresight.tell()
            _say("nothing was produced, because of --strict")
            return EXIT_FAILED
        values = _again(kept)
    await preflight(settings.kafka)
    if await missing_topics(settings.kafka, [destiny.topic]):
        raise UnavailableError(f"the topic {destiny.topic} does not exist. Nothing was produced. Create it first")
    stop, sent = asyncio.Event(), Sent()
    try:
        async with Sender(settings.kafka) as sender:
            call_at_signal(stop.set)
            await send_all(sender, values, destiny, sent, on_confirmed=_print_place, stop=stop)
    except RefusedWriteError as error:
        _say(f"the brokers refuse record {sent.confirmed + 1:,}: {error}")
        return EXIT_FAILED
    except BrokenPipeError:
        raise
    except OSError as error:
        _say(f"{error.filename or 'an input file'} cannot be read to its end: {error.strerror}")
        return EXIT_FAILED
    finally:
        foresight.tell()
        _tell(sent, destiny.topic)
    return EXIT_INTERRUPTED if stop.is_set() else 0


async def _again(values: list[bytes]) -> AsyncIterator[bytes]:
    for value in values:
        yield value


def _print_place(place: "Place") -> None:
    if not sys.stdout.isatty():
        print(json.dumps(place._asdict()), flush=True)


def _tell(sent: "Sent", topic: str) -> None:
    places = ", ".join(
        f"partition {partition} offset {first}" + (f" to {last}" if last > first else "")
        for partition, (first, last) in sorted(sent.offsets.items())
    )
    _say(f"confirmed in {topic}: {number_of(sent.confirmed)}" + (f" ({places})" if places else ""))
    if sent.unconfirmed:
        _say(
            f"not confirmed: {number_of(sent.unconfirmed)}, each written or not. It is safe to send them again:"
            " streamer drops copies of delivered events as duplicates"
        )


def number_of(records: int) -> str:
    """``1 record``, ``2,000 records``."""
    return f"{records:,} record" + "s" * (records != 1)


def _say(text: str) -> None:
    print(f"streamer: {text}", file=sys.stderr)
