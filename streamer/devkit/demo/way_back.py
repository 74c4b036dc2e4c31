"""The second half of the demo: what Segment received comes back through a webhook, with the calls of an app."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from streamer.core.errors import UnavailableError
from streamer.core.inbound.call import IgnoredReason
from streamer.devkit.demo.events import SampleEvent
from streamer.devkit.demo.inbound_set_up import SECRET, WEBHOOK
from streamer.devkit.demo.playground import Playground
from streamer.devkit.demo.producing import Producer
from streamer.devkit.demo.showing import show, show_checks, show_table
from streamer.devkit.sandbox.server import Sandbox
from streamer.devkit.sandbox.webhook import WebhookDestination
from streamer.kafka.topic_reader import TopicReader
from streamer.settings import Settings

PEOPLE: Final = 40
"""Users of the app that the demo plays."""

STALLED_AFTER_SECONDS: Final = 60.0
"""After so long, the account is shown as it is."""

LOOK_SECONDS: Final = 0.1

_BATCH_CALLS: Final = 100
_RENAMED: Final = "app-user-renamed"
_OK: Final = 200


async def play(ground: Playground, producer: Producer, events: Sequence[SampleEvent], write_key: str) -> bool:
    """Let the app's users appear in the directory, and show the account; True if all checks passed.

    Args:
        ground: what runs.
        producer: produces to it.
        events: survey events whose calls Segment sends back too; the loop guard must ignore them.
        write_key: of the source that the app sends to.

    Raises:
        UnavailableError: a part cannot be asked.
    """
    sandbox, record = ground.sandbox, ground.sandbox.record
    before = record.accepted
    await _connect(ground)
    show(
        f"Segment now forwards each call to streamer's webhook: those of {len(events)} more survey events, and those"
        f" of an app with {PEOPLE} users."
    )
    await producer.produce(events)
    await _send(sandbox, write_key)
    expected = before + len(events) + sum(1 for _ in _app_calls())
    published = _Published({}, 0)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STALLED_AFTER_SECONDS):
            while not await _is_applied(ground, expected, record.accepted - before):  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(LOOK_SECONDS)
            while not published.is_complete():
                published = await _read_published(ground.settings)
    return await _show_account(ground, published, own_events=len(events), forwarded=record.accepted - before)


async def _connect(ground: Playground) -> None:
    """Let the sandbox forward to the webhook of the service what it accepts from now on, as Segment does."""
    inbound = ground.settings.inbound
    assert inbound is not None, "the demo's configuration has it"
    assert inbound.listen is not None, "the demo's configuration has it"
    url = f"http://127.0.0.1:{inbound.listen.port}/webhooks/segment/{WEBHOOK}"
    ground.sandbox.webhook = WebhookDestination(url, SECRET, max_calls=_BATCH_CALLS)
    await ground.sandbox.webhook.start()


async def _is_applied(ground: Playground, expected: int, forwarded: int) -> bool:
    """Whether all calls have come back and have their outcome."""
    webhook = ground.sandbox.webhook
    assert webhook is not None, "connected before"
    inbound = (await ground.service.status())["inbound"]
    account = _account_of(inbound)
    is_back = ground.sandbox.record.accepted >= expected and not webhook.waiting
    return is_back and account["consumed"] >= forwarded and not account["in_flight"]


def _account_of(inbound: Mapping[str, Any]) -> dict[str, int]:
    account = inbound["account"]
    terms = ("consumed", "applied", "duplicate", "ignored", "dead_lettered", "handed_back", "in_flight")
    values = {term: account.get(term, 0) for term in terms}
    return {term: sum(value.values()) if isinstance(value, dict) else value for term, value in values.items()}


async def _show_account(ground: Playground, published: "_Published", *, own_events: int, forwarded: int) -> bool:
    inbound = (await ground.service.status())["inbound"]
    account = _account_of(inbound)
    ignored = inbound["account"].get("ignored", {}).get(IgnoredReason.OWN_EVENT, 0)
    show_table("way back", tuple(account), {"segment.inbound": account})
    ended = sum(number for term, number in account.items() if term != "consumed")
    return show_checks(
        [
            ("every call is accounted for: the six columns add up to consumed", account["consumed"] == ended),
            (f"every call that Segment forwarded was consumed ({forwarded:,})", account["consumed"] == forwarded),
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

    def is_complete(self) -> bool:
        """Whether everything is there that the app's calls must have made."""
        return self.profiles == _expected_profiles() and self.triggers == PEOPLE


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
