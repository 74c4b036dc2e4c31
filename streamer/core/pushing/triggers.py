"""Triggers: what a user of the directory did -> an event at the platform.

Neither API compares ids, so a repeated record would be a second event. Its messageId keeps it from being sent.
"""

from typing import Final

from streamer.core.mapping.naming import name
from streamer.core.model import Filtered, FilterReason, MappingSettings, TrackCall
from streamer.core.pushing.mapper import Headers, PushMapper

CONTRACT: Final = "trigger"
_TOMBSTONE: Final = Filtered(FilterReason.TOMBSTONE)
_NO_IDENTITY: Final = Filtered(FilterReason.NO_IDENTITY)
_EVENT_DISABLED: Final = Filtered(FilterReason.EVENT_DISABLED)


class TriggerMapper(PushMapper):
    """Maps the records of ``surveys.triggers``."""

    keeps_latest = False
    schema_header = b"trigger.1"

    def __init__(self, settings: MappingSettings) -> None:
        super().__init__(settings, CONTRACT)

    def map(
        self, value: bytes | None, _record_time_ms: int, headers: Headers = (), _key: bytes | None = None
    ) -> TrackCall | Filtered:
        """The call of one record, or the rule by which it makes none.

        Args:
            value: the record's value.
            headers: the record's headers.

        Raises:
            RecordError: no reading of the record is right, or its call cannot be sent.
        """
        if value is None:
            return _TOMBSTONE
        filtered = self._filtered(headers)
        if filtered is not None:
            return filtered
        trigger = self._document(value, headers)
        event = trigger["event"]
        if event in self._settings.disabled:
            return _EVENT_DISABLED
        if trigger["username"] is None:
            return _NO_IDENTITY
        message_id = trigger["messageId"]
        try:
            call = self._api.track(trigger, self._settings.rename.get(event, event), self._note)
        except Exception as error:
            name(error, message_id, "")
            raise
        return TrackCall(message_id, call)
