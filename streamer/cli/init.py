"""``streamer init``: writes a first configuration, with comments."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamer.cli.options import Commands

EXIT_FAILED: Final = 1

PLATFORMS: Final = ("sprig", "product_fruits", "getuserfeedback")
DIALECTS: Final = (*PLATFORMS, "canonical")

_HEAD: Final = """\
# streamer's configuration. docs/configuration.md explains every setting.
#
#   streamer check --config {path}             lists everything that is wrong with this file
#   streamer check --config {path} --connect   also asks the brokers and Segment
#   streamer run   --config {path}
#
# ${{NAME}} and ${{NAME:-default}} are replaced from the environment, so that no secret stands here.
# The variable STREAMER_KAFKA__BOOTSTRAP_SERVERS overrides kafka.bootstrap_servers, and so for every setting.

kafka:
  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}}   # host:port, several separated by commas
  create_topics: false            # true: create missing dead-letter topics; false: not ready until they exist

state_dir: ./state                # receipts of what was delivered; on a local disk

server:
  host: 127.0.0.1                 # 0.0.0.0: reachable from other machines, as a container needs it
  port: 8080                      # page, health, metrics and status
"""

_DESTINATIONS: Final = """
destinations:
  production:
    write_key: ${SEGMENT_WRITE_KEY:?the write key of the Segment source}
    region: us                    # us or eu: where the Segment workspace is. The wrong one loses events silently
    #endpoint: http://localhost:8090   # another receiver instead of a region, such as `streamer sandbox`

integrations:                     # topics of one dialect, bound to one destination
"""

_INTEGRATION: Final = """\
  {name}:
    dialect: {dialect}
    topics: [surveys.{topic}]
    destination: production
    start: earliest               # where a new consumer group begins: earliest, latest, or a time
    events:
      rename: {{}}                  # such as {rename}
      disabled: []                # names of events that are not sent
    #dead_letters: {{topic: surveys.{topic}.dlq}}   # this is the default
"""

_RENAMES: Final = {
    "sprig": "{SDK - Submitted - Survey Response: Survey Answered}",
    "product_fruits": "{Tour Finished: Tour Completed}",
    "getuserfeedback": "{Response Submitted: Survey Answered}",
    "canonical": "{Survey Answered: Survey Completed}",
}

_OWN: Final = {
    "sprig": """\
    sprig:
      anonymous: skip             # send: visitors without a user id are sent under their anonymous id
      #environment: production    # an environment id: only its records; without it: all
""",
    "product_fruits": """\
    product_fruits:
      survey_event_name: Survey Answered
      traits: false               # true: e-mail and user properties are sent as context.traits
""",
}

_INBOUND: Final = """
# The way back: Segment's webhooks update a directory of users. docs/inbound.md explains it, and how to set it up in
# Segment. It needs pip install "survey-streamer[inbound]".
inbound:
  listen: {host: 127.0.0.1, port: 8081}
  webhooks:
    production:                   # POST /webhooks/segment/production
      secrets: ["${SEGMENT_WEBHOOK_SECRET:?the shared secret of the webhook in Segment}"]
  topic: segment.inbound          # between the webhooks and the directory
  dead_letters: {topic: segment.inbound.dlq}
  profiles_topic: surveys.profiles   # users as they are now; must be compacted
  triggers_topic: surveys.triggers   # tracked events
  match: [email, user_id]         # by what a person is looked for, in this order

directory:
  url: sqlite:///state/directory.db   # or postgresql://user:password@host:5432/streamer
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "init",
        help="write a first configuration, with comments",
        description="Write a configuration with comments to stdout, or to a file. It names its secrets as environment"
        " variables (SEGMENT_WRITE_KEY, with --inbound also SEGMENT_WEBHOOK_SECRET), and streamer check accepts it once"
        " these are set.",
        epilog="Exit codes: 0 written, 1 the file exists or cannot be written."
        " Example: streamer init --dialect sprig --output streamer.yaml",
    )
    parser.add_argument(
        "--dialect",
        metavar="NAME",
        choices=DIALECTS,
        action="append",
        help=f"a platform whose events to deliver; repeatable; one of {', '.join(DIALECTS)} (default: the first three)",
    )
    parser.add_argument(
        "--inbound", action="store_true", help="with the way back: Segment's webhooks, and a directory of users"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="file to write (default: stdout)")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the configuration."""
    text = first_configuration(
        args.dialect or PLATFORMS, inbound=args.inbound, path=args.output or Path("streamer.yaml")
    )
    if args.output is None:
        sys.stdout.write(text)
        return 0
    try:
        with args.output.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return _fail(f"{args.output} exists, and was left as it is; --force replaces it")
    except OSError as error:
        return _fail(f"{args.output} cannot be written: {error.strerror}")
    print(
        f"streamer: wrote {args.output}; next: edit it, set SEGMENT_WRITE_KEY, and run"
        f" streamer check --config {args.output}",
        file=sys.stderr,
    )
    return 0


def first_configuration(dialects: "list[str] | tuple[str, ...]", *, inbound: bool, path: Path) -> str:
    """The text of a configuration.

    Args:
        dialects: each gets an integration; a name that is repeated counts once.
        inbound: whether it has the way back.
        path: where it will be, for the commands in it.
    """
    text = _HEAD.format(path=path) + _DESTINATIONS
    for dialect in dict.fromkeys(dialects):
        name = dialect.replace("_", "-")
        text += _INTEGRATION.format(name=name, dialect=dialect, topic=name, rename=_RENAMES[dialect])
        text += _OWN.get(dialect, "")
    return text + (_INBOUND if inbound else "")


def _fail(text: str) -> int:
    print(f"streamer: {text}", file=sys.stderr)
    return EXIT_FAILED
