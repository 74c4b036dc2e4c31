"""``streamer run``: runs the service."""

import argparse
from typing import TYPE_CHECKING

from streamer.cli.options import add_config, complete_integrations

if TYPE_CHECKING:
    from streamer.cli.options import Commands


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "run",
        help="run the service: deliver survey events until SIGTERM or SIGINT",
        description="Deliver survey events until SIGTERM or SIGINT; then finish the requests in flight, commit, and"
        " exit with 0. A second signal ends the process at once. While brokers or topics are not available, streamer"
        " keeps trying and reports that it is not ready. SIGUSR1 sets the log's level to debug,"
        " SIGUSR2 sets it back to log.level: kill -USR1 PID. When the configuration file changes, or on SIGHUP, it is"
        " read again, and takes effect without a restart, as far as docs/reloading.md says.",
        epilog="Exit codes: 0 after one signal, 143 after a second one, 69 the HTTP port, a write key file or state_dir"
        " cannot be used, 78 faults in the configuration, or the brokers reject the credentials at the start."
        " Example: streamer run --config streamer.yaml",
    )
    add_config(parser)
    releasing = parser.add_argument(
        "--release-guard",
        metavar="INTEGRATION",
        action="append",
        default=[],
        help="let an integration run again that the mass guard stopped, with the same configuration; the guard goes on"
        " watching it, and stops it again if too many of the next records would be dead letters. Can be repeated. Do"
        " not leave it in the start command: it would release the guard at every start",
    )
    complete_integrations(releasing)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the service until it ends."""
    from streamer import service  # noqa: PLC0415 - a third of a second that `streamer --help` should not wait for
    from streamer.settings.watching import ConfigFile  # noqa: PLC0415 - the same

    file = ConfigFile(args.config)
    return service.main(file.load(), release_guard=args.release_guard, config_file=file)
