"""Which destination receipts belong to: what was delivered to another one proves nothing.

A receipt says that a messageId was delivered with one write key to one host. After a wrong region or key is corrected,
the events have to go out again.
"""

import json
from hashlib import blake2b
from typing import Final, Protocol

_PURPOSE: Final = b"receipts: where"
"""Keeps the value from being compared with another hash of the same key."""

_BYTES: Final = 16


def destination_fingerprint(url: str, write_key: str, message_id_suffix: str) -> str:
    """32 hexadecimal digits that change with any of the three, for the files of receipts.

    The key cannot be found from it. Segment's keys are 32 random letters and digits: nobody can try them all, so a slow
    hash or a salt would add nothing. A key that a person made up for an endpoint of their own could be guessed, by
    somebody who may read ``state_dir``.
    """
    parts = json.dumps([url, write_key, message_id_suffix])
    return blake2b(parts.encode(), digest_size=_BYTES, person=_PURPOSE).hexdigest()


class OtherDestinationError(Exception):
    """What is in a file of receipts was delivered to another destination."""


class Transaction(Protocol):
    """Reads and writes the table that says what the file is."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value of a key; None: there is none."""

    def put(self, key: bytes, value: bytes, /) -> object:
        """Store a value."""


def belong_to(fingerprint: str, meta: Transaction) -> None:
    """Compare a destination with the stored one, and store it; a file of a version that stored none is taken as ours.

    Raises:
        OtherDestinationError: the file belongs to another one.
    """
    stored = meta.get(b"destination")
    if stored is not None and bytes(stored) != fingerprint.encode():
        raise OtherDestinationError
    meta.put(b"destination", fingerprint.encode())
