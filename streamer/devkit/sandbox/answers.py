"""What Segment answers, and which calls it drops after a 200. Pure functions from bytes to a judgement.

Segment answers 400 to a body that is not JSON or over a size limit, and to a write key that is empty or very short.
Nearly everything else gets a 200. Calls that break its rules are then discarded at ingest, and the sender does not
learn of it: here those calls are *swallowed*, under Segment's own discard codes. Where Segment's documentation leaves a
point open, the sandbox is stricter, so that what passes here also passes at Segment:

- "32 KB" is 32,000 bytes and "500 KB" 500,000, counted before compression; a call in a batch is counted as compact
  UTF-8 JSON.
- One call over the size limit makes the whole batch refused; one call too many (2,501) makes all of it swallowed.
- A messageId over 100 characters is swallowed (documented: dropped silently by one product, undefined in the others).
- Basic authentication needs its colon.

Source: Segment docs, HTTP API ("Errors", "Authentication"), delivery overview ("Discarded events"), common fields.
"""

import base64
import binascii
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson
from isal import isal_zlib

from streamer.core.model import MAX_CALL_BYTES, Json
from streamer.devkit.sandbox.discards import CALL_TYPES, Discard, discard_of

MAX_BATCH_BYTES: Final = 500_000
"""Longest body of a batch in bytes; a longer one is answered 400."""

MAX_BATCH_CALLS: Final = 2_500
"""Most calls of a batch; if there are more, Segment answers 200 and drops calls."""

MAX_BODY_BYTES: Final = 8_000_000
"""Most bytes that are read of one body, before and after decompression; the rest is ignored."""

MIN_WRITE_KEY_CHARACTERS: Final = 8
"""Shortest write key that gets a 200. Segment refuses "very short" ones, such as six characters; real ones have 32."""

BATCH_PATHS: Final = frozenset({"/v1/batch", "/v1/import"})
"""Paths that take a batch; ``import`` is the older name, still used by some of Segment's libraries."""

CALL_PATHS: Final = BATCH_PATHS | {f"/v1/{call_type}" for call_type in CALL_TYPES}
"""All paths that take calls."""


HOSTS: Final = {"us": "api.segment.io", "eu": "events.eu1.segmentapis.com"}
"""Region -> the host for events that the settings of a source name."""

TEXT_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}
JSON_HEADERS: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=lambda: TEXT_HEADERS)

    @property
    def accepts(self) -> bool:
        """Whether the sender takes this answer for a success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own range


SUCCESS: Final = Reply(200, '{"success": true}', JSON_HEADERS)
BAD_REQUEST: Final = Reply(400, "Bad Request")
BAD_WRITE_KEY: Final = Reply(400, "Bad Request: the write key is missing or too short")
REQUIRED_WRITE_KEY_MISSING: Final = Reply(
    401, "Unauthorized: this is not the write key that the sandbox was started with (--require-key)"
)
NO_SOURCE: Final = Reply(404, "Invalid path or write key provided.")
TOO_LARGE: Final = Reply(400, "Exceed payload limit")
NO_REPLY: Final = Reply(0, "")
"""Stands for a reset connection: the sender gets no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived.

    ``calls`` holds what could be read, also of a body that will be refused for its size. ``refusal`` is set if nothing
    could be read.
    """

    path: str
    size_bytes: int = 0
    calls: list[Json] = field(default_factory=list)
    write_key: str = ""
    refusal: Reply | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What becomes of a request: the answer, and for each call why it is dropped after a 2xx, or None."""

    reply: Reply
    discards: list[Discard | None]
    request_discard: Discard | None = None
    """Segment's code for the request: ``empty_batch``, or ``multi_user_error`` when only some calls were dropped."""


def read_request(path: str, authorization: str, encoding: str, raw: bytes) -> Received:
    """Read one request.

    Args:
        path: one of `CALL_PATHS`.
        authorization: value of the header ``Authorization``; "" without it.
        encoding: value of the header ``Content-Encoding``; "" without it.
        raw: the body as it was sent.
    """
    body = _decompress(encoding.strip().lower(), raw)
    if isinstance(body, Reply):
        return Received(path=path, refusal=body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Received(path=path, refusal=BAD_REQUEST)
    calls = _calls(path, document)
    if calls is None:
        return Received(path=path, refusal=BAD_REQUEST)
    body_key = document.pop("writeKey", None)  # a single call has it too, and a secret must not be recorded
    write_key = _basic_user(authorization) or (body_key if isinstance(body_key, str) else "")
    return Received(path=path, size_bytes=len(body), calls=calls, write_key=write_key)


def judge(
    received: Received, required_keys: Container[str] | None = None, known_keys: Container[str] | None = None
) -> Judgement:
    """Answer one request as Segment does.

    Args:
        received: the request.
        required_keys: the only write keys that are not answered 401; None: no plausible key is, as at Segment.
        known_keys: the only write keys that a source has. The calls under another one are swallowed, as at Segment.
            None: there is a source for every key.
    """
    refusal = received.refusal or _key_refusal(received.write_key, required_keys) or _size_refusal(received)
    if refusal:
        return refuse(received, refusal)
    if known_keys is not None and received.write_key not in known_keys:
        return Judgement(reply=SUCCESS, discards=[Discard.UNKNOWN_WRITE_KEY] * len(received.calls))
    if received.path not in BATCH_PATHS:
        call_type = received.path.rpartition("/")[2]
        return Judgement(reply=SUCCESS, discards=[discard_of(call, call_type) for call in received.calls])
    if len(received.calls) > MAX_BATCH_CALLS:
        return Judgement(reply=SUCCESS, discards=[Discard.TOO_MANY_CALLS] * len(received.calls))
    if not received.calls:
        return Judgement(reply=SUCCESS, discards=[], request_discard=Discard.EMPTY_BATCH)
    discards = [discard_of(call, None) for call in received.calls]
    some_dropped = any(discards) and not all(discards)
    return Judgement(
        reply=SUCCESS, discards=discards, request_discard=Discard.MULTI_USER_ERROR if some_dropped else None
    )


def refuse(received: Received, reply: Reply) -> Judgement:
    """Answer ``reply`` to a request, and accept none of its calls."""
    return Judgement(reply=reply, discards=[None] * len(received.calls))


def answer_settings(
    write_key: str, region: str, required_keys: Container[str] | None = None, known_keys: Container[str] | None = None
) -> Reply:
    """Answer a request for the settings of a source, by which Segment's own libraries and others check a write key.

    Args:
        write_key: the key in the path.
        region: ``us`` or ``eu``: where the source takes its events, which its settings tell.
        required_keys: as in `judge`.
        known_keys: as in `judge`.
    """
    is_known = known_keys is None or write_key in known_keys
    if not is_known or _key_refusal(write_key, required_keys):
        return NO_SOURCE
    segment = {"apiHost": f"{HOSTS[region]}/v1"}
    return Reply(200, orjson.dumps({"integrations": {"Segment.io": segment}}).decode(), JSON_HEADERS)


def compact(value: Json) -> bytes | None:
    """A decoded JSON value as compact UTF-8 JSON; None if it is nested too deeply to be written (over 254 levels)."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None


def _decompress(encoding: str, raw: bytes) -> bytes | Reply:
    if encoding in {"", "identity"}:
        return raw
    if encoding != "gzip":
        return BAD_REQUEST
    stream = isal_zlib.decompressobj(wbits=31)
    try:
        body: bytes = stream.decompress(raw, MAX_BODY_BYTES)
    except isal_zlib.error:  # type: ignore[misc]  # its stub does not say that it is an exception
        return BAD_REQUEST
    if stream.eof:
        return body
    return TOO_LARGE if len(body) == MAX_BODY_BYTES else BAD_REQUEST


def _calls(path: str, document: Json) -> list[Json] | None:
    """The calls of a decoded body; None if it does not have the right shape."""
    if not isinstance(document, dict):
        return None
    if path not in BATCH_PATHS:
        return [document]
    calls = document.get("batch", [])
    return calls if isinstance(calls, list) else None


def _basic_user(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        user, colon, _ = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return user if colon else ""


def _key_refusal(write_key: str, required_keys: Container[str] | None) -> Reply | None:
    if len(write_key) < MIN_WRITE_KEY_CHARACTERS:
        return BAD_WRITE_KEY
    if required_keys is not None and write_key not in required_keys:
        return REQUIRED_WRITE_KEY_MISSING
    return None


def _size_refusal(received: Received) -> Reply | None:
    if received.size_bytes <= MAX_CALL_BYTES:
        return None
    if received.path not in BATCH_PATHS or received.size_bytes > MAX_BATCH_BYTES:
        return TOO_LARGE
    return TOO_LARGE if any(_is_too_large(call) for call in received.calls) else None


def _is_too_large(call: Json) -> bool:
    body = compact(call)
    return body is None or len(body) > MAX_CALL_BYTES
