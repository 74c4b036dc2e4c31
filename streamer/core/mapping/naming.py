"""The messageId of a record that makes no call, so that its producer finds it again.

It may be what is wrong with the record: too long, or full of characters that nobody sees. It is noted on the error, for
errors of any kind, because what failed has it at hand and nobody else does.
"""

from typing import Final

from streamer.core.mapping.blank import is_blank
from streamer.core.model import Json

MAX_CHARACTERS: Final = 200
"""Of a longer one only so many are shown."""

_NAME: Final = "streamer_message_id"


def name(error: Exception, native_id: Json, suffix: str) -> None:
    """Note on an error the messageId that its record would have; ``native_id`` may be anything that JSON can hold.

    Args:
        error: because of which the record makes no call.
        native_id: the messageId in the record. One that is no string, or in which nothing is to be seen, is none.
        suffix: appended to each messageId.
    """
    if isinstance(native_id, str) and not is_blank(native_id[:MAX_CHARACTERS]):
        vars(error)[_NAME] = "".join(map(_shown, (native_id[:MAX_CHARACTERS] + suffix)[:MAX_CHARACTERS]))


def message_id_of(error: Exception) -> str | None:
    """The messageId noted on an error; None: it cannot be read, or the record has none."""
    message_id = vars(error).get(_NAME)
    return message_id if isinstance(message_id, str) else None


def _shown(character: str) -> str:
    """A character that a header, a log and a terminal can show."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()
