"""Starting what the Kafka client has, such that a cancellation leaves no connection open."""

import asyncio
import contextlib
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

MAX_BOOTSTRAP_SECONDS: Final = 5.0
"""Longest wait of a cancelled start for the answer about the cluster's layout; after it, a connection may stay open."""


def keep_whole(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Have a cancelled start finish asking for the cluster's layout before it ends.

    In the middle of that, the client forgets the connection it asks on: a service that was told to stop in its first
    half second left one open.
    """
    inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - the one to wrap
    bootstrap = inner.bootstrap

    async def whole() -> None:
        asking = asyncio.ensure_future(bootstrap())
        try:
            await asyncio.shield(asking)
        finally:
            if not asking.done():
                await asyncio.wait({asking}, timeout=MAX_BOOTSTRAP_SECONDS)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
                asking.exception()

    inner.bootstrap = whole
