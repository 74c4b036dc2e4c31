"""Which texts of a call are usable."""

import re
from typing import Final

from streamer.core.mapping.blank import is_blank

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


def has_control(text: str) -> bool:
    """Whether there is a control character in a text."""
    return not (text.isascii() and text.isprintable()) and _CONTROL.search(text) is not None


def is_absent(text: str) -> bool:
    """Whether an id, a name or a messageId is as good as none: nothing of it can be seen."""
    # A control character that is no blank is a fault of the sender, not an absent id.
    return is_blank(text) and not has_control(text.strip())
