"""Whoever delivers waits for a moment at most, whatever the database is doing."""

import asyncio
import time

from streamer.directory.store import Directory
from streamer.pipeline.identifying import Identification
from streamer.timings import Timings
from tests.directory.conftest import settings_of
from tests.postgresql import PostgreSQL

PATIENT_SECONDS = 10.0
"""Much longer than the bound, because this machine may be slow, and much shorter than the database's own limits."""


async def test_a_frozen_server_holds_nobody_up_and_is_asked_again(own_postgresql: PostgreSQL) -> None:
    timings = Timings(identify=0.1, identify_rest=0.0)
    directory = Directory(settings_of(own_postgresql.url("postgres")), timings)
    await directory.migrate()
    identification = Identification(directory, timings)
    asking = asyncio.create_task(identification.run())

    async def until_known(device: str) -> None:
        async with asyncio.timeout(60):
            while identification.known.find(device, time.monotonic()) is None:
                await identification.learn([device])
                await asyncio.sleep(0.01)

    await until_known("a")
    own_postgresql.freeze()
    try:
        began = time.monotonic()
        for number in range(10):
            await identification.learn([f"frozen {number}"])
        assert time.monotonic() - began < PATIENT_SECONDS
        assert identification.is_resting, "as long as the question is on its way"
    finally:
        own_postgresql.thaw()
    await until_known("b")

    own_postgresql.freeze()
    try:
        await identification.learn(["c"])
        began = time.monotonic()
        asking.cancel()
        await asyncio.wait([asking])
        assert time.monotonic() - began < PATIENT_SECONDS
    finally:
        own_postgresql.thaw()
