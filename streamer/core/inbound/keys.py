"""The key of a record of the inbound topic: calls that name the same id stay in order."""

from typing import Final

import orjson

from streamer.core.inbound.fields import FieldFault, identifier
from streamer.core.inbound.reading import unwrapped
from streamer.core.inbound.rules import MAX_CALL_BYTES

_IDS: Final = ("userId", "anonymousId", "previousId")


def key_of(value: bytes) -> bytes | None:
    """The first usable id of a call, as text; None: it has none, or cannot be read. Never raises.

    Args:
        value: the bytes of one call, as `streamer.core.inbound.body.split` returns them.
    """
    if len(value) > MAX_CALL_BYTES:
        return None
    try:
        call, _ = unwrapped(orjson.loads(value))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(call, dict):
        return None
    for name in _IDS:
        try:
            text = identifier(call, name)
        except FieldFault:
            continue
        if text is not None:
            return text.encode()
    return None
