"""Who may use the page and the endpoints under ``/_sandbox/``: programs, and pages of the sandbox itself.

The sandbox has no password. On a loopback address it trusts the machine's own users. Their browsers also run pages of
others, which could send requests here; those are refused, as are requests under a name that an attacker's name server
has pointed at the loopback address.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Handler


def guarded(routes: Iterable[web.RouteDef], *, allow_remote: bool) -> list[web.RouteDef]:
    """The routes, with a check before each.

    Args:
        routes: what to guard.
        allow_remote: whether the sandbox may be reached under any name.
    """
    return [
        web.RouteDef(route.method, route.path, _guard(route.handler, allow_remote), route.kwargs) for route in routes
    ]


def refusal(method: str, headers: "Callable[[str], str | None]", *, allow_remote: bool) -> str:
    """Why a request is refused; "" if it is not.

    Args:
        method: of the request.
        headers: gives the value of a header.
        allow_remote: whether the sandbox may be reached under any name.
    """
    host = headers("Host") or ""
    if not (allow_remote or is_loopback(_name_in(host))):
        return f"this sandbox answers under localhost or a loopback address only, not under {host!r}"
    if method in {"GET", "HEAD"}:
        return ""
    origin = headers("Origin")
    from_elsewhere = origin is not None and origin.partition("://")[2] != host
    if from_elsewhere or headers("Sec-Fetch-Site") not in {None, "same-origin", "none"}:
        return "this request comes from a page of another site"
    return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on ``host``. Names other than localhost are not looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_in(host: str) -> str:
    """The name or address in a header ``Host``, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _guard(handler: Handler, allow_remote: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def guarded_handler(request: web.Request) -> web.StreamResponse:
        if why := refusal(request.method, request.headers.get, allow_remote=allow_remote):
            raise web.HTTPForbidden(text=f"{why}\n")
        return await handler(request)

    return guarded_handler
