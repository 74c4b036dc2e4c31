"""What a command does at SIGINT and SIGTERM, if ending at once would leave its work half done."""

import asyncio
import signal
from collections.abc import Callable


def call_at_signal(stop: Callable[[], None]) -> None:
    """Call ``stop`` at the first SIGINT or SIGTERM; a second one ends the command at once."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def once() -> None:
        stop()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, once)
