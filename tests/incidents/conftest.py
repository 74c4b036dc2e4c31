"""The service of ``tests/service``, and a person on call who looks at it."""

from collections.abc import AsyncIterator

import pytest

from tests.browser.kit import Chromium, browsing, find_browser
from tests.service.conftest import bootstrap_servers, deployment

__all__ = ["bootstrap_servers", "deployment"]


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium | None]:
    """The system's browser; None: there is none, and the page is read without one."""
    if find_browser() is None:
        yield None
        return
    async with browsing() as chromium:
        yield chromium
