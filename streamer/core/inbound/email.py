"""E-mail addresses: which are usable, and which are the same."""

import unicodedata
from typing import Final

from streamer.core.inbound.text import has_control

MAX_CHARACTERS: Final = 320
"""Longest address: 64 characters, an at sign, and a domain of 255."""


def stored(text: str) -> str:
    """An address as it is stored: without the blanks around it. Empty: there is none."""
    return text.strip()


def is_usable(address: str) -> bool:
    """Whether an address, as `stored`, can be stored at all. It need not look like an address."""
    return len(address) <= MAX_CHARACTERS and not has_control(address)


def compared(text: str) -> str:
    """What is equal for addresses that count as the same: letter case and composition of letters do not matter.

    No language has rules of its own here, full-width letters are others, and dots and ``+tags`` count.
    """
    address = stored(text)
    if address.isascii():
        return address.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", address).casefold())
