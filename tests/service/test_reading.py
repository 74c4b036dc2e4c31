"""Where reading begins, and what it does with logs that have holes, markers, damage, or less than was expected."""

import asyncio
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer
from structlog.testing import capture_logs

from streamer.devkit.sandbox.faults import Action, Fault
from tests.service.harness import Deployment, eventually, pipeline_of, survey_event, survey_events

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("start", ["latest", "2026-01-31T08:00:00Z"])
async def test_a_new_group_begins_where_it_is_told(deployment: Deployment, start: str) -> None:
    [topic] = await deployment.integrate(start=start)
    earlier = int(datetime(2025, 12, 31, tzinfo=UTC).timestamp() * 1000)
    await deployment.produce(topic, survey_events(10, "before"), timestamp_ms=earlier)

    async with deployment.running() as service:
        await eventually(
            lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).assignment.ledgers
        )
        await deployment.produce(topic, survey_events(10))
        await deployment.settled()

    assert deployment.sandbox.record.accepted_ids == {f"evt_{number}" for number in range(10)}


async def test_a_group_goes_on_where_it_was_whatever_start_says(deployment: Deployment) -> None:
    """``start`` is for groups without positions. Otherwise ``latest`` would skip what came while we were away."""
    [topic] = await deployment.integrate(start="latest")
    async with deployment.running() as service:
        await eventually(
            lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).assignment.ledgers
        )
        await deployment.produce(topic, survey_events(10))
        await deployment.settled()
    await deployment.produce(topic, survey_events(10, "away"))
    async with deployment.running():
        await deployment.settled()

    await deployment.verify()


async def test_a_partition_that_was_added_while_nobody_ran_is_read_from_its_beginning(deployment: Deployment) -> None:
    """``start`` is for topics that are new to the group, not for partitions that are new to a topic."""
    [topic] = await deployment.integrate(start="latest", partitions=1)
    await deployment.produce(topic, survey_events(10, "before"), partition=0)
    async with deployment.running() as service:
        await eventually(
            lambda: service.integrations["surveys"].runner.pipeline and pipeline_of(service).assignment.ledgers
        )
        await deployment.produce(topic, survey_events(10), partition=0)
        await deployment.settled()
    await deployment.add_partitions(topic, 2)
    await deployment.produce(topic, survey_events(10, "added"), partition=1)
    async with deployment.running(), deployment.running(state="another"):
        await deployment.settled()

    assert deployment.sandbox.record.accepted_ids == {
        f"{name}_{number}" for name in ("evt", "added") for number in range(10)
    }


async def test_markers_of_transactions_leave_no_lag(deployment: Deployment, bootstrap_servers: str) -> None:
    """They take offsets and are no records. What was aborted is not delivered."""
    [topic] = await deployment.integrate(partitions=1)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=topic) as producer:
        async with producer.transaction():
            for value in survey_events(10):
                await producer.send(topic, value, partition=0)
        await producer.begin_transaction()
        for value in survey_events(10, "aborted"):
            await producer.send(topic, value, partition=0)
        await producer.flush()
        await producer.abort_transaction()
    end = await deployment.log_end(topic, 0)
    assert end == 22

    async with deployment.running():
        await deployment.commits_beyond(end - 1)

    assert deployment.sandbox.record.accepted_ids == {f"evt_{number}" for number in range(10)}


async def test_a_position_beyond_the_end_begins_again(deployment: Deployment) -> None:
    """The topic was made anew or truncated: repeats are cheap, skips are not."""
    [topic] = await deployment.integrate(partitions=1)
    await deployment.produce(topic, survey_events(100), partition=0)
    async with deployment.running():
        await deployment.settled()
    await deployment.reset_positions(topic, to=1_000)

    with capture_logs() as lines:
        async with deployment.running():
            async with asyncio.timeout(20):
                await deployment.sandbox.until(lambda record: record.received == 200)
            await deployment.settled()

    [line] = [line for line in lines if line["event"] == "offsets.reset"]
    assert (line["stored"], line["high_watermark"]) == (1_000, 100)
    await deployment.verify(max_times=2, settled_once=False)


async def test_records_that_retention_deleted_are_counted(deployment: Deployment) -> None:
    """Nothing brings them back; saying how many, exactly, is what is left to do."""
    [topic] = await deployment.integrate(partitions=1)
    await deployment.produce(topic, survey_events(100), partition=0)
    async with deployment.running():
        await deployment.settled()
    await deployment.produce(topic, survey_events(50, "lost"), partition=0)
    await deployment.delete_records(topic, 0, 140)

    with capture_logs() as lines:
        async with deployment.running() as service:
            await deployment.settled()
            assert service.integrations["surveys"].runner.accounts[topic, 0].lost == {"retention": 40}

    [line] = [line for line in lines if line["event"] == "records.lost"]
    assert (line["records"], line["data_at_risk"]) == (40, "yes")
    assert deployment.sandbox.record.accepted == 110


async def test_records_that_are_deleted_before_they_are_read_are_counted(deployment: Deployment) -> None:
    """The same while it runs: it fell behind, and retention caught up with it."""
    deployment.document["kafka"]["max_partition_fetch_bytes"] = 1 << 20
    limits = {"max_open_records": 20, "max_parked_per_partition": 20}
    [topic] = await deployment.integrate(partitions=1, limits=limits)
    deployment.sandbox.faults.set(Fault(action=Action(status=503)))
    values = [survey_event(f"evt_{number}", traits={"note": "x" * 5_000}) for number in range(1_000)]
    await deployment.produce(topic, values, partition=0)

    async with deployment.running() as service:
        account = service.integrations["surveys"].runner.accounts[topic, 0]
        await eventually(lambda: account.consumed)
        await deployment.delete_records(topic, 0, 900)
        deployment.sandbox.faults.clear()
        await deployment.settled()
        assert service.integrations["surveys"].runner.restarts == 0
        assert account.lost["retention"] == 1_000 - account.consumed > 0

    assert deployment.sandbox.record.accepted == account.delivered == account.consumed
