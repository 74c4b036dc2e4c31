"""What we store beside a committed position, to know our own commits again.

An operator who resets a group's offsets leaves no metadata, or not ours: then the records are wanted again, and a
receipt of the same record does not stop them.
"""

from typing import Final

PREFIX: Final = "s1:"
"""Begins the metadata of every position that streamer commits; the digit is the version of what follows."""


def encode() -> str:
    """The metadata of a commit."""
    return PREFIX


def is_ours(metadata: str) -> bool:
    """Whether a stored position was committed by streamer."""
    return metadata.startswith(PREFIX)
