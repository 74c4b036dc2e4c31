"""The acts of the demo: what it does with the playground, and what is checked at the end of each."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final

import orjson

from streamer.core.model import Json, Outcome
from streamer.core.records.account import Totals
from streamer.devkit.demo.events import SampleEvent, steady_events
from streamer.devkit.demo.playground import SESSION_MS, Playground
from streamer.devkit.demo.producing import Produced, Producer
from streamer.devkit.demo.showing import say, show, show_checks, show_document, show_table
from streamer.devkit.demo.watch import LOOK_SECONDS, TELL_SECONDS, Watch
from streamer.devkit.sandbox.faults import Action, Fault

STALLED_AFTER_SECONDS: Final = 60.0
"""After so long without progress, an act ends, and its checks show what is missing."""

STEADY_PER_SECOND: Final = 60.0
"""How many events arrive a second while a fault lasts."""

OUTAGE_SECONDS: Final = 5.0
OUTAGE_EVENTS: Final = 300

KILL_AFTER_SECONDS: Final = 2.0
KILL_EVENTS: Final = 180
KILL_LATENCY_SECONDS: Final = 0.5
"""How long Segment takes to answer in that act, so that requests are in flight when the process is killed."""

NAMED_IDS: Final = 2
"""How many of the messageIds that were sent again are named."""

TERMS: Final = ("consumed", "delivered", "duplicate", "filtered", "dead_lettered", "handed_back", "in_flight")


async def show_each_platform(ground: Playground, producer: Producer, events: Sequence[SampleEvent]) -> list[Produced]:
    """One event of each platform: the record on Kafka, and the call that Segment got."""
    firsts = {event.integration: event for event in reversed(events)}
    produced = await producer.produce(firsts[name] for name in sorted(firsts, key=list(_names(events)).index))
    await _until(lambda: all(ground.sandbox.record.count(one.message_id or "") for one in produced), ground)
    for one in produced:
        topic, partition, offset = one.place
        key = one.event.key.decode()
        show()
        show_document(
            f"{topic}, partition {partition}, offset {offset}, key {key}: the record on Kafka",
            orjson.loads(one.event.value),
        )
        show_document("   -> the call that Segment received", _call_of(ground, one.message_id))
    return produced


def _names(events: Sequence[SampleEvent]) -> dict[str, None]:
    return dict.fromkeys(event.integration for event in events)


def _call_of(ground: Playground, message_id: str | None) -> Json:
    """The body of one of the latest calls that the sandbox has received."""
    bodies = (body for entry, body in ground.sandbox.record.latest() if entry.message_id == message_id)
    body = next(bodies, None)
    return None if body is None else orjson.loads(body)


async def deliver_all(
    ground: Playground, producer: Producer, shown: list[Produced], events: Sequence[SampleEvent]
) -> tuple[list[Produced], bool]:
    """The sample events that were not shown, as fast as it goes; whether all checks passed."""
    rest = list(events)
    for one in shown:
        rest.remove(one.event)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    produced = shown + await producer.produce(rest)
    totals, tell_at = await ground.service.totals(), begun
    moved_at, settled = begun, 0
    while settled < len(events) and loop.time() - moved_at < STALLED_AFTER_SECONDS:
        totals = await ground.service.totals()
        now_settled = sum(total.settled for total in totals.values())
        moved_at, settled = (loop.time(), now_settled) if now_settled != settled else (moved_at, settled)
        if loop.time() >= tell_at:
            say(f"demo: {settled:>7,} of {len(events):,} records settled")
            tell_at += TELL_SECONDS
        await asyncio.sleep(LOOK_SECONDS)
    seconds = loop.time() - begun
    requests = ground.sandbox.record.requests_by_answer.total()
    show(
        f"{len(rest):,} records settled in {seconds:.1f} s: {len(rest) / seconds:,.0f} a second, in {requests:,}"
        " requests. Of each platform, every 10th event is sent twice, every 25th is disabled, every 40th is broken."
    )
    return produced, show_checks(_undisturbed(ground, totals, events, produced))


def _undisturbed(
    ground: Playground, totals: dict[str, Totals], events: Sequence[SampleEvent], produced: Sequence[Produced]
) -> list[tuple[str, bool]]:
    expected = Counter((event.integration, event.outcome) for event in events)
    message_ids = {one.message_id for one in produced if one.message_id is not None}
    record = ground.sandbox.record
    received_once = sum(record.count(message_id) == 1 for message_id in message_ids)
    consumed = sum(total.consumed for total in totals.values())
    return [
        (f"every produced record was consumed ({consumed:,} of {len(events):,})", consumed == len(events)),
        (
            "every record had the expected outcome",
            all(
                getattr(total, outcome.value) == expected[name, outcome]
                for name, total in totals.items()
                for outcome in Outcome
            ),
        ),
        (
            f"every expected messageId was received exactly once ({received_once:,} of {len(message_ids):,})",
            received_once == len(message_ids) == record.received,
        ),
        (f"Segment swallowed nothing ({record.swallowed:,})", record.swallowed == 0),
    ]


async def survive_outage(ground: Playground, producer: Producer, *, first: int) -> bool:
    """Segment answers 503 for a while; whether all checks passed."""
    events = list(steady_events(OUTAGE_EVENTS, first=first))
    record = ground.sandbox.record
    dead_lettered = _dead_lettered(await ground.service.totals())
    watch = Watch(ground, producer, record.accepted)
    ground.sandbox.faults.set(Fault(action=Action(status=503), for_seconds=OUTAGE_SECONDS))
    watch.tell(
        f"Segment answers 503 to each request from now on. {STEADY_PER_SECOND:.0f} events a second go on arriving."
    )
    async with watch.watching():
        produced = await producer.produce(events, per_second=STEADY_PER_SECOND)
        await _until(lambda: _accepted(ground, produced) == len(produced), ground)
    watch.tell("All of them are delivered.")
    set_aside = _dead_lettered(await ground.service.totals()) - dead_lettered
    return show_checks([_accepted_once(ground, produced), (f"none was dead-lettered ({set_aside})", set_aside == 0)])


def _dead_lettered(totals: dict[str, Totals]) -> int:
    return sum(total.dead_lettered for total in totals.values())


async def survive_kill(ground: Playground, producer: Producer, *, first: int) -> tuple[dict[str, Totals], bool]:
    """The service is killed and started again; its account just before, and whether all checks passed."""
    events = list(steady_events(KILL_EVENTS, first=first))
    service, loop = ground.service, asyncio.get_running_loop()
    watch = Watch(ground, producer, ground.sandbox.record.accepted)
    ground.sandbox.faults.set(Fault(action=Action(latency_seconds=KILL_LATENCY_SECONDS)))
    watch.tell(
        f"Segment takes {KILL_LATENCY_SECONDS:g} s for each answer, so that requests are in flight."
        f" {STEADY_PER_SECOND:.0f} events a second arrive."
    )
    async with asyncio.TaskGroup() as tasks:
        producing = tasks.create_task(producer.produce(events, per_second=STEADY_PER_SECOND))
        await asyncio.sleep(KILL_AFTER_SECONDS)
        last = await service.totals()
        killed = service.process_id
        service.kill()
        in_flight = sum(total.in_flight for total in last.values())
        watch.tell(f"kill -9 of process {killed}, with {in_flight} records in flight")
        service.spawn()
        watch.tell(
            f"It is started again, as process {service.process_id}. Kafka gives it the partitions once the killed one"
            f" has been silent for {SESSION_MS // 1000} s (kafka.session_timeout_ms)."
        )
        began = loop.time()
        await service.until_ready()
        watch.tell(f"It has its partitions, {loop.time() - began:.1f} s after its start.")
    produced = producing.result()
    await _until(lambda: _accepted(ground, produced) == len(produced), ground)
    await _until_idle(ground)
    ground.sandbox.faults.clear()
    watch.tell("All events are delivered.")
    _name_sent_again(ground, produced)
    return last, show_checks([_accepted_once(ground, produced)])


def _name_sent_again(ground: Playground, produced: Sequence[Produced]) -> None:
    ids = [one.message_id for one in produced if one.message_id and ground.sandbox.record.count(one.message_id) > 1]
    if not ids:
        show("No call was sent again: all requests in flight had their answer.")
        return
    more = f" and {len(ids) - NAMED_IDS} more" if len(ids) > NAMED_IDS else ""
    show(
        f"Sent again after the restart: {len(ids)} of {len(produced)} calls, because the answers to their requests were"
        f" lost with the process. They had the same messageIds ({', '.join(ids[:NAMED_IDS])}{more}), so Segment dropped"
        " the second copies."
    )


def show_account(before: dict[str, Totals], after: dict[str, Totals], *, swallowed: int) -> bool:
    """Print the accounts of both processes; True if they add up."""
    show_table("killed process", TERMS, {name: asdict(total) for name, total in before.items()})
    show_table("running process", TERMS, {name: asdict(total) for name, total in after.items()})
    show(
        "The first account was read a moment before the kill. What was in flight then, and what came after the last"
        " commit, was consumed again by the process that runs now."
    )
    return show_checks(
        [
            (
                "every record is accounted for: in each row, the six columns add up to consumed",
                all(total.adds_up() for total in [*before.values(), *after.values()]),
            ),
            ("nothing is in flight any more", not any(total.in_flight for total in after.values())),
            (f"Segment swallowed nothing ({swallowed:,})", swallowed == 0),
        ]
    )


def _accepted(ground: Playground, produced: Sequence[Produced]) -> int:
    return sum(ground.sandbox.record.count(one.message_id or "") > 0 for one in produced)


def _accepted_once(ground: Playground, produced: Sequence[Produced]) -> tuple[str, bool]:
    """The check that nothing is lost, and that nothing arrives twice behind Segment's de-duplication."""
    accepted = _accepted(ground, produced)
    total = len({one.message_id for one in produced})
    return f"each event was accepted by Segment exactly once ({accepted:,} of {total:,})", accepted == total


async def _until(happened: Callable[[], bool], ground: Playground) -> None:
    """Wait for something at Segment; give up when nothing arrives there any more."""
    loop = asyncio.get_running_loop()
    record = ground.sandbox.record
    received, moved_at = record.received, loop.time()
    while not happened() and loop.time() - moved_at < STALLED_AFTER_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        if record.received != received:
            received, moved_at = record.received, loop.time()


async def _until_idle(ground: Playground) -> None:
    """Wait until the service has no record in flight; not longer than `STALLED_AFTER_SECONDS`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STALLED_AFTER_SECONDS
    while loop.time() < deadline:
        if not any(total.in_flight for total in (await ground.service.totals()).values()):
            return
        await asyncio.sleep(LOOK_SECONDS)
