"""Digests of ids: short and of one length, and nobody can read an id out of a deletion mark."""

import hashlib


def of_message(message_id: str) -> bytes:
    """The 16 bytes by which an applied or ignored call is known again."""
    return hashlib.blake2b(message_id.encode(), digest_size=16).digest()


def of_user(username: str) -> bytes:
    """The 32 bytes of the deletion mark of a userId."""
    return hashlib.sha256(b"user\0" + username.encode()).digest()


def of_device(anonymous_id: str) -> bytes:
    """The 32 bytes of the deletion mark of an anonymousId."""
    return hashlib.sha256(b"device\0" + anonymous_id.encode()).digest()
