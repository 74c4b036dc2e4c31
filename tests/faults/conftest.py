"""The service of ``tests/service``, for faults of the network, the brokers and the disk."""

from tests.service.conftest import bootstrap_servers, deployment

__all__ = ["bootstrap_servers", "deployment"]
