"""The way to the outside: the proxy that requests go through, and the authorities whose certificates count."""

import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from streamer.core.errors import UnavailableError


def proxy_for(url: str, setting: str | None = None) -> str | None:
    """The proxy for requests to ``url``, with its user and password; None: there is none.

    Args:
        url: where the requests go.
        setting: the proxy of the configuration; "" asks for none. None: the variables ``HTTPS_PROXY``, ``HTTP_PROXY``,
            ``ALL_PROXY`` and ``NO_PROXY`` count, in capitals or not. They do not count for this machine itself.

    Raises:
        UnavailableError: a variable names a proxy that does not speak HTTP.
    """
    if setting is not None:
        return setting or None
    parts = urlsplit(url)
    proxies = getproxies_environment()
    proxy = (proxies.get(parts.scheme) or proxies.get("all") or "").strip()  # a line break comes from a mounted secret
    if not proxy or _is_this_machine(parts.hostname or "") or proxy_bypass(parts.netloc):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        name = parts.scheme if proxies.get(parts.scheme) else "all"
        raise UnavailableError(
            f"the variable {name.upper()}_PROXY names a proxy that is no HTTP proxy; correct it, or set proxy of the"
            ' destination (proxy: "" for none)'
        )
    return proxy


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """How certificates are checked: by the authorities in ``ca_file``; None: by those that this machine trusts.

    Raises:
        UnavailableError: the file cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "it is not a PEM file"
        raise UnavailableError(f"ca_file {ca_file} cannot be read: {reason}; mount it or correct the path") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
