"""Anonymous events with the users of a real directory: from Kafka to Segment, while the database comes and goes."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamer.core.inbound.directory import Device, User
from streamer.directory.store import Directory
from streamer.settings.inbound import DirectorySettings
from tests.directory.slices import changes, save
from tests.service.harness import Deployment, eventually, survey_event

pytestmark = pytest.mark.kafka


def anonymous(message_id: str, device: str = "d-1") -> bytes:
    event = orjson.loads(survey_event(message_id))
    del event["userId"]
    return orjson.dumps(event | {"anonymousId": device})


async def keep(file: Path, **users: str) -> None:
    """Create a directory in which devices have these users."""
    directory = Directory(DirectorySettings(url=SecretStr(f"sqlite:///{file}")))
    await directory.migrate()
    owners = {device: User(name) for device, name in users.items()}
    devices = [Device(device, user, since=1, left=0) for device, user in owners.items()]
    await save(directory, changes(users=list(owners.values()), devices=devices))
    await directory.close()


async def identify(deployment: Deployment) -> tuple[str, Path]:
    """Configure an integration that identifies; returns its topic and the file of the directory."""
    deployment.hurry(identify=20, identify_rest=0.1)
    [topic] = await deployment.integrate(identify_devices=True)
    file = deployment.directory / "directory.db"
    deployment.document["directory"] = {"url": f"sqlite:///{file}"}
    return topic, file


def users(deployment: Deployment) -> dict[str, Any]:
    """By messageId, the userId of each event that Segment has."""
    calls = [orjson.loads(body) for _, body in deployment.sandbox.record.latest() if body is not None]
    return {call["messageId"]: call.get("userId") for call in calls}


async def test_an_event_arrives_with_the_user_of_its_device(deployment: Deployment) -> None:
    topic, file = await identify(deployment)
    await keep(file, **{"d-1": "ann"})
    await deployment.produce(topic, [anonymous("a"), anonymous("b", "d-2"), survey_event("c")])
    async with deployment.running() as service:
        await deployment.settled()
        identifier = service.integrations["surveys"].identifier
        assert identifier is not None
        assert {result.value: count for result, count in identifier.counts.items()} == {
            "known": 1,
            "unknown": 1,
            "skipped": 0,
        }
    assert users(deployment) == {"a": "ann", "b": None, "c": "user_1"}
    await deployment.verify()


async def test_events_arrive_whether_the_directory_is_there_or_not(deployment: Deployment) -> None:
    topic, file = await identify(deployment)
    async with deployment.running() as service:
        assert service.identification is not None
        await deployment.produce(topic, [anonymous("before")])
        await eventually(lambda: "before" in users(deployment))
        await keep(file, **{"d-1": "ann", "d-2": "ben"})
        await eventually(lambda: not service.identification.is_resting)  # type: ignore[union-attr]
        await deployment.produce(topic, [anonymous("there")])
        await eventually(lambda: "there" in users(deployment))
        file.unlink()
        await deployment.produce(topic, [anonymous("gone", "d-2"), anonymous("remembered")])
        await deployment.settled()
    assert users(deployment) == {"before": None, "there": "ann", "gone": None, "remembered": "ann"}
    await deployment.verify()
