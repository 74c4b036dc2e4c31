"""The way back, on SQLite and on PostgreSQL, with the real broker."""

import pytest

from tests.directory.conftest import own_postgresql, url
from tests.faults.inbound.deployment import WayBack
from tests.service.harness import Deployment

__all__ = ["own_postgresql", "url"]

SESSION_MS = 1_500


@pytest.fixture
def way_back(deployment: Deployment, bootstrap_servers: str, url: str) -> WayBack:
    """Nothing of it exists yet but an empty database."""
    deployment.document["kafka"]["session_timeout_ms"] = SESSION_MS
    return WayBack(deployment, bootstrap_servers, url)
