"""``streamer top``: shows what running instances do, and goes on showing it on a terminal."""

import argparse
import asyncio
import dataclasses
import json
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from streamer.cli.colors import add_color, wants_color
from streamer.cli.options import add_config, add_instances
from streamer.cli.output import utc
from streamer.cli.quiet import quiet_client

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.cli.screen import Screen
    from streamer.core.watching import Board, Look
    from streamer.operations.instances import Instances
    from streamer.settings import Settings

EXIT_UNAVAILABLE: Final = 69
EXIT_TERMINATED: Final = 143

EVERY_SECONDS: Final = 1.0
"""Each instance is asked, and the window drawn, so often."""

RATES_OVER: Final = 5
"""Rates are those of so many seconds: batches come and go within one."""

_TIMES: Final = frozenset({"since", "next_probe_at", "started_at"})

EPILOG: Final = """\
On a terminal the view is drawn again every second until q or Ctrl-C. On a pipe, or with --once, it is printed once,
after the second that the rates need: as a table on a terminal, else as JSON lines.

Exit codes: 0 done, 2 wrong usage, 69 no instance answers (when printed once), 78 faults in the configuration, 130
interrupted.

example:
  streamer top --config streamer.yaml
"""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "top",
        help="show live what running instances do",
        description="Show in words whether all is well, and for each integration its state, rates, lag and what limits"
        " it, for each destination its state, answers and latency, for each instance whether it answers. Figures of"
        " several instances are added.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_config(parser)
    add_instances(parser)
    add("--once", action="store_true", help="print the view once, and end")
    add(
        "-o",
        "--output",
        choices=["table", "json"],
        help="how to print it once (default: table on a terminal, else JSON lines)",
    )
    add_color(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show it once, or until somebody ends it."""
    from streamer.settings import load  # noqa: PLC0415 - `streamer --help` should not wait for it

    with quiet_client():
        return asyncio.run(_top(load(args.config), args))


async def _top(settings: "Settings", args: argparse.Namespace) -> int:
    from streamer.operations.instances import Instances  # noqa: PLC0415

    is_live = sys.stdout.isatty() and not args.once and args.output is None
    if is_live and not args.instance:
        print("streamer: asking Kafka which instances there are", file=sys.stderr)
    async with Instances.open(settings, args.instance, args.token_file) as instances:
        if is_live:
            return await _live(instances, has_color=wants_color(args.color))
        for problem in instances.problems:
            print(f"streamer: {problem}", file=sys.stderr)
        return await _once(instances, args)


async def _once(instances: "Instances", args: argparse.Namespace) -> int:
    from streamer.cli.board_text import lines_of  # noqa: PLC0415
    from streamer.core.watching import board_of  # noqa: PLC0415

    looks = []
    for wait in (EVERY_SECONDS, 0.0):
        looks.append([_look(*answer) for answer in await instances.get("/status")])
        await asyncio.sleep(wait)
    before, now = looks
    board = board_of(before, now)
    if (args.output or ("table" if sys.stdout.isatty() else "json")) == "json":
        for line in objects_of(board):
            print(json.dumps(line))
    else:
        print(*lines_of(board, now=time.time(), has_color=wants_color(args.color)), sep="\n")
    return 0 if board.is_answered else EXIT_UNAVAILABLE


def objects_of(board: "Board") -> Iterator[dict[str, Any]]:
    """What is shown, as JSON objects: ``kind`` tells the verdict, integrations, destinations and instances apart."""
    yield {"kind": "verdict", "level": board.level, "headline": board.headline}
    for kind, rows in (
        ("integration", board.integrations),
        ("destination", board.destinations),
        ("instance", board.instances),
    ):
        for row in rows:
            yield {"kind": kind, **{name: _told(name, value) for name, value in dataclasses.asdict(row).items()}}


def _told(name: str, value: Any) -> Any:
    """A figure as programs read it: times in RFC 3339, and no more digits than mean something."""
    if name in _TIMES and value is not None:
        return utc(value)
    if isinstance(value, dict):
        return {key: _told(key, inner) for key, inner in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def _look(address: str, document: Any | None, error: str) -> "Look":
    from streamer.core.watching import Look  # noqa: PLC0415

    return Look.of(address, document, error)


async def _live(instances: "Instances", *, has_color: bool) -> int:
    """Draw until a key or a signal ends it."""
    from streamer.cli.screen import END, Screen  # noqa: PLC0415

    view, has_ended, code = _View(instances), asyncio.Event(), 0

    def end(with_code: int) -> None:
        nonlocal code
        code = with_code
        has_ended.set()

    def on_key(key: str) -> None:
        if key in {"q", "Q", END}:
            end(0)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end, EXIT_TERMINATED)
    with Screen(on_key=on_key, on_resize=view.has_changed.set) as screen:
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(view.watch(address), name=f"watch {address}") for address in instances.addresses]
            work.append(tasks.create_task(_draw(view, screen, has_color=has_color), name="draw"))
            await has_ended.wait()
            for task in work:
                task.cancel()
    return code


class _View:
    """The last looks at each instance. Each is asked by a task of its own: one that hangs delays no other."""

    def __init__(self, instances: "Instances") -> None:
        self._instances = instances
        self._looks: dict[str, deque[Look]] = {address: deque(maxlen=RATES_OVER + 1) for address in instances.addresses}
        self.has_changed = asyncio.Event()
        """Whether it should be drawn at once."""

    async def watch(self, address: str) -> None:
        """Ask an instance again and again until cancelled."""
        while True:
            began = time.monotonic()
            looks = self._looks[address]
            looks.append(_look(*await self._instances.ask(address, "/status")))
            if len(looks) == 1:
                self.has_changed.set()
            await asyncio.sleep(max(began + EVERY_SECONDS - time.monotonic(), 0.0))

    def lines(self, columns: int, rows: int, *, has_color: bool) -> list[str]:
        """What to draw now."""
        from streamer.cli.board_text import lines_of  # noqa: PLC0415
        from streamer.core.watching import board_of  # noqa: PLC0415

        looked = [looks for looks in self._looks.values() if looks]
        if not looked:
            return [f"Asking {', '.join(self._looks)} ..."[:columns]]
        board = board_of([looks[0] for looks in looked], [looks[-1] for looks in looked])
        return lines_of(
            board,
            now=time.time(),
            remarks=self._instances.problems,
            columns=columns,
            rows=rows,
            has_color=has_color,
        )


async def _draw(view: _View, screen: "Screen", *, has_color: bool) -> None:
    while True:
        view.has_changed.clear()
        screen.draw(view.lines(*screen.size(), has_color=has_color))
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await view.has_changed.wait()
        except TimeoutError:
            pass
