"""What an answer of a destination means.

An attempt ends with an HTTP status or a fault of the network. Either becomes one `Answer` of one of five kinds. The
table follows the retry rules that Segment's own SDKs share, with two exceptions: a fault of our own set-up is never
charged to the events, and a redirect is never a success.
"""

import enum
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_SECONDS: Final = 300.0
"""Longest wait that a destination can ask for, in seconds. Segment's SDKs have the same cap."""

_TOO_MANY_REQUESTS: Final = 429
_UNHAPPY_4XX: Final = frozenset({408, 410, _TOO_MANY_REQUESTS, 460})
"""Client-error statuses after which a new attempt may pass. 460 is Segment's own."""
_OVERLOAD: Final = frozenset({408, _TOO_MANY_REQUESTS, 503, 504})
"""Statuses of an overloaded destination. Each of them may also be a fault that passes."""
_SET_UP: Final = frozenset({401, 403, 404, 405, 407, 411, 415, 501, 505, 511})
_TOO_LARGE: Final = 413


MAX_HEADER_CHARACTERS: Final = 1_000
"""Most of a ``Retry-After`` or ``Date`` header that is looked at."""

MAX_CLOCK_DIFFERENCE_SECONDS: Final = 366 * 86_400.0
"""A ``Date`` further from our own clock is a mistake of the server, and not its clock."""

_PARTS: Final = re.compile(r"(?:\s*(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,)?[^,]+", re.IGNORECASE)
"""The parts of a list; the comma after the name of a weekday belongs to a date."""
_SECONDS: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_FAR_FUTURE: Final = re.compile(r"(?:[A-Za-z]+,\s*)?[0-9]{1,2}[\s-][A-Za-z]{3,9}[\s-][0-9]{5,}(?:\s.*)?", re.DOTALL)
"""A date whose year has five digits or more; no date of Python's goes that far."""


class AnswerKind(enum.StrEnum):
    """What an answer says about the batch, and what has to change if it did not pass."""

    ACCEPTED = "accepted"
    """The batch has passed."""
    UNHAPPY = "unhappy"
    """The destination has a problem. A new attempt of the same batch may pass."""
    SET_UP = "set_up"
    """Our key, address or trusted certificates are wrong. No batch passes until they are corrected."""
    REFUSED = "refused"
    """One of the calls is at fault. The batch cannot pass with it."""
    TOO_LARGE = "too_large"
    """The batch is too large for one request."""


class NetworkFault(enum.StrEnum):
    """How an attempt can end without a complete HTTP answer. Logs and metrics show the values."""

    REFUSED = "connection_refused"
    RESET = "connection_reset"
    TIMEOUT = "timeout"
    HUNG = "hung"
    """Given up before its timeout, because requests that began later were answered long ago."""
    TLS_RESET = "tls_reset"
    """The connection ended during the TLS handshake."""
    TLS_VERIFICATION = "tls_verification"
    """We do not trust the certificate for this host."""
    DNS_TEMPORARY = "dns_temporary"
    DNS_UNKNOWN_HOST = "dns_unknown_host"
    """The name servers know no such host (NXDOMAIN)."""
    CUT_OFF = "cut_off"
    """A 2xx whose body broke off. The outcome is unknown, so the batch is sent again with the same messageIds."""
    UNASKED_ANSWER = "unasked_answer"
    """The server spoke before it had received the request; what it said is no answer to it."""
    WEB_PAGE = "web_page"
    """A 2xx that is a web page: a login page of the network, or another host. It is no answer of the destination."""
    PROXY_REFUSED = "proxy_refused"
    """The proxy does not let the connection through: it asks for a login, or forbids the host."""
    OTHER = "connection_error"


_SET_UP_FAULTS: Final = frozenset(
    {NetworkFault.DNS_UNKNOWN_HOST, NetworkFault.TLS_VERIFICATION, NetworkFault.WEB_PAGE, NetworkFault.PROXY_REFUSED}
)
_WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended."""

    kind: AnswerKind
    status: int | None
    """HTTP status; None when there was no complete HTTP answer."""
    error: str
    """The status in digits, or a `NetworkFault`; "" when accepted. It has few values, so it can be a metric's label."""
    retry_after_seconds: float | None = None
    """Seconds that the destination asked us to wait; None: it did not ask, or we cannot read what it asked for."""

    @property
    def asks_to_wait(self) -> bool:
        """Whether the destination asks for fewer requests: a 429, or any unhappy answer with ``Retry-After``."""
        return self.kind is AnswerKind.UNHAPPY and (
            self.status == _TOO_MANY_REQUESTS or self.retry_after_seconds is not None
        )

    @property
    def tells_overload(self) -> bool:
        """Whether the destination may be overloaded: it asks to wait, answers 408, 503 or 504, or is too slow."""
        return self.asks_to_wait or self.status in _OVERLOAD or self.error == NetworkFault.TIMEOUT


def classify(status: int) -> AnswerKind:
    """The kind of an HTTP status; every integer has one."""
    if 200 <= status < 300:  # noqa: PLR2004 - the classes of HTTP statuses
        return AnswerKind.ACCEPTED
    if status == _TOO_LARGE:
        return AnswerKind.TOO_LARGE
    if status < 400 or status in _SET_UP:  # noqa: PLR2004
        return AnswerKind.SET_UP
    if status >= 500 or status in _UNHAPPY_4XX:  # noqa: PLR2004
        return AnswerKind.UNHAPPY
    return AnswerKind.REFUSED


def answer_of_status(status: int, retry_after: float | None) -> Answer:
    """The answer for an HTTP status; ``retry_after`` in seconds, as `parse_retry_after` returns it."""
    kind = classify(status)
    return Answer(kind, status, "" if kind is AnswerKind.ACCEPTED else str(status), retry_after)


def answer_of_fault(fault: NetworkFault) -> Answer:
    """The answer for a fault of the network."""
    return Answer(AnswerKind.SET_UP if fault in _SET_UP_FAULTS else AnswerKind.UNHAPPY, None, fault.value)


def is_web_page(content_type: str | None) -> bool:
    """Whether this ``Content-Type`` header says that the body is made for browsers. No API that takes calls does."""
    return (content_type or "").partition(";")[0].strip().lower() in _WEB_PAGES


def parse_retry_after(text: str | None, now_epoch: float, cap: float = MAX_RETRY_AFTER_SECONDS) -> float | None:
    """Seconds to wait according to a ``Retry-After`` header, from 0 to ``cap``. No text raises.

    Args:
        text: the header as received, in seconds or as an HTTP date (RFC 9110, 10.2.3); None when there was none. Other
            than the RFC, seconds may have a fraction, and a list, such as a proxy makes of two headers, asks for its
            longest wait.
        now_epoch: the time that a date counts from, in seconds since the epoch; see `clock_of`.
        cap: longest wait to return, in seconds.

    Returns:
        0 for a date that has passed; None when no part of it is a number of seconds or a date.
    """
    waits = [_wait_of(part, now_epoch) for part in _PARTS.findall((text or "")[:MAX_HEADER_CHARACTERS])]
    asked = [wait for wait in waits if wait is not None]
    return min(max(asked), cap) if asked else None


def clock_of(date: str | None, now_epoch: float) -> float:
    """Epoch seconds by the clock of whoever answered, because a ``Retry-After`` date is by that clock.

    Args:
        date: the ``Date`` header as received; None when there was none.
        now_epoch: our own time. It counts when there is no ``Date``, or one that cannot be meant.
    """
    at_epoch = _epoch_of(date or "")
    if at_epoch is None or abs(at_epoch - now_epoch) > MAX_CLOCK_DIFFERENCE_SECONDS:
        return now_epoch
    return at_epoch


def _wait_of(part: str, now_epoch: float) -> float | None:
    part = part.strip()
    if _SECONDS.fullmatch(part):
        return float(part)
    at_epoch = _epoch_of(part)
    return None if at_epoch is None else max(at_epoch - now_epoch, 0.0)


def _epoch_of(date: str) -> float | None:
    """An HTTP date in seconds since the epoch, in UTC if it names no zone; None if it is none; infinity beyond 9999."""
    date = date.strip()[:MAX_HEADER_CHARACTERS]
    if _FAR_FUTURE.fullmatch(date):
        return float("inf")
    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except Exception:  # noqa: BLE001 - whatever the standard library raises on the texts of others
        return None
