"""Transactions that a producer leaves open: the partition waits for them, and nothing is read twice or skipped."""

import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from streamer.service import Service
from streamer.service_view import ServiceView
from streamer.status import IntegrationStatus
from tests.service.harness import Deployment, eventually, survey_events

pytestmark = pytest.mark.kafka


@contextlib.asynccontextmanager
async def transaction(deployment: Deployment, topic: str, values: Sequence[bytes]) -> AsyncIterator[AIOKafkaProducer]:
    """Write records to the first partition, in a transaction that the test ends."""
    async with AIOKafkaProducer(
        bootstrap_servers=deployment.document["kafka"]["bootstrap_servers"], transactional_id=f"test-{uuid.uuid4().hex}"
    ) as producer:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
        yield producer


def shown(service: Service) -> IntegrationStatus:
    """What `/status` and `/metrics` show of the integration."""
    [integration] = ServiceView(service).status().integrations
    return integration


def open_since(service: Service) -> list[float | None]:
    """Since when each partition waits for a transaction."""
    assigned = [partition.assigned for partition in shown(service).partitions]
    return [None if partition is None else partition.open_transaction_since for partition in assigned]


@pytest.mark.parametrize("is_committed", [True, False])
async def test_one_that_stays_open_is_named_and_nothing_is_read_again(
    deployment: Deployment, *, is_committed: bool
) -> None:
    """Over a restart in the middle of it, too: what was stored lies at the last stable offset."""
    deployment.hurry(ask_every=0.1, transaction_after=0.5)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(50))
    with capture_logs() as lines:
        async with deployment.running():
            await deployment.settled()
        async with transaction(deployment, topic, survey_events(20, "open")) as producer:
            await deployment.produce(topic, survey_events(10, "behind"), partition=0)
            await deployment.produce(topic, survey_events(10, "beside"), partition=1)
            for _ in range(2):
                async with deployment.running() as service:
                    await eventually(lambda: any(open_since(service)) and shown(service).lag == 30)
                    [check] = [check for check in ServiceView(service).ready() if check.name == "integration.surveys"]
                    assert check.is_degraded
            async with deployment.running() as service:
                await (producer.commit_transaction() if is_committed else producer.abort_transaction())
                await deployment.settled()
                await eventually(lambda: shown(service).lag == 0 and open_since(service) == [None, None])
    assert not [line for line in lines if line["event"] in {"offsets.reset", "kafka.unavailable"}]
    said = [line for line in lines if line["event"] == "transaction.open"]
    assert len(said) == 2, "once in each run that saw it"
    taken = dict(deployment.sandbox.record.counts())
    expected = {"evt": 50, "behind": 10, "beside": 10, **({"open": 20} if is_committed else {})}
    assert Counter(message_id.partition("_")[0] for message_id in taken) == expected
    assert set(taken.values()) == {1}
