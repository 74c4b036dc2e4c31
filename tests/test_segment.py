"""One attempt to deliver a batch, on the wire: an answer counts when it is whole."""

from collections.abc import AsyncIterator

import orjson
import pytest

from streamer.core.answers import AnswerKind
from streamer.sandbox.faults import Action, Fault
from streamer.sandbox.server import Sandbox
from streamer.segment import MAX_ANSWER_BYTES, SegmentClient
from streamer.settings import DestinationSettings

CALL = orjson.dumps({"type": "track", "event": "Response Submitted", "userId": "user_1", "messageId": "evt_1"})


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[SegmentClient]:
    settings = {"write_key": "streamer_test_write_key_000000001", "endpoint": sandbox.url, "timeout": 5}
    client = SegmentClient(DestinationSettings.model_validate(settings))
    yield client
    await client.close()


async def test_a_2xx_that_breaks_off_is_no_success(sandbox: Sandbox, client: SegmentClient) -> None:
    """However much of it has arrived, and even with its head in one piece."""
    sandbox.faults.set(Fault(action=Action(cut_body=True)))

    exchange = await client.send([CALL], resend_count=0)

    assert exchange.answer.kind is AnswerKind.UNHAPPY
    assert exchange.answer.error == "cut_off"


@pytest.mark.parametrize("size", [0, 1, MAX_ANSWER_BYTES, 10 * MAX_ANSWER_BYTES])
async def test_a_whole_2xx_is_a_success_whatever_its_size(sandbox: Sandbox, client: SegmentClient, size: int) -> None:
    sandbox.faults.set(Fault(action=Action(status=200, body="x" * size)))

    exchange = await client.send([CALL], resend_count=0)

    assert exchange.answer.kind is AnswerKind.ACCEPTED
