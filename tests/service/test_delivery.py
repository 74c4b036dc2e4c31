"""Records of a good day: what becomes of each, over all dialects, filters and states of an integration."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from aiokafka import TopicPartition

from streamer.core.mapping import Mapper
from streamer.core.model import DeadLetterReason, Filtered, FilterReason, TrackCall
from streamer.service import Service
from tests.service.harness import Deployment, eventually, pipeline_of, survey_event, survey_events

pytestmark = pytest.mark.kafka

SAMPLES = Path(__file__).parents[1] / "samples"


def samples(dialect: str) -> list[bytes]:
    """The values of all good samples of a dialect."""
    paths = sorted((SAMPLES / dialect).glob("*.json"))
    return [path.read_bytes() for path in paths if not path.name.endswith((".segment.json", ".settings.json"))]


def invalid_samples(dialect: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((SAMPLES / dialect / "invalid").glob("*.json"))]


async def test_two_integrations_read_three_topics(deployment: Deployment) -> None:
    """Samples in topics of their dialects; both integrations deliver to one destination, and neither waits."""
    [sprig] = await deployment.integrate("sprig", dialect="sprig")
    fruits = await deployment.integrate("fruits", dialect="product_fruits", topics=2)
    await deployment.produce(sprig, samples("sprig") + invalid_samples("sprig"))
    for topic, values in zip(fruits, (samples("product_fruits"), invalid_samples("product_fruits")), strict=True):
        await deployment.produce(topic, values)

    async with deployment.running() as service:
        await deployment.settled()
        accounts = {name: integration.runner.accounts for name, integration in service.integrations.items()}

    await deployment.verify()
    assert sum(account.delivered for account in accounts["sprig"].values()) >= 10
    assert sum(account.delivered for account in accounts["fruits"].values()) >= 10
    assert sum(account.dead_lettered.total() for account in accounts["fruits"].values()) == 12


async def test_all_events_of_a_backlog_are_delivered_in_few_requests(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(5_000))

    async with deployment.running():
        await deployment.settled()

    await deployment.verify()
    assert sum(deployment.sandbox.record.requests_by_answer.values()) < 50


async def test_a_partition_without_records_does_not_hold_up_another(deployment: Deployment) -> None:
    [topic] = await deployment.integrate(partitions=3)

    async with deployment.running():
        await deployment.produce(topic, survey_events(10), partition=1)
        await deployment.settled()

    await deployment.verify()


async def test_what_is_redriven_for_another_integration_is_filtered(deployment: Deployment) -> None:
    """A record taken back from a dead-letter topic names its integration; another one on the same topic has had it."""
    [topic] = await deployment.integrate()
    for message_id, integration in (("theirs", b"another"), ("ours", b"surveys")):
        headers = [("streamer.redrives", b"1"), ("streamer.integration", integration)]
        await deployment.produce(topic, [survey_event(message_id)], headers=headers)

    async with deployment.running() as service:
        await deployment.settled()
        [account] = [
            account for account in service.integrations["surveys"].runner.accounts.values() if account.consumed
        ]

    await deployment.verify()
    assert account.filtered == {FilterReason.REDRIVEN_FOR_OTHER: 1}
    assert deployment.sandbox.record.accepted_ids == {"ours"}


async def test_a_paused_integration_leaves_its_records_on_kafka(deployment: Deployment) -> None:
    """The other integrations run; resumed, it goes on where it was."""
    [held] = await deployment.integrate("held", status="paused")
    [topic] = await deployment.integrate("surveys")
    await deployment.produce(topic, survey_events(10))

    async with deployment.running():
        await deployment.settled()
        await deployment.produce(held, survey_events(10, "held"))
    assert not any((await deployment.committed("held")).values())
    assert not deployment.sandbox.record.count("held_0")

    deployment.integration("held")["status"] = "running"
    async with deployment.running():
        await deployment.settled()
    await deployment.verify()


async def test_a_paused_integration_keeps_its_place_in_its_group(deployment: Deployment) -> None:
    """Positions of a group without members expire. A new group begins where it is paused, not where it is resumed."""
    [topic] = await deployment.integrate(status="paused", start="latest")
    await deployment.produce(topic, survey_events(5, "before"), partition=0)

    async with deployment.running() as service:
        await eventually(lambda: len(assigned(service)) == 2)
        await deployment.produce(topic, survey_events(5), partition=0)
        url = f"http://127.0.0.1:{service.port}/readyz?verbose"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert response.status == 200
            assert "paused" in await response.text()
        assert (await deployment.committed())[TopicPartition(topic, 0)] == 5
        assert service.integrations["surveys"].runner.totals().consumed == 0

    deployment.integration("surveys")["status"] = "running"
    async with deployment.running():
        await deployment.settled()
    assert deployment.sandbox.record.accepted_ids == {f"evt_{number}" for number in range(5)}


def assigned(service: Service) -> set[TopicPartition]:
    pipeline = service.integrations["surveys"].runner.pipeline
    return pipeline.assignment.readable() if pipeline is not None else set()


async def test_a_paused_integration_that_discards_filters_its_records(deployment: Deployment) -> None:
    [topic] = await deployment.integrate(status="paused", on_pause="discard")
    await deployment.produce(topic, survey_events(10))

    async with deployment.running() as service:
        await deployment.settled()
        accounts = service.integrations["surveys"].runner.accounts.values()

    await deployment.verify()
    assert sum(account.filtered[FilterReason.PAUSED] for account in accounts) == 10
    assert deployment.sandbox.record.received == 0


async def test_a_bug_on_one_record_dead_letters_that_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever our mistakes do to a record, its neighbours are delivered; its dead letter says whose fault it is."""
    map_record = Mapper.map

    def stumble(
        self: Mapper,
        value: bytes | None,
        timestamp: int,
        headers: Sequence[tuple[str, bytes | None]],
        key: bytes | None = None,
    ) -> TrackCall | Filtered:
        if value is not None and b'"evt_7"' in value:
            raise ZeroDivisionError("secret answer")
        return map_record(self, value, timestamp, headers, key)

    monkeypatch.setattr(Mapper, "map", stumble)
    [topic] = await deployment.integrate()
    await deployment.produce(topic, survey_events(20))

    async with deployment.running() as service:
        await deployment.settled()
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify()
    [letter] = await deployment.dead_letters()
    headers = dict(letter.headers)
    assert headers["streamer.reason"] == DeadLetterReason.INTERNAL_ERROR.encode()
    assert b"ZeroDivisionError" in headers["__connect.errors.exception.message"]
    assert b"secret answer" not in headers["__connect.errors.exception.message"]


async def test_a_pipeline_that_fails_starts_again_from_its_committed_position(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug outside of one record ends the pipeline of its integration, and nothing else."""
    [broken] = await deployment.integrate("broken")
    [topic] = await deployment.integrate("surveys")

    async with deployment.running() as service:
        await deployment.produce(broken, survey_events(50, "broken"))
        await deployment.settled()
        pipeline = pipeline_of(service, "broken")
        monkeypatch.setattr(pipeline._reader, "_take_records", _fail)
        await deployment.produce(broken, survey_events(50, "again"))
        await deployment.produce(topic, survey_events(50))
        await deployment.settled()
        assert service.integrations["broken"].runner.restarts == 1
        assert service.integrations["surveys"].runner.restarts == 0

    await deployment.verify(settled_once=False)


async def test_the_caps_on_what_is_open_only_slow_reading_down(deployment: Deployment) -> None:
    """Full means that the reader waits: nothing is dropped, and it goes on as soon as there is room."""
    [topic] = await deployment.integrate(limits={"max_open_records": 50, "max_parked_per_partition": 50})
    await deployment.produce(topic, survey_events(2_000))

    async with deployment.running() as service:
        await asyncio.wait_for(deployment.sandbox.until(lambda record: record.accepted > 100), 10)
        pipeline = pipeline_of(service)
        await eventually(lambda: pipeline.custody.load.records < 50)
        await deployment.settled()

    await deployment.verify()


def _fail(*_: object) -> None:
    raise RuntimeError("planted")
