"""The second half of the demo: what Segment received comes back through a webhook, with the calls of an app."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import aiohttp
import orjson

from streamer.core.errors import UnavailableError
from streamer.core.inbound.call import CallOutcome, IgnoredReason
from streamer.devkit.demo.saying import say, show_checks, show_table
from streamer.devkit.sandbox.server import Sandbox
from streamer.devkit.sandbox.webhook import WebhookDestination
from streamer.inbound.inbound import Inbound
from streamer.kafka import create_topics
from streamer.kafka.topic_reader import TopicReader
from streamer.settings import Settings

PEOPLE: Final = 40
"""Users of the app that the demo plays."""

STALLED_AFTER_SECONDS: Final = 60.0
"""After so long, the account is shown as it is."""

LOOK_SECONDS: Final = 0.1

_WEBHOOK: Final = "demo"
_SECRET: Final = "the shared secret of the demo"  # noqa: S105 - it protects nothing
_BATCH_CALLS: Final = 100
_RENAMED: Final = "app-user-renamed"
_OK: Final = 200


def is_installed() -> bool:
    """Whether the extra ``inbound`` is there, which the directory needs."""
    return find_spec("sqlalchemy") is not None


def sections(run: str, directory: str) -> dict[str, Any]:
    """What the way back adds to the configuration of the demo.

    Args:
        run: keeps the topics of several demos apart.
        directory: path of the file for the users.
    """
    return {
        "inbound": {
            "listen": {"port": 0},
            "webhooks": {_WEBHOOK: {"secrets": [_SECRET]}},
            "topic": f"demo.{run}.inbound",
            "group_id": f"demo.{run}.inbound",
            "dead_letters": {"topic": f"demo.{run}.inbound.dlq"},
            "profiles_topic": f"demo.{run}.profiles",
            "triggers_topic": f"demo.{run}.triggers",
        },
        "directory": {"url": f"sqlite:///{directory}"},
    }


async def make_topics(settings: Settings, *, partitions: int) -> None:
    """Create the topics of the way back; the one for profiles is compacted.

    Raises:
        UnavailableError: the brokers refuse, or cannot be asked.
    """
    inbound = settings.inbound
    assert inbound is not None, "the demo's configuration has it"
    calls = [inbound.topic, inbound.triggers_topic, inbound.dead_letters.topic]
    await create_topics(settings.kafka, calls, partitions=partitions)
    compacted = {"cleanup.policy": "compact"}
    await create_topics(settings.kafka, [inbound.profiles_topic], partitions=partitions, values=compacted)


async def connect(sandbox: Sandbox, inbound: Inbound) -> None:
    """Let the sandbox forward to the webhook of the service what it accepts from now on, as Segment does."""
    assert inbound.listener is not None, "the demo's configuration has one"
    url = f"http://127.0.0.1:{inbound.listener.port}/webhooks/segment/{_WEBHOOK}"
    sandbox.webhook = WebhookDestination(url, _SECRET, max_calls=_BATCH_CALLS)
    await sandbox.webhook.start()


async def play(sandbox: Sandbox, inbound: Inbound, settings: Settings, write_key: str) -> bool:
    """Let the app's users appear in the directory, and show the account; True if all checks passed.

    Raises:
        UnavailableError: the sandbox or the brokers cannot be asked.
    """
    webhook, keeper = sandbox.webhook, inbound.keeper
    assert webhook is not None, "connected before"
    assert keeper is not None, "the demo's configuration has a directory"
    own_events = sandbox.record.accepted
    say(f"demo: an app with {PEOPLE} users makes its calls; Segment forwards them to streamer's webhook")
    await _send(sandbox, write_key)
    forwarded = sandbox.record.accepted
    deadline = asyncio.get_running_loop().time() + STALLED_AFTER_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        is_applied = keeper.runner.totals().settled >= forwarded and not webhook.waiting
        if is_applied and keeper.waiting is not None and not keeper.waiting.records:
            break
        await asyncio.sleep(LOOK_SECONDS)
    totals = keeper.runner.totals()
    account = {
        "consumed": totals.consumed,
        "applied": totals.delivered,
        "duplicate": totals.duplicate,
        "ignored": totals.filtered,
        "dead_lettered": totals.dead_lettered,
        "handed_back": totals.handed_back,
        "in_flight": totals.in_flight,
    }
    show_table("way back", tuple(account), {"segment.inbound": account})
    published = await _read_published(settings)
    ignored = sum(
        number
        for kind, number in keeper.tally.calls.items()
        if kind.outcome is CallOutcome.IGNORED and kind.reason == IgnoredReason.OWN_EVENT
    )
    return show_checks(
        [
            ("every call is accounted for: the six columns add up to consumed", totals.adds_up()),
            (f"every call that Segment forwarded was consumed ({forwarded:,})", totals.consumed == forwarded),
            (f"the loop guard ignored streamer's own events ({ignored:,} of {own_events:,})", ignored == own_events),
            (f"every user of the app is published as expected ({PEOPLE})", published.profiles == _expected_profiles()),
            (f"every event of the app made one trigger ({published.triggers})", published.triggers == PEOPLE),
        ]
    )


def _app_calls() -> Iterator[dict[str, Any]]:
    """What the app tells Segment: who its users are and what they do. One gets another id, one signs out."""
    for number in range(PEOPLE):
        who = {"userId": f"app-user-{number}", "anonymousId": f"browser-{number}"}
        traits = {"email": f"user-{number}@example.com", "plan": _plan(number)}
        yield {"type": "identify", "messageId": f"app-identify-{number}", **who, "traits": traits}
        event = {"event": "Report Exported", "properties": {"format": "csv"}}
        yield {"type": "track", "messageId": f"app-track-{number}", **who, **event}
    yield {"type": "alias", "messageId": "app-alias", "previousId": "app-user-0", "userId": _RENAMED}
    who = {"userId": "app-user-1", "anonymousId": "browser-1"}
    yield {"type": "track", "messageId": "app-signed-out", "event": "Signed Out", **who}


def _plan(number: int) -> str:
    return "Pro" if number % 2 else "Free"


def _expected_profiles() -> dict[str, Any]:
    profiles: dict[str, Any] = {
        f"app-user-{number}": (f"user-{number}@example.com", _plan(number), [f"browser-{number}"], [])
        for number in range(2, PEOPLE)
    }
    profiles["app-user-1"] = ("user-1@example.com", _plan(1), [], [])
    profiles[_RENAMED] = ("user-0@example.com", _plan(0), ["browser-0"], ["app-user-0"])
    return profiles


async def _send(sandbox: Sandbox, write_key: str) -> None:
    document = {"writeKey": write_key, "batch": list(_app_calls())}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sandbox.url}/v1/batch", data=orjson.dumps(document)) as response,
    ):
        if response.status != _OK:
            raise UnavailableError(f"the sandbox answered {response.status} to the calls of the app")


@dataclass(frozen=True, slots=True)
class _Published:
    profiles: Mapping[str, Any]
    """Username -> e-mail, plan, devices and former names of the last profile; without those that are gone."""
    triggers: int


async def _read_published(settings: Settings) -> _Published:
    inbound = settings.inbound
    assert inbound is not None, "the demo's configuration has it"
    last: dict[str, bytes | None] = {}
    message_ids: set[str] = set()
    async with TopicReader(settings.kafka) as reader:
        bounds = await reader.bounds([inbound.profiles_topic, inbound.triggers_topic])
        async for records in reader.read(bounds):
            for record in records:
                if record.topic == inbound.profiles_topic:
                    last[(record.key or b"").decode()] = record.value
                elif record.value is not None:
                    message_ids.add(orjson.loads(record.value)["messageId"])
    profiles = {name: orjson.loads(value) for name, value in last.items() if value is not None}
    return _Published(
        {
            name: (profile["email"], profile["attributes"].get("plan"), profile["anonymousIds"], profile["redirects"])
            for name, profile in profiles.items()
        },
        len(message_ids),
    )
