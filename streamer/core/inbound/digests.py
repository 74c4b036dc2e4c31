"""Digests under which the directory remembers messageIds and deleted ids, so that no readable one stays."""

import hashlib
from typing import Final

_MESSAGE_BYTES: Final = 16
_MADE_UP_DIGITS: Final = 40


def message_digest(message_id: str) -> bytes:
    """16 bytes for a messageId."""
    return hashlib.blake2b(message_id.encode(), digest_size=_MESSAGE_BYTES).digest()


def name_mark(name: str) -> bytes:
    """32 bytes for the userId of somebody who was deleted."""
    return _mark("name", name)


def device_mark(anonymous_id: str) -> bytes:
    """32 bytes for the anonymousId of somebody who was deleted."""
    return _mark("device", anonymous_id)


def sign_out_mark(name: str) -> bytes:
    """32 bytes for a userId that signed out of all devices before anything else was known of it."""
    return _mark("sign_out", name)


def made_up_message_id(value: bytes) -> str:
    """The messageId of a call that has none: the same bytes have the same, so that they count once."""
    return f"call_{hashlib.sha256(value).hexdigest()[:_MADE_UP_DIGITS]}"


def _mark(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}:{text}".encode()).digest()
