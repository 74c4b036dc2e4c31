"""Ten questions of people on call and of producers, each answered by one command, over two instances.

docs/questions.md tells them, with what the commands print here. ``make questions`` asks them with a million records on
the topic.
"""

import functools
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
import yaml

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.server import Sandbox
from tests.conftest import ExternalCluster, read_topic
from tests.faults.traffic import repeated
from tests.questions.world import KIOSK, PATIENCE_SECONDS, RECORDS, WEB_SHOP, World, utc, world
from tests.service.harness import eventually, survey_event, survey_events

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]

MALFORMED: Final = 12
PARKED: Final = "evt_parked"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory, broker: Broker | ExternalCluster) -> AsyncIterator[World]:
    """The world that all questions are about."""
    sandbox = Sandbox()
    await sandbox.start()
    async with world(
        tmp_path_factory.mktemp("questions"),
        bootstrap_servers=broker.bootstrap_servers,
        sandbox=sandbox,
        consume_all=functools.partial(read_topic, broker.bootstrap_servers),
    ) as found:
        yield found
    await sandbox.stop()


async def test_where_is_my_event(here: World) -> None:
    """Delivered, parked, dead-lettered, behind lag, or never sent."""
    here.deployment.sandbox.faults.set(Fault(match=Match(message_ids=frozenset({PARKED})), action=Action(status=500)))
    await here.produce("web", [survey_event(PARKED)], headers=WEB_SHOP)
    await here.produce("feedback", [survey_event("evt_broken", app_id=None)], headers=KIOSK)
    await here.deliver("web", "around", 200)
    await here.person.types("pause", "app", "--reason", "looking at what waits", *here.asked)
    await here.produce("app", survey_events(40, "waiting"), headers=WEB_SHOP)
    await here.dead_lettered("feedback", 1)
    await eventually(lambda: here.deployment.sandbox.faults.running[0].requests >= 2)
    for message_id, name, state in (
        ("evt_1", "where-delivered", "delivered"),
        (PARKED, "where-parked", "open"),
        ("evt_broken", "where-dead-lettered", "dead_lettered"),
        ("waiting_39", "where-behind", "waiting"),
    ):
        story = await here.person.types("trace", message_id, *here.asked)
        assert [row["state"] for row in story.rows()] == [state], story
        await here.person.shows(name, ("trace", message_id, *here.asked))
    nobody = await here.person.types("trace", "evt_nobody", *here.asked, expect=1)
    assert nobody.out == ""
    await here.person.shows("where-never", ("trace", "evt_nobody", *here.asked))
    here.deployment.sandbox.faults.clear()
    await here.person.types("resume", "app", *here.asked)
    await here.arrived("waiting_39")


async def test_did_we_lose_anything_last_night(here: World) -> None:
    """Two kills and rebalances, while events flow: the audit finds each record accounted for, as the oracle does."""

    async def produce(number: int) -> None:
        await here.produce("web", survey_events(20, f"night_{number}"), headers=WEB_SHOP)

    async with repeated(produce, 0.1):
        for _ in range(2):
            await here.arrived_more(100)
            await here.kill("two")
            await here.start("two")
            await here.joined("two", "web")
    await here.deployment.settled(PATIENCE_SECONDS)
    command = ("audit", "--integration", "web", "--from", "12h", *here.asked)
    rows = (await here.person.types(*command)).rows()
    assert sum(row["unaccounted"] + row["not_provable"] for row in rows) == 0
    assert sum(row["delivered"] + row["duplicate"] for row in rows) >= RECORDS + 400
    await here.person.shows("lost", command)


async def test_what_did_a_producer_break_and_who_sent_it(here: World) -> None:
    """Two faults of one producer, beside one of nobody: counted by detail, with the schema's sentence."""
    await here.produce(
        "feedback", [survey_event(f"kiosk_{number}", app_id=None) for number in range(MALFORMED)], headers=KIOSK
    )
    await here.produce(
        "feedback", [survey_event(f"odd_{number}", organization_id=None) for number in range(3)], headers=KIOSK
    )
    await here.produce("feedback", [b"no JSON"])
    await here.produce("feedback", survey_events(40, "sound"), headers=WEB_SHOP)
    await here.dead_lettered("feedback", MALFORMED + 4)
    why = await here.person.types("dlq", "why", "--integration", "feedback", "--by", "client.id")
    kiosk = [row for row in why.rows() if row["producer"] == "client.id=kiosk-7"]
    assert sum(row["dead_letters"] for row in kiosk) >= MALFORMED
    assert any("app_id" in row["detail"] and row["schema_says"] for row in kiosk), kiosk
    shown = await here.person.types("dlq", "show", "kiosk_3")
    assert shown.rows()[0]["headers"]
    await here.person.shows("broken", ("dlq", "why", "--integration", "feedback", "--by", "client.id"))
    await here.person.shows("malformed", ("dlq", "show", "kiosk_3"))


async def test_pause_for_an_hour_and_resume(here: World) -> None:
    """Both instances obey; the events wait, and are delivered once afterwards."""
    paused = await here.person.types("pause", "app", "--for", "1h", "--reason", "a new workspace", *here.asked)
    [row] = paused.rows()
    assert (row["instances_obey"], row["instances_asked"]) == (2, 2)
    await here.produce("app", survey_events(30, "held"), headers=WEB_SHOP)
    lag = await here.person.types("lag", "--integration", "app")
    assert sum(row["lag"] for row in lag.rows()) == 30
    assert not here.received("held_29")
    await here.person.shows(
        "pause",
        ("pause", "app", "--for", "1h", "--reason", "a new workspace", *here.asked),
        ("lag", "--integration", "app"),
        ("resume", "app", *here.asked),
    )
    await here.person.types("resume", "app", *here.asked)
    await here.arrived("held_29")
    assert [here.received(f"held_{number}") for number in range(30)] == [1] * 30


async def test_rename_an_event_without_downtime(here: World) -> None:
    """500 events a second flow on both instances: none is lost, none is sent twice, no partition moves."""
    sent: list[str] = []

    async def produce(number: int) -> None:
        await here.produce("mobile", survey_events(50, f"flow_{number}"), headers=WEB_SHOP)
        sent.extend(f"flow_{number}_{one}" for one in range(50))

    rebalances = moved(here)

    def has_new_name() -> bool:
        calls = here.deployment.sandbox.record.latest(200)
        return any(body is not None and b"Survey Answered" in body for _, body in calls)

    async with repeated(produce, 0.1):
        await here.arrived_more(200)
        here.reconfigure("mobile", events={"rename": {"Response Submitted": "Survey Answered"}})
        await eventually(has_new_name, 30)
        await here.arrived_more(500)
    await here.deployment.settled(PATIENCE_SECONDS)
    assert [message_id for message_id in sent if here.received(message_id) != 1] == []
    for process in here.instances.values():
        assert process.log_events("config.reloaded")
    assert moved(here) == rebalances


async def test_what_would_a_change_do(here: World) -> None:
    """Before it is deployed, on the records of the last minutes."""
    await here.deliver("web", "lately", 25)
    document = yaml.safe_load((here.deployment.directory / "streamer.yaml").read_text())
    document["integrations"]["web"]["events"] = {"rename": {"Response Submitted": "Answered"}}
    (here.deployment.directory / "new.yaml").write_text(yaml.safe_dump(document))
    difference = ("diff", "streamer.yaml", "new.yaml", "--last", "5m", "--integration", "web")
    found = await here.person.types(*difference, expect=1)
    assert "Answered" in found.out
    assert any(row["change"] == "renamed" and row["records"] >= 25 for row in found.rows()), found.out
    await here.person.shows("change", difference)


async def test_send_an_hour_of_yesterday_again(here: World) -> None:
    """What receipts know is not sent; with --force all of the hour is, and nothing else."""
    midnight = time.time() // 86_400 * 86_400
    ten = midnight - 86_400 + 10 * 3_600
    for hour, prefix in ((9, "nine"), (10, "ten"), (11, "eleven")):
        at = int((midnight - 86_400 + hour * 3_600 + 1_800) * 1_000)
        await here.produce("history", survey_events(20, prefix), headers=WEB_SHOP, timestamp_ms=at)
    await here.deployment.settled(PATIENCE_SECONDS)
    replay = ("replay", "--integration", "history", "--from", utc(ten), "--to", utc(ten + 3_600))
    dry = await here.person.types(*replay, *here.asked)
    assert sum(row["records"] for row in dry.rows()) == 20
    assert sum(row["to_send"] for row in dry.rows()) == 0
    done = await here.person.types(*replay, "--force", "--execute")
    assert sum(row["delivered"] for row in done.rows()) == 20
    counts = {
        prefix: {here.received(f"{prefix}_{number}") for number in range(20)} for prefix in ("nine", "ten", "eleven")
    }
    assert counts == {"nine": {1}, "ten": {2}, "eleven": {1}}
    await here.person.shows("replay", (*replay, *here.asked), (*replay, "--force", "--execute"))


async def test_release_the_guard(here: World) -> None:
    """Records of another platform on the topic: the guard stops it, the producer corrects, the operator releases."""
    await here.produce("shop", [b'{"type": "analytics"}'] * 60, headers=KIOSK)
    await eventually_guarded(here)
    await here.produce("shop", survey_events(10, "after"), headers=WEB_SHOP)
    assert not here.received("after_9")
    released = await here.person.types("resume", "shop", "--reason", "the producer is corrected", *here.asked)
    assert released.rows()[0]["instances_obey"] == 2
    await here.arrived("after_9")


async def test_redrive_only_those(here: World) -> None:
    """Of all dead letters, the twelve of one fault go back; corrected, they are delivered."""
    prefix = f"again_{time.time_ns()}"
    ids = [f"{prefix}_{number}" for number in range(MALFORMED)]
    fault = Fault(match=Match(message_ids=frozenset(ids)), action=Action(status=400))
    here.deployment.sandbox.faults.set(fault)
    known = len(await here.deployment.dead_letters("web"))
    await here.produce("web", [*map(survey_event, ids), *survey_events(60, f"{prefix}_sound")], headers=WEB_SHOP)
    await here.dead_lettered("web", known + MALFORMED, 60)
    here.deployment.sandbox.faults.clear()
    (here.deployment.directory / "those.txt").write_text("\n".join(ids))
    redrive = ("dlq", "redrive", "--message-id", "@those.txt")
    dry = await here.person.types(*redrive)
    assert sum(row["left"] for row in dry.rows()) == MALFORMED
    await here.person.shows("redrive", redrive)
    await here.person.types(*redrive, "--execute")
    await eventually(lambda: all(here.received(one) for one in ids), 30)
    assert {here.received(one) for one in ids} == {1}
    story = await here.person.types("trace", ids[0], "--all", *here.asked)
    assert "delivered" in {row["state"] for row in story.rows()}


def moved(here: World) -> int:
    """How often a partition of the renamed events has left an instance."""
    lines = [line for process in here.instances.values() for line in process.log_events("partition.revoked")]
    return sum(line["integration"] == "mobile" for line in lines)


async def eventually_guarded(here: World) -> None:
    """Wait until an instance says that the mass guard has stopped it."""
    await eventually(lambda: any(process.log_events("integration.guarded") for process in here.instances.values()), 30)
