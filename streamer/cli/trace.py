"""``streamer trace``: where an event is, or how it ended, over topics, instances and dead letters."""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

import orjson

from streamer.cli.options import add_config, add_instances, are_known, complete_integrations
from streamer.cli.progress import ProgressBar
from streamer.cli.quiet import quiet_client
from streamer.cli.values import instant

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.trace import Trace, Tracer
    from streamer.settings import Settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

DEFAULT_SINCE_SECONDS: Final = 86_400.0

Place = tuple[str, int, int]


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "trace",
        help="tell where an event is, or how it ended",
        description="Find an event by its messageId, by the place of its record (topic:partition:offset) or by the id"
        " of its person, and print its story: the record, what it maps to, when and how it was delivered or"
        " dead-lettered, or where it is now. Looks at the topic of receipts, running instances and dead letters; only"
        " if none of them knows it, all records of the time are searched, the newest first. It shows values of the"
        " event. Derived ids (Sprig, Product Fruits) are found by mapping the records.",
        epilog="Exit codes: 0 found, 1 not found, 69 the brokers are not available, 78 faults in the configuration."
        " Examples: streamer trace --config streamer.yaml evt_1 --since 2h;"
        " streamer trace --config streamer.yaml surveys.sprig:3:4711",
    )
    add_config(parser)
    add = parser.add_argument
    add("event", metavar="MESSAGE_ID|PLACE", nargs="?", help="messageId, or topic:partition:offset of the record")
    add("--place", metavar="PLACE", type=_place, help="topic:partition:offset, where it could be a messageId as well")
    add("--user-id", metavar="ID", help="the newest events of this user or anonymous id, at most 20")
    add(
        "--since",
        metavar="TIME",
        type=instant,
        help="only records of this time or later: RFC 3339, or how long ago (default: 24h)",
    )
    complete_integrations(
        add("--integration", metavar="NAME", action="append", default=[], help="only this integration; repeatable")
    )
    add("--all", action="store_true", help="search all records of the time, also for copies with the same messageId")
    add_instances(parser)
    add(
        "-o",
        "--output",
        choices=("text", "json"),
        help="default: text on a terminal, otherwise one JSON object per line and event",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search, and print the stories."""
    # The settings' model and the clients take a while to load; `streamer --help` should not wait for them.
    from streamer.core.story import document_of, tell  # noqa: PLC0415
    from streamer.settings import load  # noqa: PLC0415

    if sum(given is not None for given in (args.event, args.place, args.user_id)) != 1:
        print("streamer: give one of MESSAGE_ID, --place and --user-id", file=sys.stderr)
        return EXIT_USAGE
    settings = load(args.config)
    if not are_known(args.integration, settings.integrations, args.config):
        return EXIT_USAGE
    with quiet_client():
        trace = asyncio.run(_trace(settings, args))
    if (args.output or ("text" if sys.stdout.isatty() else "json")) == "json":
        for story in trace.stories:
            sys.stdout.buffer.write(orjson.dumps(document_of(story), option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        for story in trace.stories:
            print(f"{story.message_id or 'no messageId'} in {story.integration}: {story.state}")
            print(*(f"  {sentence}" for sentence in tell(story)), sep="\n")
    _say(trace, args)
    return 0 if trace.stories else EXIT_FAILED


async def _trace(settings: "Settings", args: argparse.Namespace) -> "Trace":
    from streamer.kafka import preflight  # noqa: PLC0415
    from streamer.kafka.topic_reader import TopicReader  # noqa: PLC0415
    from streamer.operations.instances import Instances  # noqa: PLC0415
    from streamer.operations.trace import Tracer  # noqa: PLC0415

    await preflight(settings.kafka)
    bars: dict[str, ProgressBar] = {}

    def show(what: str, done: int, total: int) -> None:
        bars.setdefault(what, ProgressBar(f"searching {what}")).show(done, total)

    try:
        async with (
            TopicReader(settings.kafka) as reader,
            Instances.open(settings, args.instance, args.token_file) as instances,
        ):
            tracer = Tracer(
                settings,
                reader,
                instances,
                args.integration or list(settings.integrations),
                since=time.time() - DEFAULT_SINCE_SECONDS if args.since is None else args.since,
                on_progress=show,
            )
            return await _search(tracer, settings, args)
    finally:
        for bar in bars.values():
            bar.clear()


async def _search(tracer: "Tracer", settings: "Settings", args: argparse.Namespace) -> "Trace":
    if args.user_id is not None:
        return await tracer.by_user_id(args.user_id)
    place = args.place or _place_in(args.event, settings)
    if place is not None:
        return await tracer.by_place(place)
    return await tracer.by_message_id(args.event, is_thorough=args.all)


def _place(text: str) -> Place:
    """The place of a record."""
    topic, _, rest = text.rpartition(":")
    topic, _, partition = topic.rpartition(":")
    if not (topic and all(number.isascii() and number.isdigit() for number in (partition, rest))):
        raise argparse.ArgumentTypeError(f"{text!r} is not topic:partition:offset")
    return topic, int(partition), int(rest)


def _place_in(text: str, settings: "Settings") -> Place | None:
    """The place that an argument names, if it is one in a topic of the configuration; else it is a messageId."""
    try:
        place = _place(text)
    except argparse.ArgumentTypeError:
        return None
    topics = {topic for integration in settings.integrations.values() for topic in integration.topics}
    return place if place[0] in topics else None


def _say(trace: "Trace", args: argparse.Namespace) -> None:
    """Print where was looked, and what could not be known."""
    for text in trace.unknown:
        print(f"streamer: {text}", file=sys.stderr)
    if not trace.stories:
        looked = "; ".join(trace.looked) or "nothing that can be looked at"
        what = args.event or args.user_id or ":".join(map(str, args.place))
        print(f"streamer: no event {what} was found. Looked at: {looked}", file=sys.stderr)
        print(
            "streamer: if it is older, give --since. If it should be there, its producer has not written it to these"
            " topics, or retention has deleted it",
            file=sys.stderr,
        )
