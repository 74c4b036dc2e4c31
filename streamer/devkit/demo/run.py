"""``streamer demo``: a real Kafka, a local Segment, a producer and the service, there and back, with two accounts.

Only Segment is simulated. The service is the one that `streamer run` runs, with a configuration file like a user's. The
checks at the end compare what the producer made with what the sandbox received.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import uvloop
import yaml
from aiokafka import AIOKafkaProducer

from streamer import logs
from streamer.core.mapping import Mapper
from streamer.core.model import Outcome, TrackCall
from streamer.core.records.account import Totals
from streamer.devkit.broker import Broker
from streamer.devkit.demo import way_back
from streamer.devkit.demo.events import DISABLED_EVENTS, INTEGRATIONS, SampleEvent, sample_events
from streamer.devkit.demo.saying import say, show_checks, show_table
from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka import create_topics
from streamer.service import Service
from streamer.settings import Settings, load

PROGRESS_SECONDS: Final = 0.5

STALLED_AFTER_SECONDS: Final = 60.0
"""After so long without progress, the demo ends and shows the account as it is."""

PARTITIONS: Final = 3

SHOWN_LOG_LINES: Final = 20

WRITE_KEY: Final = "demo_write_key_0000000000000000"

COLUMNS: Final = ("consumed", "delivered", "duplicate", "filtered", "dead_lettered", "handed_back", "in_flight")


def main(*, events: int, once: bool) -> int:
    """Run the demo; returns 0 if the account adds up and every expected event arrived exactly once, else 1.

    Raises:
        UnavailableError: Kafka cannot be fetched or started.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_demo(events, stays_up=not once and sys.stdout.isatty()))


async def _demo(number: int, *, stays_up: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number_of_signal in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number_of_signal, stop.set)
    with tempfile.TemporaryDirectory(prefix="streamer-demo-") as directory:
        async with _kafka(Path(directory)) as servers, _segment() as sandbox:
            settings = _configure(Path(directory), servers, sandbox.url)
            log_path = Path(directory) / "streamer.log"
            with log_path.open("wb") as log, logs.configured(settings.log, file_descriptor=log.fileno()):
                passed = await _deliver(settings, sandbox, list(sample_events(number)), stop, stays_up=stays_up)
        if not passed:
            say(f"demo: the last {SHOWN_LOG_LINES} lines of the service's log:")
            say("\n".join(log_path.read_text().splitlines()[-SHOWN_LOG_LINES:]))
    return 0 if passed else 1


@contextlib.asynccontextmanager
async def _kafka(directory: Path) -> AsyncIterator[str]:
    external = os.environ.get("STREAMER_KAFKA__BOOTSTRAP_SERVERS")
    if external:
        say(f"demo: using the Kafka at {external}")
        yield external
        return
    say("demo: starting Apache Kafka (some seconds; about a minute the first time, to download it)")
    async with Broker(directory / "kafka", report=say) as broker:
        yield broker.bootstrap_servers


@contextlib.asynccontextmanager
async def _segment() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    await sandbox.start()
    say(f"demo: {sandbox.url} shows what the local Segment receives")
    try:
        yield sandbox
    finally:
        await sandbox.stop()


def _configure(directory: Path, servers: str, endpoint: str) -> Settings:
    """Write a configuration like a user's, and load it."""
    run = directory.name.rpartition("-")[2]
    document = {
        "kafka": {"bootstrap_servers": servers, "create_topics": True},
        "state_dir": str(directory / "state"),
        "server": {"port": 0},
        "log": {"level": "warning"},
        "destinations": {"segment": {"write_key": WRITE_KEY, "endpoint": endpoint}},
        "integrations": {
            name: {
                "dialect": name,
                "topics": [f"demo.{run}.{name}"],
                "destination": "segment",
                "group_id": f"demo.{run}.{name}",
                "events": {"disabled": DISABLED_EVENTS[name]},
            }
            for name in INTEGRATIONS
        },
    }
    if way_back.is_installed():
        document |= way_back.sections(run, f"{directory}/directory.db")
    path = directory / "streamer.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load(path, environ={})


async def _deliver(
    settings: Settings, sandbox: Sandbox, events: list[SampleEvent], stop: asyncio.Event, *, stays_up: bool
) -> bool:
    for integration in settings.integrations.values():
        await create_topics(settings.kafka, integration.topics, partitions=PARTITIONS)
    if settings.inbound is not None:
        await way_back.make_topics(settings, partitions=PARTITIONS)
    service = Service(settings)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run(stop))
        if service.inbound is not None:
            await service.is_listening.wait()  # should it fail before, the task group ends this wait
            await way_back.connect(sandbox, service.inbound)
        producing = tasks.create_task(_produce(settings, events))
        await _until_settled(service, len(events), stop)
        producing.cancel()

        passed = _show_account(service, sandbox, settings, events)
        if service.inbound is None:
            say("demo: the way back needs pip install 'survey-streamer[inbound]'")
        elif not stop.is_set():
            passed = await way_back.play(sandbox, service.inbound, settings, WRITE_KEY) and passed
        if stays_up and not stop.is_set():
            say(f"demo: still running; see http://127.0.0.1:{service.port}/status and {sandbox.url}; Ctrl-C ends it")
            await stop.wait()
        stop.set()
        await running
    return passed


async def _produce(settings: Settings, events: list[SampleEvent]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap_servers, linger_ms=5) as producer:
        for event in events:
            topic = settings.integrations[event.integration].topics[0]
            await producer.send(topic, key=event.key, value=event.value)


async def _until_settled(service: Service, expected: int, stop: asyncio.Event) -> None:
    """Show progress until every record is settled, or until there is none for `STALLED_AFTER_SECONDS`."""
    loop = asyncio.get_running_loop()
    settled, moved_at = 0, loop.time()
    while settled < expected and not stop.is_set() and loop.time() - moved_at < STALLED_AFTER_SECONDS:
        await asyncio.sleep(PROGRESS_SECONDS)
        now_settled = sum(integration.runner.totals().settled for integration in service.integrations.values())
        if now_settled != settled:
            settled, moved_at = now_settled, loop.time()
        say(f"demo: {settled:>7,} of {expected:,} records settled")


def _show_account(service: Service, sandbox: Sandbox, settings: Settings, events: list[SampleEvent]) -> bool:
    """Print the account and the checks; True if all checks passed."""
    totals = {name: integration.runner.totals() for name, integration in service.integrations.items()}
    show_table("integration", COLUMNS, {name: asdict(total) for name, total in totals.items()})
    return show_checks(_checks(totals, sandbox, settings, events))


def _checks(
    totals: dict[str, Totals], sandbox: Sandbox, settings: Settings, events: list[SampleEvent]
) -> list[tuple[str, bool]]:
    produced = Counter((event.integration, event.outcome) for event in events)
    expected_ids = _expected_ids(settings, events)
    record = sandbox.record
    received_once = sum(record.count(message_id) == 1 for message_id in expected_ids)
    return [
        (
            "every record is accounted for: the six columns add up to consumed",
            all(map(Totals.adds_up, totals.values())),
        ),
        (
            f"every produced record was consumed ({len(events):,})",
            sum(total.consumed for total in totals.values()) == len(events),
        ),
        (
            "every record had the expected outcome",
            all(
                getattr(totals[name], outcome.value) == produced[name, outcome]
                for name in totals
                for outcome in Outcome
            ),
        ),
        (
            f"every expected messageId was received exactly once ({received_once:,} of {len(expected_ids):,})",
            received_once == len(expected_ids) and record.received == len(expected_ids),
        ),
        (f"Segment swallowed nothing ({record.swallowed:,})", record.swallowed == 0),
    ]


def _expected_ids(settings: Settings, events: list[SampleEvent]) -> set[str]:
    """The messageIds that Segment must have received."""
    mappers = {name: Mapper(settings.mapping(name)) for name in INTEGRATIONS}
    expected: set[str] = set()
    for event in events:
        if event.outcome is Outcome.DELIVERED:
            call = mappers[event.integration].map(event.value, 0)
            assert isinstance(call, TrackCall), "a sample event that must be delivered makes a call"
            expected.add(call.message_id)
    return expected
