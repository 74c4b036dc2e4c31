"""What a destination relies on of its client, asked of the real one (with the sandbox) and of the one in memory."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import orjson
import pytest

from streamer.core.delivery.answers import AnswerKind, NetworkFault, answer_of_fault
from streamer.destinations.client import Client
from streamer.destinations.segment import SegmentClient
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox
from streamer.settings import DestinationSettings
from tests.doubles.destination import MemoryClient, accept, status

WAIT_SECONDS = 10


class World(Protocol):
    """One of the two, and the receiver behind it."""

    client: Client

    def answer_with(self, code: int, retry_after: int | None = None) -> None: ...
    def answer_with_web_page(self) -> None: ...
    def reset_connections(self) -> None: ...
    def hang(self) -> None: ...
    def answer(self) -> None: ...
    def taken(self) -> list[str]: ...
    async def received(self, message_id: str) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self._client = MemoryClient()
        self.client: Client = self._client

    def answer_with(self, code: int, retry_after: int | None = None) -> None:
        self._client.decide = lambda _ids: status(code, retry_after)

    def answer_with_web_page(self) -> None:
        self._client.decide = lambda _ids: answer_of_fault(NetworkFault.WEB_PAGE)

    def reset_connections(self) -> None:
        self._client.decide = lambda _ids: answer_of_fault(NetworkFault.RESET)

    def hang(self) -> None:
        self._client.decide = lambda _ids: asyncio.get_running_loop().create_future()

    def answer(self) -> None:
        self._client.decide = accept

    def taken(self) -> list[str]:
        return self._client.taken

    async def received(self, message_id: str) -> None:
        while [message_id] not in self._client.batches:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0)


class Real:
    def __init__(self, sandbox: Sandbox) -> None:
        settings = {"write_key": "streamer_test_write_key_000000001", "endpoint": sandbox.url, "timeout": 5}
        self._sandbox = sandbox
        self.client: Client = SegmentClient(DestinationSettings.model_validate(settings))

    def answer_with(self, code: int, retry_after: int | None = None) -> None:
        self._sandbox.faults.set(Fault(action=Action(status=code, retry_after=retry_after)))

    def answer_with_web_page(self) -> None:
        self._sandbox.faults.set(Fault(action=Action(status=200, headers={"Content-Type": "text/html"}, body="<html>")))

    def reset_connections(self) -> None:
        self._sandbox.faults.set(Fault(action=Action(reset=True)))

    def hang(self) -> None:
        self._sandbox.faults.set(Fault(action=Action(hang=True)))

    def answer(self) -> None:
        self._sandbox.faults.clear()

    def taken(self) -> list[str]:
        return [message_id for message_id, _ in self._sandbox.record.counts()]

    async def received(self, message_id: str) -> None:
        await self._sandbox.until(lambda record: record.count(message_id) > 0)


@pytest.fixture(params=["memory", "segment"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield InMemory()
        return
    sandbox = Sandbox()
    await sandbox.start()
    real = Real(sandbox)
    try:
        yield real
    finally:
        await real.client.close()
        await sandbox.stop()


def call(message_id: str) -> bytes:
    return orjson.dumps({"type": "track", "event": "Seen", "userId": "user_1", "messageId": message_id})


async def test_a_batch_is_taken_in_its_order(world: World) -> None:
    exchange = await world.client.send([call("a"), call("b")], resend_count=0)
    assert exchange.answer.kind is AnswerKind.ACCEPTED
    assert (exchange.answer.status, exchange.answer.error) == (200, "")
    assert exchange.sent_bytes >= len(call("a")) + len(call("b"))
    assert exchange.seconds > 0
    assert world.taken() == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (202, AnswerKind.ACCEPTED),
        (301, AnswerKind.SET_UP),
        (400, AnswerKind.REFUSED),
        (401, AnswerKind.SET_UP),
        (413, AnswerKind.TOO_LARGE),
        (429, AnswerKind.UNHAPPY),
        (500, AnswerKind.UNHAPPY),
        (503, AnswerKind.UNHAPPY),
    ],
)
async def test_a_status_is_an_answer_and_never_an_error(world: World, code: int, kind: AnswerKind) -> None:
    world.answer_with(code)
    answer = (await world.client.send([call("a")], resend_count=0)).answer
    assert (answer.kind, answer.status) == (kind, code)
    assert answer.error == ("" if kind is AnswerKind.ACCEPTED else str(code))
    assert world.taken() == (["a"] if kind is AnswerKind.ACCEPTED else [])


async def test_a_wait_that_is_asked_for_comes_with_the_answer(world: World) -> None:
    world.answer_with(429, retry_after=7)
    answer = (await world.client.send([call("a")], resend_count=0)).answer
    assert answer.retry_after_seconds == 7
    assert answer.asks_to_wait


async def test_a_2xx_with_a_web_page_is_a_wrong_set_up(world: World) -> None:
    world.answer_with_web_page()
    answer = (await world.client.send([call("a")], resend_count=0)).answer
    assert (answer.kind, answer.status, answer.error) == (AnswerKind.SET_UP, None, NetworkFault.WEB_PAGE)


async def test_a_connection_that_breaks_is_an_answer_too(world: World) -> None:
    world.reset_connections()
    answer = (await world.client.send([call("a")], resend_count=0)).answer
    assert (answer.kind, answer.status, answer.error) == (AnswerKind.UNHAPPY, None, NetworkFault.RESET)
    world.answer()
    assert (await world.client.send([call("a")], resend_count=1)).answer.kind is AnswerKind.ACCEPTED


async def test_requests_do_not_wait_for_one_another(world: World) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        world.hang()
        hanging = asyncio.create_task(world.client.send([call("slow")], resend_count=0))
        await world.received("slow")
        world.answer()
        assert (await world.client.send([call("fast")], resend_count=0)).answer.kind is AnswerKind.ACCEPTED
        assert not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert (await world.client.send([call("after")], resend_count=0)).answer.kind is AnswerKind.ACCEPTED


async def test_connections_are_renewed_under_requests_that_are_out(world: World) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        world.hang()
        hanging = asyncio.create_task(world.client.send([call("slow")], resend_count=0))
        await world.received("slow")
        world.client.renew_connections()
        world.client.reread_credentials()
        world.answer()
        assert (await world.client.send([call("fast")], resend_count=0)).answer.kind is AnswerKind.ACCEPTED
        assert not hanging.done(), "what is on its way is left alone"
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
