"""Which service a line comes from, under OpenTelemetry's names, and overridden as its standard variables say."""

import os
import socket
from collections.abc import Mapping
from urllib.parse import unquote

from streamer import __version__

_NAME, _INSTANCE, _ENVIRONMENT = "service.name", "service.instance.id", "deployment.environment.name"


def resource(environment: Mapping[str, str]) -> dict[str, str]:
    """The resource of this process.

    Args:
        environment: of OTEL_SERVICE_NAME, and of OTEL_RESOURCE_ATTRIBUTES with ``name=value`` pairs, percent-encoded,
            the service's name and instance and the environment of the deployment count.
    """
    pairs = (pair.partition("=") for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    given = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    found = {
        _NAME: environment.get("OTEL_SERVICE_NAME") or given.get(_NAME) or "streamer",
        "service.version": __version__,
        _INSTANCE: given.get(_INSTANCE) or f"{socket.gethostname()}-{os.getpid()}",
    }
    if given.get(_ENVIRONMENT):
        found[_ENVIRONMENT] = given[_ENVIRONMENT]
    return found
