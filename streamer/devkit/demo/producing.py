"""Produces sample events, and remembers where each one is on Kafka."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from streamer.core.errors import UnavailableError
from streamer.core.mapping import Mapper
from streamer.core.model import Outcome, TrackCall
from streamer.devkit.demo.events import INTEGRATIONS, SampleEvent
from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka.options import describe_kafka_error
from streamer.settings import Settings


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Produced:
    """An event that Kafka has confirmed."""

    event: SampleEvent
    place: Place
    message_id: str | None
    """Of its call; None: it must make none."""


class Producer:
    """Produces sample events to the topics of their integrations, and tells the sandbox where each one is."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer, sandbox: Sandbox) -> None:
        self._settings = settings
        self._sandbox = sandbox
        self._client = client
        self.confirmed = 0
        """Events that Kafka has confirmed."""
        self._mappers = {name: Mapper(settings.mapping(name)) for name in INTEGRATIONS}

    async def produce(self, events: Iterable[SampleEvent], *, per_second: float | None = None) -> list[Produced]:
        """Produce events, and wait until all of them are confirmed.

        Args:
            events: what to produce.
            per_second: at what rate; None: as fast as it goes.
        """
        loop = asyncio.get_running_loop()
        begun, sent = loop.time(), []
        for number, event in enumerate(events):
            if per_second is not None:
                await asyncio.sleep(max(0.0, begun + number / per_second - loop.time()))
            topic = self._settings.integrations[event.integration].topics[0]
            confirmation = await self._client.send(topic, key=event.key, value=event.value)
            message_id = self._message_id(event)
            confirmation.add_done_callback(functools.partial(self._note, event, message_id))
            sent.append((event, confirmation, message_id))
        return [Produced(event, _place_of(await confirmed), message_id) for event, confirmed, message_id in sent]

    def _note(self, event: SampleEvent, message_id: str | None, confirmation: "asyncio.Future[RecordMetadata]") -> None:
        """A record is confirmed, or never will be."""
        if confirmation.cancelled() or confirmation.exception() is not None:
            return
        self.confirmed += 1
        if message_id is not None:
            self._sandbox.tell_source(message_id, *_place_of(confirmation.result()), orjson.loads(event.value))

    def _message_id(self, event: SampleEvent) -> str | None:
        if event.outcome not in {Outcome.DELIVERED, Outcome.DUPLICATE}:
            return None
        call = self._mappers[event.integration].map(event.value, 0)
        assert isinstance(call, TrackCall), "a sample event that must be delivered makes a call, and so does its copy"
        return call.message_id


@contextlib.asynccontextmanager
async def producing(settings: Settings, sandbox: Sandbox) -> AsyncIterator[Producer]:
    """A producer that is connected while the context lasts.

    Raises:
        UnavailableError: Kafka is not available, or does not take the events.
    """
    servers = settings.kafka.bootstrap_servers
    try:
        async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5, acks="all") as client:
            yield Producer(settings, client, sandbox)
    except KafkaError as error:
        raise UnavailableError(f"the demo cannot produce its events: {describe_kafka_error(error)}") from error


def _place_of(metadata: RecordMetadata) -> Place:
    return Place(metadata.topic, metadata.partition, metadata.offset)
