"""`streamer trace` tells where each event is, or how it ended, with a running instance and without."""

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from streamer.core.mapping import Mapper
from streamer.core.model import Outcome, TrackCall
from streamer.core.records.receipt_record import ReceiptBatch, encode
from streamer.core.story import State, Story, tell
from streamer.devkit.demo.events import sample_events
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.instances import Instances
from streamer.operations.trace import Trace, Tracer
from streamer.receipts import digest_of
from tests.service.harness import Deployment, delivery_of, eventually, survey_event, survey_events
from tests.service.test_audit import audited, command, totals

pytestmark = pytest.mark.kafka


class Asking:
    """Traces events of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def trace(self, message_id: str = "", *, place: str = "", user: str = "", since: float = 0.0) -> Trace:
        """What is found."""
        settings = self._deployment.settings()
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(TopicReader(settings.kafka))
            instances = await stack.enter_async_context(Instances.open(settings))
            tracer = Tracer(
                settings,
                reader,
                instances,
                list(settings.integrations),
                since=since,
                on_progress=lambda *_: None,
            )
            if place:
                topic, partition, offset = place.rsplit(":", 2)
                return await tracer.by_place((topic, int(partition), int(offset)))
            return await (tracer.by_user_id(user) if user else tracer.by_message_id(message_id))

    async def story(self, message_id: str) -> Story:
        """The one story of an event."""
        [story] = (await self.trace(message_id)).stories
        return story


def _ids(deployment: Deployment, values: list[bytes]) -> Iterator[str]:
    """The derived ids of Sprig's records."""
    mapper = Mapper(deployment.settings().mapping("sprig"))
    calls = (mapper.map(value, 1_770_000_000_000) for value in values)
    yield from (call.message_id for call in calls if isinstance(call, TrackCall))


async def _share_receipts(deployment: Deployment, topic: str, delivered: dict[str, int]) -> None:
    """Write what an instance writes that delivered these messageIds from partition 0."""
    deployment.document["receipts"] = {"topic": f"{topic}.receipts"}
    await deployment.make_topics([f"{topic}.receipts"])
    batch = ReceiptBatch(
        integration="surveys",
        destination_name="segment",
        destination="",
        topic=topic,
        partition=0,
        delivered_at=time.time(),
        instance="another",
        batch_events=20,
        attempt=2,
        status=200,
        replay_id=0,
        offsets=list(delivered.values()),
        digests=[digest_of(message_id) for message_id in delivered],
    )
    key, value = encode(batch)
    await deployment.produce(f"{topic}.receipts", [value], partition=0, key=key)


async def test_each_event_is_found_where_it_is(deployment: Deployment) -> None:
    deployment.destination["retry"] = {"quick": ["1ms"], "schedule": ["1h"] * 9}
    [topic] = await deployment.integrate(events={"disabled": ["Flow Viewed"]})
    [sprig] = await deployment.integrate("sprig", dialect="sprig")
    deployment.sandbox.faults.set(
        Fault(match=Match(message_ids=frozenset({"evt_2"})), action=Action(status=400)),
        Fault(match=Match(message_ids=frozenset({"evt_3"})), action=Action(status=500)),
    )
    disabled = survey_event("evt_disabled").replace(b"Response Submitted", b"Flow Viewed")
    await deployment.produce(topic, [*survey_events(5), disabled, survey_event("evt_0")], partition=0)
    samples = [event for event in sample_events(60) if event.integration == "sprig"]
    answers = [event.value for event in samples if event.outcome is Outcome.DELIVERED]
    await deployment.produce(sprig, answers, partition=0)
    sprig_id = next(_ids(deployment, answers))
    asking = Asking(deployment)

    async with deployment.running() as service:
        accounts = [service.integrations[name].runner.accounts for name in ("surveys", "sprig")]
        await eventually(lambda: sum(one.settled for of in accounts for one in of.values()) == 6 + len(answers))
        await eventually(lambda: (delivery_of(service).parked.due_at or 0.0) > time.monotonic() + 60)

        delivered = await asking.story("evt_1")
        assert (delivered.state, delivered.place) == (State.DELIVERED, (topic, 0, 1))
        assert any("delivered" in sentence for sentence in tell(delivered))

        parked = await asking.story("evt_3")
        assert parked.state is State.OPEN
        assert any("waits for its next attempt" in sentence and "500" in sentence for sentence in tell(parked))

        set_aside = await asking.story("evt_2")
        assert set_aside.state is State.DEAD_LETTERED
        assert set_aside.place == (topic, 0, 2)
        assert any("rejected_400" in sentence and "HTTP status 400" in sentence for sentence in tell(set_aside))

        [derived] = (await asking.trace(sprig_id)).stories
        assert (derived.integration, derived.state, derived.message_id) == ("sprig", State.DELIVERED, sprig_id)

    # Nothing runs any more: Kafka alone is asked.
    assert (await asking.story(sprig_id)).state is State.ENDED
    filtered = await asking.story("evt_disabled")
    assert (filtered.state, filtered.place) == (State.FILTERED, (topic, 0, 5))
    assert (await asking.story("evt_3")).state is State.OPEN
    await _look_without_instances(deployment, asking, topic)
    await _look_into_receipts(deployment, asking, topic)

    code, lines, errors = await command(deployment, "trace", "evt_2")
    assert (code, lines[0]["state"], lines[0]["dead_letters"][0]["reason"]) == (0, "dead_lettered", "rejected_400")
    code, lines, errors = await command(deployment, "trace", "evt_never")
    assert (code, lines) == (1, [])
    assert "Looked at" in errors


async def _look_without_instances(deployment: Deployment, asking: Asking, topic: str) -> None:
    """Kafka alone is asked."""
    await deployment.produce(topic, [survey_event("evt_late")], partition=0)
    late = await asking.story("evt_late")
    assert (late.state, late.behind) == (State.WAITING, 1)

    # Who names a record wants its story, however old it is.
    by_place = (await asking.trace(place=f"{topic}:0:2", since=time.time() + 60)).stories
    assert [(story.message_id, story.state) for story in by_place] == [("evt_2", State.DEAD_LETTERED)]
    of_user = await asking.trace(user="user_1")
    assert {story.message_id for story in of_user.stories} == {*(f"evt_{n}" for n in range(5)), "evt_late"}

    never = await asking.trace("evt_never")
    assert never.stories == []
    assert f"records in {topic}" in never.looked
    assert any("no running instance" in text for text in never.unknown)
    assert (await asking.trace("evt_1", since=time.time() + 60)).stories == []
    assert (await asking.trace(place=f"{topic}:0:999")).stories == []


async def _look_into_receipts(deployment: Deployment, asking: Asking, topic: str) -> None:
    """The topic of receipts says more than an instance: who, when, in which attempt."""
    await _share_receipts(deployment, topic, {"evt_1": 1})
    shared = await asking.story("evt_1")
    assert (shared.state, shared.place) == (State.DELIVERED, (topic, 0, 1))
    assert any("attempt 2, HTTP status 200, a request of 20 calls [another]" in sentence for sentence in tell(shared))
    result = await audited(deployment)
    assert totals(result)["delivered"] == 1, "each receipt proves its own delivery, and no other one"
