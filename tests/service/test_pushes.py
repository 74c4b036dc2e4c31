"""Profiles and triggers, pushed to stand-ins of the platforms' APIs: at the end they know what was written last."""

import random
import signal
from typing import Any, Final

import orjson
import pytest

from streamer.core.mapping.contract import read_schema
from streamer.core.model import FilterReason
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.platforms import Platform, StandIn
from tests.service.harness import Deployment, eventually

pytestmark = pytest.mark.kafka

(PROFILE,) = read_schema("profile")["examples"]
(TRIGGER,) = read_schema("trigger")["examples"]
PLATFORMS: Final = {"sprig": Platform.SPRIG, "product_fruits": Platform.PRODUCT_FRUITS}
USERS: Final = 30
UNHAPPY: Final = (
    Fault(action=Action(latency_seconds=0.01)),
    Fault(match=Match(every=5), action=Action(status=503)),
    Fault(match=Match(every=7), action=Action(status=429, retry_after=0)),
    Fault(match=Match(every=11), action=Action(reset_after=True)),
    Fault(match=Match(every=13), action=Action(status=500)),
)


class Users:
    """A directory of users that changes, and what it has written of each."""

    def __init__(self, deployment: Deployment, topic: str, seed: int) -> None:
        self._deployment, self._topic = deployment, topic
        self._random = random.Random(seed)
        self.last: dict[str, int | None] = {}
        """The number in the last profile of each user; None: the name is gone."""
        self._number = 0

    async def change(self, times: int) -> None:
        """Write so many records, each of some user, those of a user always to one partition."""
        for _ in range(times):
            self._number += 1
            user = f"user {self._random.randrange(USERS)}/%"
            is_gone = self._random.random() < 0.15
            profile = {**PROFILE, "username": user, "attributes": {"number": self._number}}
            self.last[user] = None if is_gone else self._number
            await self._deployment.produce(
                self._topic,
                [None if is_gone else orjson.dumps(profile)],
                key=user.encode(),
                partition=sum(user.encode()) % 2,
                headers=[("streamer.schema", b"profile.1")],
            )

    def unlike(self, stand_in: StandIn) -> dict[str, Any]:
        """The users of whom the platform knows something else."""
        known = {user: {**entry, **entry.get("props", {})}.get("number") for user, entry in stand_in.users.items()}
        return {user: (number, known.get(user)) for user, number in self.last.items() if known.get(user) != number}


def push_to(deployment: Deployment, kind: str, **chosen: Any) -> StandIn:
    deployment.document["destinations"] = {
        "platform": {
            "kind": kind,
            "endpoint": f"{deployment.sandbox.url}/{PLATFORMS[kind]}",
            "api_key": "key",
            "timeout": 1,
            "max_in_flight": 8,
            "retry": {"quick": [0.05, 0.1], "schedule": [0.2] * 50},
            **chosen,
        }
    }
    return deployment.sandbox.platforms.stand_ins[PLATFORMS[kind]]


@pytest.mark.parametrize("kind", PLATFORMS)
async def test_the_last_profile_of_each_user_is_what_the_platform_knows(deployment: Deployment, kind: str) -> None:
    stand_in = push_to(deployment, kind)
    [topic] = await deployment.integrate("users", dialect="profiles", destination="platform")
    users = Users(deployment, topic, seed=7)
    deployment.sandbox.faults.set(*UNHAPPY)
    await users.change(200)
    async with deployment.running() as service:
        await users.change(200)
        await deployment.settled()
        accounts = service.integrations["users"].runner.accounts.values()
        filtered = sum(account.filtered[FilterReason.SUPERSEDED] for account in accounts)
        delivered = sum(account.delivered for account in accounts)
        assert filtered + delivered == 400

    assert users.unlike(stand_in) == {}
    assert deployment.sandbox.platforms.most_at_once == 1
    assert filtered > 100


async def test_kills_and_timeouts_leave_no_old_profile_behind(deployment: Deployment) -> None:
    deployment.document["kafka"]["session_timeout_ms"] = 1_500
    stand_in = push_to(deployment, "product_fruits", timeout=0.5)
    [topic] = await deployment.integrate("users", dialect="profiles", destination="platform")
    users = Users(deployment, topic, seed=8)
    hangs = Fault(match=Match(every=17), action=Action(hang=True))
    deployment.sandbox.faults.set(*UNHAPPY, hangs)
    for _ in range(2):
        before = stand_in.answers.total()
        process = await deployment.start_process()
        await users.change(100)
        await eventually(lambda before=before: stand_in.answers.total() > before + 20)  # type: ignore[misc]
        await process.kill()
    process = await deployment.start_process()
    await users.change(50)
    await deployment.settled()
    process.send(signal.SIGTERM)
    assert await process.wait() == 0
    assert process.errors == ""
    assert users.unlike(stand_in) == {}


async def test_triggers_arrive_once_also_before_their_profile(deployment: Deployment) -> None:
    """Product Fruits answers 404 to an event of a user whom it does not know yet."""
    stand_in = push_to(deployment, "product_fruits")
    [profiles] = await deployment.integrate("users", dialect="profiles", destination="platform")
    [triggers] = await deployment.integrate("acts", dialect="triggers", destination="platform")
    values = [orjson.dumps({**TRIGGER, "messageId": f"id-{number}"}) for number in range(20)]
    somebody = orjson.dumps({**PROFILE, "username": "somebody"})
    await deployment.produce(profiles, [somebody], partition=0)
    async with deployment.running() as service:
        await deployment.produce(triggers, [*values, *values], partition=0)
        await eventually(lambda: stand_in.answers[404])
        await deployment.produce(profiles, [orjson.dumps(PROFILE)], partition=0)
        await deployment.settled()
        accounts = service.integrations["acts"].runner.accounts.values()
        assert sum(account.delivered for account in accounts) == 20
        assert sum(account.duplicate for account in accounts) == 20
    assert len(stand_in.events) == 20


async def test_neither_the_key_nor_anything_of_a_user_gets_out(deployment: Deployment) -> None:
    """Refused, retried, held for a wrong key: lines, status and the headers that we add name nobody."""
    push_to(deployment, "product_fruits", api_key="secret_api_key")
    [topic] = await deployment.integrate("users", dialect="profiles", destination="platform")
    users = Users(deployment, topic, seed=9)
    await users.change(5)
    process = await deployment.start_process()
    await deployment.settled()
    deployment.sandbox.faults.set(Fault(action=Action(status=400), times=3), Fault(action=Action(status=500), times=5))
    await users.change(20)
    await deployment.settled()
    deployment.sandbox.platforms.require_key("another")
    await users.change(20)
    await eventually(lambda: process.log_events("destination.held"))
    said = orjson.dumps(process.lines()) + orjson.dumps(await process.status()) + process.errors.encode()
    letters = await deployment.dead_letters("users")
    assert letters
    headers = [value or b"" for letter in letters for name, value in letter.headers if name != "streamer.schema"]
    for planted in (b"secret_api_key", b"ada@example.com", b"user ", b"user%20"):
        assert planted not in said, planted
        assert not any(planted in value for value in headers), planted
