"""Text on the page: escaped, and with nothing in it that changes how the text around it is shown. Pure."""

import html
import re
from datetime import UTC, datetime
from typing import Final

_HIDDEN: Final = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
)
_SHOWN: Final = {code: f"\\u{code:04x}" for code in _HIDDEN}
"""Control characters and those that turn the direction of writing, as JSON would escape them."""


def text(raw: object) -> str:
    """A text for HTML, in an element or in a quoted attribute."""
    plain = str(raw)
    if not plain.isprintable():  # nearly every text is, and looking is much faster than translating
        plain = plain.translate(_SHOWN)
    return html.escape(plain, quote=True)


def name(raw: object) -> str:
    """A name for HTML that may be longer than its line: it may be broken after punctuation, and nowhere else."""
    return re.sub(r"(?<=[-._/:])(?=\w)", "<wbr>", text(raw))


def count(number: int) -> str:
    """A number of things, such as 12,431."""
    return f"{number:,}"


def things(number: int, noun: str) -> str:
    """A number of things with their name, such as 1 call or 12,431 calls."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def rate(per_second: float) -> str:
    """A rate: one decimal below 10."""
    return f"{per_second:.1f}" if per_second < 10 else f"{per_second:,.0f}"  # noqa: PLR2004 - for the reader's eye


def duration(seconds: float) -> str:
    """A duration in whole seconds, such as 45 s or 3 min 5 s."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def clock_time(epoch_seconds: float) -> str:
    """An instant as an element with its time of day in UTC; the date is in the attribute."""
    instant = datetime.fromtimestamp(epoch_seconds, UTC)
    shown = f"{instant:%H:%M:%S}.{instant.microsecond // 1000:03}"
    return f'<time datetime="{instant:%Y-%m-%dT}{shown}Z">{shown}</time>'
