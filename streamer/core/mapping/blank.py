"""Texts in which a person sees nothing. As an id, such a text would make one person of many."""

import re
from typing import Final

VISIBLE: Final = (
    r"[^\s\u0000-\u001f\u007f-\u00a0\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\u2800\u3164\ufeff]"
)
"""Pattern of a character that is no blank, no control and has a width. Schemas ask for one in each id."""

_VISIBLE: Final = re.compile(VISIBLE)


def is_blank(text: str) -> bool:
    """Whether there is nothing to be seen in a text: it is empty, or all blanks, zero-width characters and controls."""
    # Nearly every text begins with a visible character of ASCII, and that is cheaper to see.
    return not "!" <= text < "\x7f" and _VISIBLE.search(text) is None
