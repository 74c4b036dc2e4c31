"""Who can reach the status and the metrics of the service."""

import psutil
import pytest

from tests.service.harness import Deployment, eventually

pytestmark = pytest.mark.kafka


async def test_only_this_machine_reaches_it_unless_told_otherwise(deployment: Deployment) -> None:
    """Status and metrics are served without a password."""
    await deployment.integrate()
    assert deployment.document["server"] == {"port": 0}, "the address is the default one"
    process = await deployment.start_process()
    await eventually(lambda: process.log_events("server.listening"))
    listening = [
        connection.laddr
        for connection in psutil.Process(process._process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [(address.ip, address.port) for address in listening] == [
        ("127.0.0.1", process.log_events("server.listening")[0]["port"])
    ]
