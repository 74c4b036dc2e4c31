"""Starting, stopping, keys and the record file of a sandbox."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse

from streamer.core.errors import SettingsError, UnavailableError
from streamer.devkit.sandbox.access import is_loopback
from streamer.devkit.sandbox.faults import Action, Fault
from streamer.devkit.sandbox.server import Sandbox

Post = Callable[..., Coroutine[Any, Any, ClientResponse]]
KEY = "streamer_test_write_key_000000001"
CALL = {"type": "track", "userId": "u", "event": "e", "messageId": "m-1"}
BATCH = {"batch": [CALL]}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_addresses_are_local(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "", "localhost.example.com", "example.com"])
async def test_an_address_that_others_reach_is_refused(host: str) -> None:
    sandbox = Sandbox()
    with pytest.raises(SettingsError, match="not a loopback address"):
        await sandbox.start(host)
    assert not sandbox.url


async def test_an_address_that_others_reach_can_be_allowed(ask: Post) -> None:
    sandbox = Sandbox()
    await sandbox.start("0.0.0.0", allow_remote=True)
    try:
        port = sandbox.url.rpartition(":")[2]
        assert (await ask("POST", f"http://127.0.0.1:{port}/v1/batch", BATCH)).status == 200
    finally:
        await sandbox.stop()


async def test_a_taken_port_is_reported(sandbox: Sandbox) -> None:
    with pytest.raises(UnavailableError, match="cannot start"):
        await Sandbox().start(port=int(sandbox.url.rpartition(":")[2]))


async def test_a_record_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot start"):
        await Sandbox(record_path=tmp_path / "missing" / "calls.jsonl").start()


async def test_it_can_start_again_with_its_record(sandbox: Sandbox, post: Post) -> None:
    await post("/v1/batch", BATCH)
    await sandbox.stop()
    await sandbox.start()
    sandbox.faults.add(Fault(action=Action(latency_seconds=0.03)))
    started = asyncio.get_running_loop().time()
    await post("/v1/batch", BATCH)
    assert asyncio.get_running_loop().time() - started >= 0.03, "the second run does not wait as if it were stopping"
    assert (sandbox.record.accepted, sandbox.record.duplicates) == (1, 1)


async def test_until_returns_at_once_when_the_record_is_there_already(sandbox: Sandbox) -> None:
    async with asyncio.timeout(1):
        await sandbox.until(lambda record: record.received == 0)


async def test_until_wakes_all_that_wait(sandbox: Sandbox, post: Post) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(sandbox.until(lambda record: record.received == 2))
        await post("/v1/batch", BATCH)
        await post("/v1/batch", BATCH)


async def test_only_required_keys_are_taken(ask: Post) -> None:
    """Stricter than Segment, which answers 200 to any key: for finding out what streamer does with a wrong one."""
    sandbox = Sandbox(required_keys=[KEY])
    await sandbox.start()
    try:
        assert (await ask("POST", f"{sandbox.url}/v1/batch", BATCH)).status == 200
        other = BATCH | {"writeKey": "k" * 32}
        assert (await ask("POST", f"{sandbox.url}/v1/batch", other, headers={})).status == 401
        assert (sandbox.record.accepted, sandbox.record.refused) == (1, 1)
        assert (await ask("GET", f"{sandbox.url}/v1/projects/{KEY}/settings")).status == 200
        assert (await ask("GET", f"{sandbox.url}/v1/projects/{'k' * 32}/settings")).status == 404
    finally:
        await sandbox.stop()


async def test_the_settings_endpoint_knows_every_plausible_key(sandbox: Sandbox, ask: Post) -> None:
    answer = await ask("GET", f"{sandbox.url}/v1/projects/{KEY}/settings", headers={})
    settings = {"integrations": {"Segment.io": {"apiHost": "api.segment.io/v1"}}}
    assert (answer.status, await answer.json()) == (200, settings)
    assert (await ask("GET", f"{sandbox.url}/v1/projects/abc123/settings")).status == 404


async def test_calls_under_an_unknown_key_are_swallowed_as_at_segment(ask: Post) -> None:
    sandbox = Sandbox(known_keys=[KEY], region="eu")
    await sandbox.start()
    try:
        for path in ("/v1/batch", "/v1/track"):
            other = (BATCH if path == "/v1/batch" else BATCH["batch"][0]) | {"writeKey": "k" * 32}
            assert (await ask("POST", sandbox.url + path, other, headers={})).status == 200
        assert (sandbox.record.accepted, sandbox.record.swallowed) == (0, 2)
        assert {entry.discard for entry, _ in sandbox.record.latest()} == {"unknown_write_key"}
        assert (await ask("POST", f"{sandbox.url}/v1/batch", BATCH)).status == 200
        assert sandbox.record.accepted == 1
        unknown = await ask("GET", f"{sandbox.url}/v1/projects/{'k' * 32}/settings")
        assert (unknown.status, await unknown.text()) == (404, "Invalid path or write key provided.")
        known = await ask("GET", f"{sandbox.url}/v1/projects/{KEY}/settings")
        assert (await known.json())["integrations"]["Segment.io"]["apiHost"] == "events.eu1.segmentapis.com/v1"
    finally:
        await sandbox.stop()


async def test_the_record_file_is_complete_when_the_answer_arrives(tmp_path: Path, ask: Post) -> None:
    path = tmp_path / "calls.jsonl"
    sandbox = Sandbox(record_path=path)
    await sandbox.start()
    try:
        await ask("POST", f"{sandbox.url}/v1/batch", BATCH)
        await ask("POST", f"{sandbox.url}/v1/batch", BATCH)
        lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
        assert [(line["messageId"], line["verdict"]) for line in lines] == [("m-1", "accepted"), ("m-1", "duplicate")]
    finally:
        await sandbox.stop()


async def test_what_cannot_be_written_down_gets_no_2xx(ask: Post) -> None:
    """A full disk must not make the record file lie by leaving calls out."""
    sandbox = Sandbox(record_path=Path("/dev/full"))
    await sandbox.start()
    try:
        assert (await ask("POST", f"{sandbox.url}/v1/batch", BATCH)).status == 503
    finally:
        await sandbox.stop()
