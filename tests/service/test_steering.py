"""Operators steer running instances: the commands as they are typed, on a real broker."""

import asyncio
import json

import pytest

from streamer.__main__ import main
from streamer.core.delivery.transitions import State
from streamer.kafka import describe_topics
from streamer.service import Service
from streamer.status import ConsumerStatus, IntegrationState
from tests.service.harness import Deployment, eventually, pipeline_of, survey_events

pytestmark = pytest.mark.kafka


def shown(service: Service) -> ConsumerStatus:
    [integration] = service._view.status().integrations
    return integration


async def command(deployment: Deployment, *arguments: str, asked: tuple[Service, ...] = ()) -> int:
    """Type a command of streamer, about the instances that run in this process."""
    instances = [option for one in asked for option in ("--instance", f"http://127.0.0.1:{one.port}")]
    verb, *others = arguments
    typed = [verb, "surveys", *others, "--config", str(deployment.write_configuration()), "-o", "json", *instances]
    return await asyncio.to_thread(main, typed)


async def test_all_instances_obey_a_pause_until_it_ends(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within seconds, also after a restart; what comes meanwhile waits on Kafka, and is delivered once."""
    [topic] = await deployment.integrate(partitions=2)
    async with deployment.running(state="one") as one, deployment.running(state="two") as two:
        await deployment.produce(topic, survey_events(20, "before"))
        await deployment.settled()
        await eventually(lambda: pipeline_of(one).assignment.ledgers and pipeline_of(two).assignment.ledgers)
        capsys.readouterr()

        assert await command(deployment, "pause", "--reason", "Segment moves", asked=(one, two)) == 0
        [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "instances_obey" in line]
        assert (row["status"], row["instances_obey"], row["instances_asked"]) == ("paused", 2, 2)
        await asyncio.gather(*(_reader_turned(service) for service in (one, two)))
        await deployment.produce(topic, survey_events(30, "meanwhile"))
        await eventually(lambda: sum(shown(service).lag or 0 for service in (one, two)) == 30)
        for service in (one, two):
            status = shown(service)
            assert status.state is IntegrationState.PAUSED
            assert status.pause is not None
            assert status.pause.reason == "Segment moves"

    async with deployment.running(state="one") as one:
        await eventually(lambda: shown(one).lag == 30 and shown(one).state is IntegrationState.PAUSED)
        assert deployment.sandbox.record.accepted == 20

        assert await command(deployment, "pause", "--for", "1s", asked=(one,)) == 0
        await deployment.settled()
        assert shown(one).state is IntegrationState.RUNNING
    await deployment.verify()


async def _reader_turned(service: Service) -> None:
    at = pipeline_of(service)._reader.turned_at
    await eventually(lambda: pipeline_of(service)._reader.turned_at > at)


async def test_a_resume_releases_the_guard_and_probes_a_held_destination(deployment: Deployment) -> None:
    """Both would wait: the one for a restart, the other for the next probe."""
    [topic] = await deployment.integrate(partitions=1)
    deployment.hurry(held_probe=600.0)
    deployment.require_key("another-key")
    async with deployment.running() as service:
        segment = service.destinations["segment"]
        await deployment.produce(topic, survey_events(10), partition=0)
        await eventually(lambda: segment.state is State.HELD)
        await deployment.produce(topic, [b"not JSON"] * 30, partition=0)
        await eventually(lambda: pipeline_of(service).is_guarded)
        deployment.sandbox._required_keys = None
        segment._machine._schedule.due += 600  # it has been held for long
        segment._set_alarm()

        assert await command(deployment, "resume", asked=(service,)) == 0
        await deployment.settled()
        assert segment.state is State.OK
        assert not pipeline_of(service).is_guarded
    await deployment.verify()
    assert len(await deployment.dead_letters()) == 30


async def test_a_control_topic_is_made_compacted(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody runs yet: the order is there for those that start later, or anew with another configuration."""
    await deployment.integrate()
    assert await command(deployment, "pause") == 0
    assert "no running instance has confirmed it" in capsys.readouterr().err
    settings = deployment.settings()
    assert settings.control is not None
    [topic] = await describe_topics(settings.kafka, [settings.control.topic])
    assert topic.partitions == 1
    assert topic.values is not None
    assert topic.values["cleanup.policy"] == "compact"
    async with deployment.running(follows_file=True) as service:
        await eventually(lambda: shown(service).state is IntegrationState.PAUSED)
        first = pipeline_of(service)
        deployment.integration("surveys")["limits"] = {"max_open_records": 5_000}
        deployment.write_configuration()
        await service.reloader.reload()
        await eventually(lambda: pipeline_of(service) is not first and shown(service).members)
        await deployment.produce(deployment.integration("surveys")["topics"][0], survey_events(3))
        await eventually(lambda: shown(service).lag == 3)
        assert shown(service).state is IntegrationState.PAUSED
    assert deployment.sandbox.record.accepted == 0
