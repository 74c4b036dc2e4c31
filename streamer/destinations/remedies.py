"""What to do about a destination that is held or backs off, by the reason: not every fault is a wrong write key."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from streamer.core.delivery.answers import NetworkFault
from streamer.core.delivery.destination import REFUSES_EVERYTHING
from streamer.core.delivery.key_watch import KeyFinding
from streamer.logs import Event
from streamer.settings import DestinationSettings


def held_next_step(reason: str, settings: DestinationSettings) -> str:
    """What to do about a held destination.

    Args:
        reason: why it is held: an HTTP status, a `NetworkFault`, a `KeyFinding` or `REFUSES_EVERYTHING`.
        settings: of the destination.
    """
    remedy = _REMEDIES.get("3xx" if reason.startswith("3") else reason)
    return Event.DESTINATION_HELD.next_step if remedy is None else _filled_in(remedy, settings)


def backing_off_next_step(reason: str, settings: DestinationSettings) -> str:
    """What to do about a destination that backs off; ``reason`` is an HTTP status or a `NetworkFault`."""
    if reason == "429":
        return _filled_in(_TOO_MANY, settings)
    return Event.DESTINATION_BACKING_OFF.next_step


def _filled_in(remedy: str, settings: DestinationSettings) -> str:
    return remedy.format(
        host=urlsplit(settings.url).hostname,
        key=settings.key_setting,
        api=_APIS[settings.kind],
        address="region and endpoint" if settings.kind == "segment" else "endpoint",
    )


_APIS: Final = {"segment": "Segment's HTTP API", "sprig": "Sprig's API", "product_fruits": "Product Fruits' API"}
_WRONG_ADDRESS: Final = "Check {address}: {host} answers, but {api} is not at this address."

_TOO_MANY: Final = (
    "No action is needed if this ends within minutes. If it lasts, set rate_limit of the destination to what {host}"
    " allows, and find out what else sends with the same {key}."
)

_REMEDIES: Final[Mapping[str, str]] = {
    NetworkFault.TLS_VERIFICATION: (
        "Check that {host} is the right host and that its certificate is valid for this name. If an authority of your"
        " own signed the certificate, for example that of a proxy, name its file in ca_file of the destination, or add"
        " it to the trust store of this machine."
    ),
    NetworkFault.DNS_UNKNOWN_HOST: (
        "Check the name of the host {host} in endpoint, that of the proxy if there is one, and the name servers of this"
        " machine: they know no such host."
    ),
    NetworkFault.WEB_PAGE: (
        "A web page was sent as the answer of {host}, so nothing was delivered. Check endpoint, and whether a login"
        " page of the network or a proxy answers instead of the destination."
    ),
    REFUSES_EVERYTHING: (
        "{host} refused every call so far. Check {key}, {address}, and look at the calls that"
        " streamer map makes of the records."
    ),
    KeyFinding.UNKNOWN: (
        "Copy the write key again from the API keys of the source in Segment, into write_key_file, which is read"
        " again at least every 30 s, or into write_key and restart streamer. Nothing is sent until Segment knows the"
        " key."
        ' If the key is right, check settings_endpoint; with settings_endpoint: "" streamer does not ask about keys.'
    ),
    KeyFinding.WRONG_REGION: (
        "Set region: eu of the destination: Segment says that the source of this write key takes events in the EU."
        ' If that is wrong, set settings_endpoint: "", so that streamer does not ask about keys.'
    ),
    "401": (
        "{host} rejects the {key}. Put the right one into {key}_file, which is read again before each probe, or into"
        " {key} and restart streamer."
    ),
    "403": "Check the destination's {key}, and whether a firewall or proxy before {host} refuses the requests.",
    "404": _WRONG_ADDRESS,
    "405": _WRONG_ADDRESS,
    NetworkFault.PROXY_REFUSED: (
        "Check proxy of the destination, or the variables HTTPS_PROXY and NO_PROXY: the proxy wants a login"
        " or does not allow connections to {host}."
    ),
    "407": "Check user and password in proxy of the destination: the proxy on the way to {host} asks for a login.",
    "501": _WRONG_ADDRESS,
    "511": "Log in to the network, or check its proxy: the network asks for a login before requests reach {host}.",
    "3xx": "Check {address}: {host} redirects to another address, and streamer does not follow redirects.",
}
"""Reason -> what to do; for every other reason, the next step of the log event counts."""
