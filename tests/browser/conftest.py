"""A browser for each module.

Its tests run on the module's event loop, as the browser does:
``pytestmark = pytest.mark.asyncio(loop_scope="module")``.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.browser.kit import Chromium, browsing


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Chromium]:
    """Chromium without a page; the tests that want it are skipped where there is none."""
    async with browsing() as chromium:
        yield chromium
