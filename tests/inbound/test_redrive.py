"""``streamer dlq`` and the dead letters of the way back: listed, written back, and then applied."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml

from tests.inbound.test_samples import USERS_BEFORE
from tests.inbound.way_back import SECRET, WayBack, following, sign

pytestmark = pytest.mark.kafka

WAIT_SECONDS: Final = 30.0
BEN: Final = "usr_62342"


async def dlq(config: Path, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; its exit code, its rows, and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "streamer", "dlq", *arguments, "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WAIT_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


async def test_calls_that_were_set_aside_are_written_back_and_applied(way_back: WayBack, tmp_path: Path) -> None:
    """Who redrives a call that no signature covers vouches for it; how it arrived stays known."""
    way_back.document["inbound"] |= {
        "webhooks": {"production": {"secrets": [SECRET], "unauthenticated": "dead_letter"}},
        "limits": {"max_call_bytes": 1_000},
    }
    config = tmp_path / "streamer.yaml"
    config.write_text(yaml.safe_dump(way_back.document | {"state_dir": str(way_back.document["state_dir"])}))
    signed = orjson.dumps({"type": "page", "messageId": "p"})
    track = orjson.dumps({"type": "track", "messageId": "t", "userId": BEN, "event": "Report Exported"})
    too_large = orjson.dumps({"type": "track", "messageId": "l", "userId": BEN, "event": "e" * 1_000})
    body = b"[%b,%b,%b]" % (signed, track, too_large)
    async with following(way_back) as course:
        await course.begin(USERS_BEFORE)
        step = await course.step(body, {"X-Signature": sign(signed)}, calls=2)
        assert step.counts == {"ignored not_an_action": 1.0, "dead_lettered unauthenticated": 1.0}
        [letter] = [one for one in step.dead_letters if one.value]
        arrival = {name: value for name, value in letter.headers if name in {"streamer.webhook", "streamer.received"}}
        assert (letter.value, arrival["streamer.webhook"]) == (track, b"production")

        code, rows, _ = await dlq(config, "ls", "--integration", "inbound")
        assert (code, [(row["reason"], row["dead_letters"]) for row in rows]) == (
            0,
            [("too_large", 1), ("unauthenticated", 1)],
        )
        redriving = asyncio.create_task(dlq(config, "redrive", "--execute"))
        step = await course.follow(calls=1)
        code, rows, said = await redriving

    assert (code, [(row["reason"], row["redriven"], row["skipped"]) for row in rows]) == (
        1,
        [("too_large", 0, 1), ("unauthenticated", 1, 0)],
    )
    assert "1 skipped (no_value): they have no value" in said
    assert step.counts == {"applied": 1.0}
    [trigger] = step.triggers
    assert dict(trigger.headers) == {
        **arrival,
        "streamer.schema": b"trigger.1",
        "streamer.authenticated": b"false",
    }
    assert orjson.loads(trigger.value)["username"] == BEN
