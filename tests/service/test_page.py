"""The page of a real service: what happened to real records is on it, and agrees with ``/status`` and ``/metrics``."""

import asyncio

import aiohttp
import pytest

from tests.page.agreement import assert_agreement
from tests.page.reading import read
from tests.service.harness import WAIT_SECONDS, Deployment, survey_event, survey_events

pytestmark = pytest.mark.kafka


async def test_what_happened_is_on_the_page(deployment: Deployment) -> None:
    [topic] = await deployment.integrate()
    await deployment.produce(topic, [*survey_events(50), b"{", survey_event("evt_51", survey_id=7.5)])

    async with deployment.running() as service:
        await deployment.settled()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{service.port}") as client:
            async with asyncio.timeout(WAIT_SECONDS):
                await _until_it_rests(client)
            await assert_agreement(client)
            async with client.get("/") as response:
                page = read(await response.text())
            letters = page.one(id="letters").text
            assert topic in letters
            assert "decode_error" in letters
            assert "this instance" in page.one(id="groups").text
            assert "event.dead_lettered" in page.one(id="faults").text
            assert "50 delivered" in page.one(id="integrations").text

    await deployment.verify()


async def _until_it_rests(client: aiohttp.ClientSession) -> None:
    """Until all is committed and asked of the brokers: numbers that change cannot be compared."""
    while True:
        async with client.get("/status") as response:
            [integration] = (await response.json())["integrations"].values()
        if integration["lag"] == 0 and integration["limited_by"] == "fetch" and integration["members"]:
            return
        await asyncio.sleep(0.1)
