"""streamer's listener alone, in a process: ``python -m bench.listening SERVERS TOPIC``. It prints its port.

It confirms what it answers with 200 on the broker, as in production.
"""

import asyncio
import contextlib
import sys
from typing import Final

import uvloop

from streamer.inbound.listener import Listener
from streamer.kafka import Publisher
from streamer.settings import KafkaSettings
from streamer.settings.inbound import InboundSettings

SECRET: Final = "bench-secret"
WEBHOOK: Final = "bench"


async def main(servers: str, topic: str) -> None:
    """Listen until the standard input ends."""
    publisher = Publisher(KafkaSettings(bootstrap_servers=servers))
    document = {"listen": {"port": 0}, "webhooks": {WEBHOOK: {"secrets": [SECRET]}}, "topic": topic}
    listener = Listener(InboundSettings.model_validate(document), publisher)
    publishing = asyncio.create_task(publisher.run())
    await listener.start()
    sys.stdout.write(f"{listener.port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await listener.stop()
    publishing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await publishing


if __name__ == "__main__":
    from streamer.logs import configured
    from streamer.settings.sections import LogSettings

    with configured(LogSettings(level="warning", format="json"), file_descriptor=2):
        uvloop.run(main(*sys.argv[1:]))
