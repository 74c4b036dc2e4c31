"""Segment's signature of a webhook request: lower-case hex HMAC-SHA1 of the bytes that were sent.

Of a batch Segment signs only the first call, and whoever has seen one such request can replace all other calls. What
a right signature covers is therefore told with it. Everything works on the bytes as received: JSON that was read and
written again differs in blanks, escapes and numbers. Source: Segment docs, "Webhooks (Actions)", and its open source.
"""

import enum
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from streamer.core.inbound.body import BLANKS, end_of_value

HEADER: Final = "X-Signature"

_WRAPPER: Final = '[{"json":'
"""How a batch begins whose calls are wrapped: the extensible webhook sends these."""


class Coverage(enum.IntEnum):
    """What a signature proves to come from Segment."""

    NOTHING = 0
    """It is wrong."""
    FIRST_CALL = 1
    WHOLE_BODY = 2

    def covers(self, index: int) -> bool:
        """Whether it covers the call with this index, from 0."""
        return self is Coverage.WHOLE_BODY or (self is Coverage.FIRST_CALL and index == 0)


def check(body: bytes, signature: str, secrets: Sequence[str]) -> Coverage:
    """What of a body a signature covers; how long this takes tells nothing of a secret.

    Args:
        body: as received, after decompression.
        signature: value of the header; upper case, and blanks around it, do no harm.
        secrets: shared secrets of the webhook, any of which may have signed.
    """
    given = signature.strip().lower().encode(errors="replace")
    coverage = Coverage.NOTHING
    for text, covered in signed_texts(body):
        for secret in secrets:
            if hmac.compare_digest(_digest(secret, text), given):
                coverage = max(coverage, covered)
    return coverage


def sign(secret: str, body: bytes) -> str:
    """The signature that Segment sends with a body: of the first call if it is a batch, else of the whole body."""
    return _digest(secret, signed_texts(body)[-1][0]).decode()


def signed_texts(body: bytes) -> list[tuple[bytes, Coverage]]:
    """What Segment may have signed of a body, and what is proved by it. The last is what it signs today."""
    texts = [(body, Coverage.WHOLE_BODY)]
    if not body.startswith(b"["):
        return texts
    text = body.decode(errors="surrogateescape")
    element_end = end_of_value(text, 1)
    if element_end is None:
        return texts
    texts.append((_encode(text[1:element_end]), Coverage.FIRST_CALL))
    if text.startswith(_WRAPPER):
        end = end_of_value(text, len(_WRAPPER))
        # With anything else in the wrapper, the call would not be what was signed.
        if end is not None and text[end:element_end].strip(BLANKS) == "}":
            texts.append((_encode(text[len(_WRAPPER) : end]), Coverage.FIRST_CALL))
    return texts


def _digest(secret: str, text: bytes) -> bytes:
    return hmac.new(_encode(secret), text, hashlib.sha1).hexdigest().encode()


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
