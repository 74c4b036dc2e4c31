"""E-mail addresses: how they are stored, and what counts as the same address."""

import unicodedata
from typing import Final

MAX_EMAIL_CHARACTERS: Final = 320
"""Longest address that is used: 64 characters, "@", 255 characters."""


def stored(text: str) -> str | None:
    """The address as it is stored: without white space around it. None: it is empty, so there is none.

    Raises:
        ValueError: it is too long, or has control characters. The text never quotes it.
    """
    address = text.strip()
    if len(address) > MAX_EMAIL_CHARACTERS:
        raise ValueError(f"an e-mail address of more than {MAX_EMAIL_CHARACTERS} characters")
    if not address.isprintable() and any(unicodedata.category(character) == "Cc" for character in address):
        raise ValueError("an e-mail address with control characters")
    return address or None


def compared(text: str) -> str:
    """The key under which a stored address is found: without regard to case, and to how letters are composed.

    No language counts: a dotless i is no "i". Domains, dots and "+tags" count as they are written.
    """
    if text.isascii():
        return text.strip().lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).casefold())
