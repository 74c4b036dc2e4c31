"""Posts one prepared batch over and over, as fast as the receiver takes it: what the receiver can take at most."""

import argparse
import asyncio
from typing import Final

import aiohttp
import uvloop
from isal import isal_zlib

from bench.ceiling import call_of
from bench.events import EventMaker
from streamer.destinations.segment import GZIP_LEVEL, GZIP_WINDOW_BITS

CALLS: Final = 470
"""What fits into a request of 480,000 bytes."""
CONNECTIONS: Final = 4


def body() -> bytes:
    """A batch of calls as streamer sends it."""
    make = EventMaker("getuserfeedback")
    calls = b",".join(call_of(make(number)) for number in range(CALLS))
    return isal_zlib.compress(b'{"batch":[' + calls + b"]}", GZIP_LEVEL, GZIP_WINDOW_BITS)


async def post_for_ever(url: str) -> None:
    """Post until the process is ended."""
    prepared = body()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async def post(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.post(f"{url}/v1/batch", data=prepared, headers=headers) as response:
                await response.read()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(post(session))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    uvloop.run(post_for_ever(parser.parse_args().url))
