"""Is a call one that streamer, or a survey platform's own integration, sent to Segment itself?"""

import re
from collections.abc import Mapping
from typing import Final

from streamer.core.model import Json

_INTEGRATIONS: Final = frozenset({"sprig", "product-fruits", "streamer"})
_LIBRARY: Final = "streamer"
_MESSAGE_ID: Final = re.compile("(?:spr|pf)_[0-9a-f]{40}")


def is_own(message_id: str, context: Mapping[str, Json], event: str | None, own_events: frozenset[str]) -> bool:
    """Whether a call only comes back.

    Args:
        message_id: of the call.
        context: of the call.
        event: name of a tracked event, as it stands in the call; None: it tracks none.
        own_events: names of the events that streamer sends.
    """
    return (
        event in own_events
        or _name(context.get("integration")) in _INTEGRATIONS
        or _name(context.get("library")) == _LIBRARY
        or _MESSAGE_ID.fullmatch(message_id) is not None
    )


def _name(part: Json) -> str | None:
    name = part.get("name") if isinstance(part, dict) else None
    return name if isinstance(name, str) else None
