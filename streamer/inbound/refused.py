"""Requests that are not accepted: with which status, and what their sender is told.

The texts are shown to people in Segment's event delivery. None of them holds a value of a request.
"""

from collections.abc import Mapping
from typing import Final

from streamer.core.errors import StreamerError
from streamer.inbound.webhook_counts import Result

RETRY_AFTER: Final[Mapping[str, str]] = {"Retry-After": "5"}

NEXT_STEPS: Final = {
    Result.UNKNOWN_WEBHOOK: "Correct the URL in Segment, or add the webhook to inbound.webhooks. Segment does not send"
    " these calls again.",
    Result.BAD_METHOD: "Only POST is answered. Set the method of the webhook in Segment to POST.",
    Result.BUSY: "No action is needed unless this repeats: Segment sends the calls again. If it repeats, check that"
    " Kafka is fast enough, and raise inbound.limits.max_open_bytes.",
    Result.TIMEOUT: "No action is needed unless this repeats: Segment sends the calls again. If it repeats, check the"
    " network and the proxy between Segment and streamer.",
    Result.BAD_ENCODING: "Check the proxy between Segment and streamer: it changed the body or its Content-Encoding."
    " Segment does not send these calls again.",
    Result.TOO_LARGE: "Lower the batch size of the webhook in Segment, or raise inbound.limits. Segment does not send"
    " these calls again.",
    Result.BAD_SIGNATURE: "Compare the shared secret in Segment with secrets of this webhook (and bearer_token, if one"
    " is set). Correct it now: Segment does not send these calls again. A Replay in Segment brings them back.",
    Result.BAD_TYPE: "Set the Content-Type of the webhook in Segment to application/json. Segment does not send these"
    " calls again.",
    Result.BAD_JSON: "The signature was right and the body is no JSON: report it to Segment, with the time of this"
    " line. Segment does not send these calls again.",
    Result.KAFKA_UNAVAILABLE: "Do what the detail says. Segment sends the calls again for four hours.",
}
"""What a person can do about each result."""

RETRIED: Final = frozenset({Result.BUSY, Result.TIMEOUT, Result.KAFKA_UNAVAILABLE})
"""Results after which Segment sends the same calls again."""


class RefusedError(StreamerError):
    """A request is not accepted.

    Args:
        result: as it is counted.
        status: HTTP status of the answer.
        message: for the sender.
        headers: of the answer.
        detail: for the log, where it tells more than ``message``.
        must_close: whether the connection is of no use any more.
    """

    def __init__(
        self,
        result: Result,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        detail: str | None = None,
        must_close: bool = False,
    ) -> None:
        super().__init__(message)
        self.result = result
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.detail = message if detail is None else detail
        self.must_close = must_close


def busy(message: str) -> RefusedError:
    """Segment sends the request again, after a moment."""
    return RefusedError(Result.BUSY, 503, message, headers=RETRY_AFTER, must_close=True)


def late() -> RefusedError:
    """Headers or body were not complete in time."""
    return RefusedError(Result.TIMEOUT, 408, "the request was not complete in time", must_close=True)


def too_large(message: str) -> RefusedError:
    """A limit of ``inbound.limits`` is exceeded."""
    return RefusedError(Result.TOO_LARGE, 413, message)
