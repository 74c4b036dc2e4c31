"""Listening on an address, for each of streamer's HTTP servers, and on a socket for the owner of the process."""

import asyncio
import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from aiohttp import web

BACKLOG: Final = 128
"""Connections that wait in the kernel until they are accepted."""

SOCKET_NAME: Final = "streamer.sock"
"""Of the Unix socket within the state directory: commands on this machine ask there, whatever the port is."""

_ONLY_THE_OWNER: Final = 0o177
"""What the owner's group and all others may not do with the socket."""

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


async def listen_on_socket(runner: web.BaseRunner, path: Path) -> None:
    """Listen on a Unix socket that only the owner of this process can connect to; one that was left over is replaced.

    Args:
        runner: a server that is set up.
        path: of the socket. Systems take about 100 characters.

    Raises:
        OSError: it cannot be listened on, or another process does so.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove_left_over(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listening, path)
        await _SocketSite(runner, listening).start()
    except BaseException:
        listening.close()
        raise


def _bind(listening: socket.socket, path: Path) -> None:
    """Make the socket for its owner only from its first moment: a later chmod would leave a gap.

    The mask is that of the whole process, so nothing may be awaited while it is another one.
    """
    before = os.umask(_ONLY_THE_OWNER)
    try:
        listening.bind(os.fspath(path))
    finally:
        os.umask(before)


class _SocketSite(web.BaseSite):
    """A Unix socket that is bound already. That of aiohttp takes each socket for one of TCP, which uvloop believes."""

    def __init__(self, runner: web.BaseRunner, listening: socket.socket) -> None:
        super().__init__(runner, backlog=BACKLOG)
        self._listening = listening

    @property
    def name(self) -> str:
        return f"unix://{self._listening.getsockname()}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None, "it was set up"
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(server, sock=self._listening, backlog=self._backlog)


def _remove_left_over(path: Path) -> None:
    """Remove a socket that no process listens on, as a process that was killed leaves it.

    Raises:
        OSError: a process listens on it, or it is no socket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(os.fspath(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if path.is_socket():
                path.unlink()
            return
    raise FileExistsError(f"another process listens on {path}")


def is_loopback(host: str) -> bool:
    """Whether a name or address is one that stands for this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
