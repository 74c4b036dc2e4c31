"""A client that reaches none of the brokers it knows asks those of the configuration again.

The client (aiokafka 0.14) goes to its bootstrap servers once, at its start. From then on it asks only the brokers that
the last news of the cluster named, and news come every five minutes while nothing goes wrong. A client that was started
while one of two brokers was away knew the other one only. When that one went, the client never found the first, which
was back: each dead letter failed with a topic that does not exist. The same happens to brokers that come back at other
addresses.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from streamer.kafka.options import ANSWER_TIMEOUT_SECONDS, connection_options


def keep_finding(member: AIOKafkaConsumer | AIOKafkaProducer, options: Mapping[str, Any]) -> None:
    """Have a client that no known broker answers ask the bootstrap servers for the cluster's layout.

    Args:
        member: the consumer or producer that has the client; before its start.
        options: with which it was made, those of `client_options`.
    """
    client = member.client if isinstance(member, AIOKafkaProducer) else member._client  # noqa: SLF001 - the one to wrap
    update = client._metadata_update  # noqa: SLF001 - see above

    async def update_or_find(cluster: ClusterMetadata, topics: Collection[str]) -> bool:
        return await update(cluster, topics) or await _find(client, options, topics)

    client._metadata_update = update_or_find  # noqa: SLF001 - see above


async def _find(client: AIOKafkaClient, options: Mapping[str, Any], topics: Collection[str]) -> bool:
    for host, port, _ in client.hosts:
        with contextlib.suppress(OSError, KafkaError, TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                layout = await _ask(host, port, options, topics)
            if layout.brokers:
                client.cluster.update_metadata(layout)
                return True
    return False


async def _ask(host: str, port: int, options: Mapping[str, Any], topics: Collection[str]) -> Any:
    connection = await create_conn(host, port, **connection_options(options))
    try:
        return await connection.send(MetadataRequest(list(topics) or None))
    finally:
        connection.close()
