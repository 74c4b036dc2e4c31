"""Listening on an address, for each of streamer's HTTP servers."""

import socket
from ipaddress import ip_address
from typing import Final

from aiohttp import web

BACKLOG: Final = 128
"""Connections that wait in the kernel until they are accepted."""

_EVERYWHERE: Final = frozenset({"", "::"})
"""Hosts that stand for all interfaces, with IPv4 and IPv6. asyncio alone would take ``::`` for IPv6 only."""


async def listen_on(runner: web.BaseRunner, host: str, port: int, *, backlog: int = BACKLOG) -> int:
    """Set a server up and listen; returns the port, for where 0 was asked for.

    Raises:
        OSError: the address cannot be listened on; the server is cleaned up.
    """
    await runner.setup()
    try:
        await _site(runner, host, port, backlog).start()
    except OSError:
        await runner.cleanup()
        raise
    bound: int = runner.addresses[0][1]
    return bound


def _site(runner: web.BaseRunner, host: str, port: int, backlog: int) -> web.BaseSite:
    """Where to listen: one socket serves IPv4 and IPv6, so that port 0 is one port.

    Raises:
        OSError: the address cannot be listened on.
    """
    if host not in _EVERYWHERE:
        return web.TCPSite(runner, host, port, backlog=backlog)
    if not socket.has_dualstack_ipv6():
        return web.TCPSite(runner, "0.0.0.0", port, backlog=backlog)  # noqa: S104 - asked for; here is no IPv6
    listening = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
    return web.SockSite(runner, listening, backlog=backlog)


def is_loopback(host: str) -> bool:
    """Whether a name or address is one that stands for this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
