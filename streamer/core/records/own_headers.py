"""Headers that streamer's own records have: calls of webhooks, profiles and triggers.

They belong to the record and go with it into a dead letter and back. All others of ours are about dead letters.
"""

from typing import Final

WEBHOOK: Final = "streamer.webhook"
RECEIVED: Final = "streamer.received"
"""RFC 3339 with milliseconds and ``Z``."""
AUTHENTICATED: Final = "streamer.authenticated"
"""``true`` or ``false``."""
BATCH_INDEX: Final = "streamer.batch_index"
"""Place of the call in its request, from 0."""
BATCH_SIZE: Final = "streamer.batch_size"

SCHEMA: Final = "streamer.schema"
CHANGE: Final = "streamer.change"
SUCCESSOR: Final = "streamer.successor"
"""On the tombstone of a profile: the name under which the user lives on."""

OWN_HEADERS: Final = frozenset({WEBHOOK, RECEIVED, AUTHENTICATED, BATCH_INDEX, BATCH_SIZE, SCHEMA, CHANGE, SUCCESSOR})
"""All of them."""
