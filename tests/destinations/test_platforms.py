"""The clients of Sprig and Product Fruits against their stand-ins: documented requests, and what answers mean."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from streamer.core.delivery.answers import AnswerKind
from streamer.core.mapping.contract import read_schema
from streamer.core.model import MappingSettings, TrackCall
from streamer.core.pushing import APIS, new_mapper
from streamer.core.pushing.request import encode_request
from streamer.destinations import open_destination
from streamer.destinations.bearer_api import BearerClient
from streamer.destinations.product_fruits import open_product_fruits
from streamer.destinations.remedies import held_next_step
from streamer.destinations.sprig import open_sprig
from streamer.devkit.sandbox.faults import Action, Fault, Match
from streamer.devkit.sandbox.platforms import Platform, StandIn
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import DestinationSettings

KEY: Final = "platform_key_that_nobody_may_see"
OPEN: Final = {"sprig": open_sprig, "product_fruits": open_product_fruits}
PLATFORMS: Final = {"sprig": Platform.SPRIG, "product_fruits": Platform.PRODUCT_FRUITS}
(PROFILE,) = read_schema("profile")["examples"]
(TRIGGER,) = read_schema("trigger")["examples"]


class World:
    """A client and the stand-in behind it."""

    def __init__(self, kind: str, sandbox: Sandbox, **chosen: Any) -> None:
        self.kind, self.sandbox = kind, sandbox
        self.stand_in: StandIn = sandbox.platforms.stand_ins[PLATFORMS[kind]]
        given = {"kind": kind, "endpoint": f"{sandbox.url}/{PLATFORMS[kind]}", "timeout": 5, "api_key": KEY, **chosen}
        self.settings = DestinationSettings.model_validate(given)
        self.client: BearerClient = OPEN[kind](self.settings)
        self.mappers = {name: new_mapper(MappingSettings(dialect=name, kind=kind)) for name in ("profiles", "triggers")}

    async def push(self, dialect: str, record: Any, key: str = "usr_48151") -> tuple[AnswerKind, str]:
        value = None if record is None else orjson.dumps(record)
        call = self.mappers[dialect].map(value, 0, (), key.encode())
        assert isinstance(call, TrackCall)
        exchange = await self.client.send([call.body], resend_count=0)
        return exchange.answer.kind, exchange.answer.error


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(required_keys=[KEY])
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture(params=list(APIS))
async def world(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[World]:
    world = World(request.param, sandbox)
    yield world
    await world.client.close()


OK: Final = (AnswerKind.ACCEPTED, "")


async def test_a_user_comes_changes_acts_and_goes(world: World) -> None:
    assert await world.push("profiles", PROFILE) == OK
    assert await world.push("profiles", {**PROFILE, "attributes": {"plan": "Free"}}) == OK
    user = world.stand_in.users["usr_48151"]
    known = {**user, **user.get("props", {})}
    assert (known["plan"], known["firstname"], known["seats"]) == ("Free", "Ada", 12)
    assert await world.push("triggers", TRIGGER) == OK
    assert [(event.user, event.name) for event in world.stand_in.events] == [("usr_48151", "Report Exported")]
    assert await world.push("profiles", None) == OK
    assert await world.push("profiles", None) == OK, "who is gone need not be deleted"
    assert world.stand_in.users == {}


@pytest.mark.parametrize("name", ["a/b", "a?b#c", "a%2Fb", "é ü", "a+b@example.com", "a\\b", "*", "a:b;c,d"])
async def test_a_name_arrives_as_it_is(world: World, name: str) -> None:
    assert await world.push("profiles", {**PROFILE, "username": name}) == OK
    assert list(world.stand_in.users) == [name]
    assert await world.push("profiles", None, name) == OK
    assert world.stand_in.users == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AnswerKind.SET_UP),
        (403, AnswerKind.SET_UP),
        (404, AnswerKind.SET_UP),
        (400, AnswerKind.REFUSED),
        (429, AnswerKind.UNHAPPY),
        (500, AnswerKind.UNHAPPY),
        (503, AnswerKind.UNHAPPY),
        (413, AnswerKind.TOO_LARGE),
    ],
)
async def test_statuses_mean_what_they_mean_everywhere(world: World, status: int, kind: AnswerKind) -> None:
    assert await world.push("profiles", PROFILE) == OK
    world.sandbox.faults.set(Fault(action=Action(status=status, retry_after=7)))
    assert await world.push("profiles", PROFILE) == (kind, str(status))
    exchange = await world.client.send([encode_request("POST", "/v2/users", {})], resend_count=3)
    assert exchange.answer.retry_after_seconds == 7


async def test_a_wrong_key_is_a_matter_of_set_up_until_it_is_replaced(sandbox: Sandbox, tmp_path: Path) -> None:
    for kind, status in (("sprig", "403"), ("product_fruits", "401")):
        file = tmp_path / kind
        file.write_text("wrong")
        world = World(kind, sandbox, api_key=None, api_key_file=file)
        assert await world.push("profiles", PROFILE) == (AnswerKind.SET_UP, status)
        assert "api_key" in held_next_step(status, world.settings)
        assert not world.client.reread_credentials()
        file.write_text(KEY)
        assert world.client.reread_credentials()
        assert await world.push("profiles", PROFILE) == OK
        await world.client.close()


async def test_who_is_unknown_to_product_fruits_may_come_with_a_profile(sandbox: Sandbox) -> None:
    world = World("product_fruits", sandbox)
    assert await world.push("triggers", TRIGGER) == (AnswerKind.SET_UP, "404"), "the address may be wrong"
    assert await world.push("profiles", None) == (AnswerKind.SET_UP, "404")
    assert await world.push("profiles", {**PROFILE, "username": "somebody"}) == OK
    assert await world.push("triggers", TRIGGER) == (AnswerKind.UNHAPPY, "404")
    assert await world.push("profiles", None) == OK
    await world.client.close()


async def test_a_wrong_address_is_never_taken_for_users_who_are_gone(sandbox: Sandbox) -> None:
    world = World("product_fruits", sandbox, endpoint=f"{sandbox.url}/elsewhere")
    for record in (None, PROFILE, None):
        assert await world.push("profiles", record) == (AnswerKind.SET_UP, "404")
    await world.client.close()


async def test_what_an_api_refuses_changes_nothing(world: World) -> None:
    assert await world.push("profiles", PROFILE) == OK
    before = orjson.dumps(world.stand_in.users)
    bad = {
        "sprig": [
            ("POST", "/v2/users", {"userId": "a", "attributes": {"list": [1]}}),
            ("POST", "/v2/users", {"userId": "a", "attributes": {str(n): n for n in range(101)}}),
            ("POST", "/v2/users", {"userId": "a", "events": [{"event": "x", "timestamp": "today"}]}),
            ("POST", "/v2/users", {}),
            ("POST", "/v2/purge/visitors", {"userIds": []}),
        ],
        "product_fruits": [
            ("POST", "/v1/identify", {"user": {"username": "a", "email": "a@example.com"}}),
            ("POST", "/v1/identify", {"user": {"username": "a", "props": {"flags": [True]}}}),
            ("POST", "/v1/identify", {"user": {}}),
            ("POST", "/v1/events/track", {"event": "x", "properties": {"username": "usr_48151", "deep": {}}}),
        ],
    }
    for method, path, body in bad[world.kind]:
        exchange = await world.client.send([encode_request(method, path, body)], resend_count=0)
        assert exchange.answer.kind is AnswerKind.REFUSED, (path, body)
    assert orjson.dumps(world.stand_in.users) == before


async def test_faults_of_the_script_reach_the_stand_ins(world: World) -> None:
    path = f"/{PLATFORMS[world.kind]}/v2/users"
    world.sandbox.faults.set(Fault(match=Match(path=path), action=Action(reset=True)))
    kind, error = await world.push("profiles", PROFILE)
    if world.kind == "sprig":
        assert (kind, error) == (AnswerKind.UNHAPPY, "connection_reset")
        assert world.stand_in.users == {}
    else:
        assert (kind, error) == OK


async def test_the_key_is_shown_nowhere(sandbox: Sandbox) -> None:
    world = World("sprig", sandbox)
    destination = open_destination("platform", world.settings)
    await world.push("profiles", PROFILE)
    assert KEY not in repr(world.settings) + repr(destination.status) + str(world.stand_in.summary())
    await destination.close()
    await world.client.close()
