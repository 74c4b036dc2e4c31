"""The sandbox's webhook destination: accepted calls arrive at their URL, signed, and are tried again until taken."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from streamer.devkit.sandbox import webhook as module
from streamer.devkit.sandbox.server import Sandbox
from streamer.devkit.sandbox.webhook import WebhookDestination

KEY = "streamer_test_write_key_000000001"
SECRET = "a shared secret"


class Receiver:
    """Keeps what arrives, and answers with the statuses given, then with 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.signatures.append(request.headers["X-Signature"])
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(module, "MIN_RETRY_SECONDS", 0.001)
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/hook"))
        yield receiver


async def forwarded(destination: WebhookDestination, *calls: Mapping[str, object], path: str = "/v1/batch") -> None:
    """Forward calls, and wait until each of them has ended."""
    await destination.start()
    destination.take(path, calls, 1_780_000_000.25)
    async with asyncio.timeout(10):
        await destination.until_sent()
    await destination.stop()


def signature(text: bytes) -> str:
    return hmac.new(SECRET.encode(), text, hashlib.sha1).hexdigest()


async def test_a_call_arrives_signed_and_with_what_segment_adds(receiver: Receiver) -> None:
    destination = WebhookDestination(receiver.url, SECRET)
    await forwarded(destination, {"userId": "u", "event": "Opened", "writeKey": KEY}, path="/v1/track")

    [body] = receiver.bodies
    assert receiver.signatures == [signature(body)]
    assert orjson.loads(body) == {
        "version": 1,
        "type": "track",
        "channel": "server",
        "userId": "u",
        "event": "Opened",
        "timestamp": "2026-05-28T20:26:40.250Z",
        "originalTimestamp": "2026-05-28T20:26:40.250Z",
        "receivedAt": "2026-05-28T20:26:40.250Z",
    }
    assert destination.forwarded == 1


async def test_the_signature_of_a_batch_covers_its_first_call_only(receiver: Receiver) -> None:
    calls = [{"type": "identify", "userId": f"u-{number}", "timestamp": "2026-06-01T00:00:00Z"} for number in range(5)]
    await forwarded(WebhookDestination(receiver.url, SECRET, max_calls=3), *calls)

    assert [len(orjson.loads(body)) for body in receiver.bodies] == [3, 2]
    for body, sent in zip(receiver.bodies, receiver.signatures, strict=True):
        first = orjson.dumps(orjson.loads(body)[0])
        assert body.startswith(b"[" + first)
        assert sent == signature(first)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_what_may_pass_later_is_sent_again(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status, status]
    destination = WebhookDestination(receiver.url, SECRET)
    await forwarded(destination, {"type": "track", "messageId": "m-1"})

    assert len(receiver.bodies) == 3
    assert len(set(receiver.bodies)) == 1
    assert (destination.forwarded, destination.dropped) == (1, 0)


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 501])
async def test_a_final_answer_drops_the_calls(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    destination = WebhookDestination(receiver.url, SECRET)
    await forwarded(destination, {"type": "track"})

    assert len(receiver.bodies) == 1
    assert (destination.forwarded, destination.dropped) == (0, 1)


async def test_only_so_many_calls_wait(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    destination = WebhookDestination(receiver.url, SECRET)
    await forwarded(destination, *({"type": "track"} for _ in range(3)))
    assert (destination.forwarded, destination.dropped) == (2, 1)


async def test_the_sandbox_forwards_each_accepted_call_once(receiver: Receiver) -> None:
    """Not those that Segment would drop, nor repeated ones."""
    webhook = WebhookDestination(receiver.url, SECRET)
    sandbox = Sandbox(webhook=webhook)
    await sandbox.start()
    good = {"type": "track", "userId": "u", "event": "e", "messageId": "m-1"}
    batch = {"writeKey": KEY, "batch": [good, good, {"type": "track", "event": "nobody", "messageId": "m-2"}]}
    async with asyncio.timeout(10), ClientSession() as session:
        async with session.post(f"{sandbox.url}/v1/batch", json=batch) as response:
            assert response.status == 200
        await webhook.until_sent()
    await sandbox.stop()
    assert [orjson.loads(body)["messageId"] for body in receiver.bodies] == ["m-1"]
