"""A process that only listens: ``python -m tests.inbound.listening``. It prints its port, and drops what it accepts.

A record is confirmed after 20 ms, as by brokers that are near.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence

import uvloop

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.inbound.listener import Listener
from streamer.logs import configured
from streamer.settings.inbound import InboundSettings
from streamer.settings.sections import LogSettings
from tests.inbound.conftest import SECRET

CONFIRM_SECONDS = 0.02


class Dropping:
    """Confirms everything."""

    async def publish(self, records: Sequence[OutgoingRecord], *, timeout_seconds: float) -> list[OutgoingRecord]:
        assert timeout_seconds > 0
        await asyncio.sleep(CONFIRM_SECONDS if records else 0)
        return []


async def main() -> None:
    document = {"listen": {"port": 0}, "webhooks": {"production": {"secrets": [SECRET]}}}
    listener = Listener(InboundSettings.model_validate(document), Dropping())
    await listener.start()
    print(listener.port, flush=True)  # noqa: T201
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the test ends
    await listener.stop()


if __name__ == "__main__":
    logging.disable()
    with configured(LogSettings(level="warning", format="json"), file_descriptor=2):
        uvloop.run(main())
