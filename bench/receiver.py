"""A receiver that costs next to nothing: takes batches like Segment, counts calls, remembers no id.

Run as a process of its own, so that its work is not measured. Prints its port on the first line, then a JSON line for
each line it reads from standard input: calls received, and when the first and the last request came.
"""

import argparse
import asyncio
import json
import sys
import time

import uvloop
from aiohttp import web
from isal import isal_zlib


class Receiver:
    """Counts the calls of batches."""

    def __init__(self, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.calls = 0
        self.requests = 0
        self.first_at: float | None = None
        self.last_at: float | None = None

    async def take(self, request: web.Request) -> web.Response:
        """Count one batch."""
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = isal_zlib.decompress(body, 31)
        now = time.time()
        self.first_at = self.first_at or now
        self.last_at = now
        self.calls += body.count(b'"messageId":')
        self.requests += 1
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        return web.Response(body=b'{"success": true}', content_type="application/json")

    async def report(self) -> None:
        """Answer each line of standard input until it ends."""
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            counts = vars(self) | {"cpu_seconds": time.process_time()}
            print(json.dumps(counts), flush=True)


async def main(latency_seconds: float) -> None:
    """Serve until standard input ends."""
    receiver = Receiver(latency_seconds)
    application = web.Application(client_max_size=2**24, handler_args={"auto_decompress": False})
    application.router.add_post("/v1/batch", receiver.take)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=False, auto_decompress=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await receiver.report()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    uvloop.run(main(parser.parse_args().latency))
