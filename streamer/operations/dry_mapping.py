"""How a record would end, as far as mapping goes; nothing is sent."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamer.core.errors import RecordError
from streamer.core.model import DeadLetterReason, Filtered, Outcome, TrackCall


@dataclass(slots=True)
class DryEnd:
    """How one record ends."""

    outcome: Outcome = Outcome.DELIVERED
    reason: str | None = None
    detail: str | None = None
    call: TrackCall | None = None
    """The call, if its outcome is delivered."""
    message_id: str | None = None
    """The messageId of a record that is refused, if it can be read."""

    @property
    def is_refused(self) -> bool:
        """Whether the record would be dead-lettered."""
        return self.outcome is Outcome.DEAD_LETTERED


def dry_end(map_record: Callable[[], TrackCall | Filtered]) -> DryEnd:
    """How a record ends; a bug of ours on one record is shown as the service would treat it."""
    from streamer.core.mapping.naming import message_id_of  # noqa: PLC0415 - each command imports this module, no mapping

    try:
        end = map_record()
    except RecordError as error:
        return DryEnd(Outcome.DEAD_LETTERED, error.reason, error.detail, message_id=message_id_of(error))
    except Exception as error:  # noqa: BLE001 - see above
        reason, place = DeadLetterReason.INTERNAL_ERROR, _place_of(error)
        return DryEnd(Outcome.DEAD_LETTERED, reason, place, message_id=message_id_of(error))
    return DryEnd(Outcome.FILTERED, end.reason) if isinstance(end, Filtered) else DryEnd(call=end)


def _place_of(error: Exception) -> str:
    """Type and place of an unexpected error; its text may quote the record."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).stem}:{frame.lineno}"
