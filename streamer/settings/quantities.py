"""Reads durations and sizes as people write them: ``15s``, ``100ms``, ``64MiB``."""

import math
import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_BYTES: Final = {
    "": 1,
    "B": 1,
    "KB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)")
"""A number without sign or exponent, and a unit. Its length is bounded, so that no input can take long to read."""

DURATION_PATTERN: Final = f"^(0|[0-9]+([.][0-9]+)? ?({'|'.join(_SECONDS)}))$"
"""A duration as a regular expression of JSON Schema, for editors."""
SIZE_PATTERN: Final = f"^[0-9]+([.][0-9]+)? ?({'|'.join(_BYTES)})$"
"""A size in the same way."""


def parse_duration(text: object) -> float:
    """Seconds in ``text``: a number with the unit ms, s, m, h or d (``1.5h``).

    0 needs no unit. What is a number already, and no text, is seconds: code says its unit elsewhere, people do not.

    Raises:
        ValueError: it is not a duration; the text of the error does not repeat it.
    """
    number, unit = _split(text)
    if number and not unit and isinstance(text, str):
        raise ValueError("has no unit (write a number with ms, s, m, h or d, such as 100ms, 15s or 6h)")
    if number is None or unit not in {"", *_SECONDS}:
        raise ValueError("is not a duration (write a number with ms, s, m, h or d, such as 100ms, 15s or 6h)")
    # Divided, not multiplied by 0.001, which has no exact binary form: 100ms is 0.1 and not 0.1000...01.
    return number / 1_000 if unit == "ms" else number * _SECONDS.get(unit, 1.0)


def parse_size(text: object) -> int:
    """Bytes in ``text``: a number with B, KB, MB, GB (powers of 1,000), KiB, MiB or GiB (of 1,024), or plain bytes.

    The names of settings say that they are bytes, so a plain number is one of bytes. Below 1,000 a unit was forgotten.

    Raises:
        ValueError: it is not a whole number of bytes; the text of the error does not repeat it.
    """
    number, unit = _split(text)
    if number and number < _BYTES["KB"] and number.is_integer() and not unit and isinstance(text, str):
        raise ValueError("has no unit (write it with KB, MB, GB, KiB, MiB or GiB, such as 64MiB; B for so few bytes)")
    if number is None or unit not in _BYTES or not (number * _BYTES[unit]).is_integer():
        raise ValueError(
            "is not a size (write a number of bytes, or a number with KB, MB, GB, KiB, MiB or GiB, such as 480KB)"
        )
    return int(number * _BYTES[unit])


def _split(text: object) -> tuple[float | None, str]:
    """Number and unit of a quantity; the number is None if the value is no quantity."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return (float(text), "") if math.isfinite(text) and text >= 0 else (None, "")
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    return (float(match[1]), match[2]) if match else (None, "")
