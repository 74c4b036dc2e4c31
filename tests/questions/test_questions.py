"""Ten questions of people on call and of producers, each answered by one command, over two instances.

docs/questions.md tells them, with what the commands print here. ``make questions`` asks them with a million records on
the topic.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
import yaml

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.server import Sandbox
from tests.conftest import ConsumeAll, ExternalCluster
from tests.faults.traffic import repeated
from tests.questions.world import KIOSK, RECORDS, WEB_SHOP, World, utc, world
from tests.service.harness import eventually, survey_event, survey_events

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]

MALFORMED: Final = 12
PARKED: Final = "evt_parked"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    tmp_path_factory: pytest.TempPathFactory, broker: Broker | ExternalCluster, consume_all: ConsumeAll
) -> AsyncIterator[World]:
    """The world that all questions are about."""
    sandbox = Sandbox()
    await sandbox.start()
    async with world(
        tmp_path_factory.mktemp("questions"),
        bootstrap_servers=broker.bootstrap_servers,
        sandbox=sandbox,
        consume_all=consume_all,
    ) as found:
        yield found
    await sandbox.stop()


async def test_where_is_my_event(here: World) -> None:
    """Delivered, parked, dead-lettered, behind lag, or never sent."""
    here.deployment.sandbox.faults.set(Fault(match=Match(message_id=[PARKED]), action=Action(status=500)))
    await here.produce("web", [survey_event(PARKED)], headers=WEB_SHOP)
    await here.produce("feedback", [survey_event("evt_broken", app_id=None)], headers=KIOSK)
    await here.deliver("web", "around", 200)
    await here.person.types("pause", "app", "--reason", "a look at what waits", *here.asked)
    await here.produce("app", survey_events(40, "waiting"), headers=WEB_SHOP)
    ends = {
        "evt_1": ("where-delivered", 0, "delivered"),
        PARKED: ("where-parked", 0, "parked"),
        "evt_broken": ("where-dead-lettered", 0, "dead_lettered"),
        "waiting_39": ("where-behind", 0, "waiting"),
        "evt_nobody": ("where-never", 1, "not found"),
    }
    for message_id, (name, code, where) in ends.items():
        story = await here.person.types("trace", message_id, *here.asked, expect=code)
        assert where in story.out.replace("-", "_") or where in story.err, story
        await here.person.shows(name, ("trace", message_id, *here.asked))
    here.deployment.sandbox.faults.clear()
    await here.person.types("resume", "app", *here.asked)
    await here.arrived("waiting_39")
