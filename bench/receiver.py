"""A receiver that costs next to nothing: takes batches as Segment does, counts calls, remembers no id.

Prints its port on the first line, then answers each line of standard input with one line of JSON: ``counts``, or
``latencies``, milliseconds from the time in a call's messageId (`events.stamped`) to the moment before its answer.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

import uvloop
from aiohttp import web
from isal import isal_zlib

STAMP: Final = re.compile(rb'"messageId":"evt_(\d{13})_')
_GZIP_WINDOW_BITS: Final = 31
_MAX_BODY_BYTES: Final = 1 << 24


class Receiver:
    """Counts the calls of batches.

    Args:
        latency_seconds: how long each answer takes.
        stamp_every: of so many calls with a time in their messageId one is looked at; 0: none.
    """

    def __init__(self, latency_seconds: float, stamp_every: int) -> None:
        self._latency_seconds = latency_seconds
        self._stamp_every = stamp_every
        self._calls = 0
        self._requests = 0
        self._last_at = 0.0
        self._latencies: list[tuple[float, float]] = []

    async def take(self, request: web.Request) -> web.Response:
        """Count one batch."""
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = isal_zlib.decompress(body, _GZIP_WINDOW_BITS)
        self._last_at = time.time()
        self._calls += body.count(b'"messageId":')
        self._requests += 1
        stamps = STAMP.findall(body)[:: self._stamp_every] if self._stamp_every else ()
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        answered_at = time.time()
        self._latencies.extend((answered_at, round(answered_at * 1_000 - int(stamp), 1)) for stamp in stamps)
        return web.Response(body=b'{"success": true}', content_type="application/json")

    def counts(self) -> Mapping[str, float]:
        """What came so far; ``last_at``: epoch seconds when the last request came."""
        return {
            "calls": self._calls,
            "requests": self._requests,
            "last_at": self._last_at,
            "cpu_seconds": time.process_time(),
        }

    def latencies(self) -> list[tuple[float, float]]:
        """Epoch seconds of an answer, and the latency of a call in it, for each call looked at."""
        return self._latencies


async def _answer_questions(receiver: Receiver) -> None:
    """Until standard input ends."""
    questions = {"counts": receiver.counts, "latencies": receiver.latencies}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer: Any = questions[line.strip()]()
        print(json.dumps(answer), flush=True)


async def serve(receiver: Receiver) -> None:
    """Serve on a free port until standard input ends."""
    application = web.Application(client_max_size=_MAX_BODY_BYTES)
    application.router.add_post("/v1/batch", receiver.take)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=False, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await _answer_questions(receiver)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--stamp-every", type=int, default=0, help="of so many calls one has its latency measured")
    arguments = parser.parse_args()
    uvloop.run(serve(Receiver(arguments.latency, arguments.stamp_every)))
