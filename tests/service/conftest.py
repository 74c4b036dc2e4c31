"""The service on the real broker, with the sandbox as Segment."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamer.devkit.broker import Broker
from streamer.devkit.sandbox.server import Sandbox
from tests.conftest import ConsumeAll, ExternalCluster
from tests.service.harness import Deployment


@pytest.fixture
def bootstrap_servers(broker: Broker | ExternalCluster) -> str:
    return broker.bootstrap_servers


@pytest.fixture
async def deployment(
    tmp_path: Path, bootstrap_servers: str, sandbox: Sandbox, consume_all: ConsumeAll
) -> AsyncIterator[Deployment]:
    """A configuration without integrations yet; runs in this process commit and reconnect in a hurry."""
    deployment = Deployment(
        directory=tmp_path,
        bootstrap_servers=bootstrap_servers,
        sandbox=sandbox,
        consume_all=consume_all,
    )
    yield deployment
    await deployment.close()
