"""What an answer of a destination means.

Each end of one attempt, an HTTP status or a fault of the network, becomes one `Answer` of one of five kinds. The table
follows the retry rules that Segment's own SDKs share, but for two things: a fault of our own set-up is never held
against the events, and a redirect is never a success.
"""

import enum
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

MAX_RETRY_AFTER_SECONDS: Final = 300.0
"""Longest wait that a destination can ask for; the cap of Segment's SDKs."""

_TOO_MANY_REQUESTS: Final = 429
_UNHAPPY_4XX: Final = frozenset({408, 410, _TOO_MANY_REQUESTS, 460})
"""Client-error statuses that pass by themselves; 460 is Segment's own."""
_OVERLOAD: Final = frozenset({408, _TOO_MANY_REQUESTS, 503, 504})
"""Statuses of a destination that has more to do than it can: each of them may also be a passing fault."""
_SET_UP: Final = frozenset({401, 403, 404, 405, 407, 411, 415, 501, 505, 511})
_TOO_LARGE: Final = 413


class AnswerKind(enum.StrEnum):
    """What has to change before the same batch can pass."""

    ACCEPTED = "accepted"
    """Nothing: it has passed."""
    UNHAPPY = "unhappy"
    """The destination's health; a new attempt may pass."""
    SET_UP = "set_up"
    """Our key, address or trust; no batch passes before."""
    REFUSED = "refused"
    """The batch: one of its calls is at fault."""
    TOO_LARGE = "too_large"
    """The size of the batch."""


class NetworkFault(enum.StrEnum):
    """How an attempt can end without a whole HTTP answer. The values are what logs and metrics show."""

    REFUSED = "connection_refused"
    RESET = "connection_reset"
    TIMEOUT = "timeout"
    TLS_RESET = "tls_reset"
    """The connection ended during the TLS handshake."""
    TLS_VERIFICATION = "tls_verification"
    """The certificate is not one that we trust for this host."""
    DNS_TEMPORARY = "dns_temporary"
    DNS_UNKNOWN_HOST = "dns_unknown_host"
    """The name servers know no such host (NXDOMAIN)."""
    CUT_OFF = "cut_off"
    """A 2xx that broke off: the outcome is unknown, so the batch goes again with the same messageIds."""
    UNASKED_ANSWER = "unasked_answer"
    """The server spoke before it had received the request; what it said is no answer to it."""
    WEB_PAGE = "web_page"
    """A 2xx that is a web page: a login page of the network, or another host. It is no answer of the destination."""
    OTHER = "connection_error"


_SET_UP_FAULTS: Final = frozenset({NetworkFault.DNS_UNKNOWN_HOST, NetworkFault.TLS_VERIFICATION, NetworkFault.WEB_PAGE})
_WEB_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt ended."""

    kind: AnswerKind
    status: int | None
    """HTTP status; None when there was no whole HTTP answer."""
    error: str
    """The status in digits or a `NetworkFault`: few values, safe as a label of metrics; "" when accepted."""
    retry_after_seconds: float | None = None
    """The wait that the destination asked for; None when it asked for none that we understand."""

    @property
    def asks_to_wait(self) -> bool:
        """Whether the destination wants fewer requests, whatever they carry: a 429, or unhappy with ``Retry-After``."""
        return self.kind is AnswerKind.UNHAPPY and (
            self.status == _TOO_MANY_REQUESTS or self.retry_after_seconds is not None
        )

    @property
    def tells_overload(self) -> bool:
        """Whether fewer requests at a time might have been answered: a wait asked for, 408, 503, 504 or a timeout."""
        return self.asks_to_wait or self.status in _OVERLOAD or self.error == NetworkFault.TIMEOUT


def classify(status: int) -> AnswerKind:
    """The kind of an HTTP status. Total: every integer has one."""
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
    """The answer that an HTTP status stands for, with the seconds of its ``Retry-After`` (see `parse_retry_after`)."""
    kind = classify(status)
    return Answer(kind, status, "" if kind is AnswerKind.ACCEPTED else str(status), retry_after)


def answer_of_fault(fault: NetworkFault) -> Answer:
    """The answer that a fault of the network stands for."""
    return Answer(AnswerKind.SET_UP if fault in _SET_UP_FAULTS else AnswerKind.UNHAPPY, None, fault.value)


def is_web_page(content_type: str | None) -> bool:
    """Whether this ``Content-Type`` header says that the body is made for browsers. No API that takes calls does."""
    return (content_type or "").partition(";")[0].strip().lower() in _WEB_PAGES


def parse_retry_after(text: str | None, now_epoch: float, cap: float = MAX_RETRY_AFTER_SECONDS) -> float | None:
    """Seconds to wait according to a ``Retry-After`` header, from 0 to ``cap``.

    Args:
        text: the header as received, in seconds or as an HTTP date (RFC 9110, 10.2.3); None when there was none.
        now_epoch: the time that a date counts from, in seconds since the epoch.
        cap: longest wait to return, in seconds.

    Returns:
        0 for a date that has passed; None for anything that is neither a whole number of seconds nor a date.
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit():
        # A number this long is far above any cap, and int() refuses numbers of thousands of digits.
        return min(float(text[:400]), cap)
    try:
        date = parsedate_to_datetime(text)
        at_epoch = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(at_epoch - now_epoch, 0.0), cap)
