"""What became of calls, counted and logged one by one."""

from collections import Counter
from typing import Final, NamedTuple

from streamer.core.inbound.call import Applied, Call, CallOutcome, Ignored, Rejected, Remark
from streamer.core.model import DeadLetterReason
from streamer.logs import Event, logger
from streamer.logs.events import DEBUG, INFO
from streamer.status.histogram import DURATION_SECONDS, Histogram

OTHER_TYPE: Final = "_other"
"""Stands for the type of calls that have none, or an unknown one."""


class CallKind(NamedTuple):
    """The labels by which calls are counted."""

    partition: int
    type: str
    outcome: CallOutcome
    reason: str
    """Empty for applied ones and duplicates."""


class Tally:
    """Outlives pipelines. The calls of a partition add up with its account."""

    def __init__(self, *, environment: str | None, is_debugging: bool) -> None:
        self.calls: Counter[CallKind] = Counter()
        self.remarks: Counter[Remark] = Counter()
        self.transaction_seconds = Histogram(DURATION_SECONDS)
        self._environment = environment
        self._level = INFO if is_debugging else DEBUG

    def note(self, partition: int, call: Call | Ignored | Rejected, end: Applied, *, ends_here: bool) -> None:
        """A call was applied or ignored, or is a duplicate.

        Args:
            partition: of its record.
            call: as it was read.
            end: what became of it.
            ends_here: whether its record ends here; if not, whoever has its partition now counts it.
        """
        if ends_here:
            self.calls[CallKind(partition, call.type_label, end.outcome, end.reason or "")] += 1
        self.remarks.update(end.remarks)
        if end.outcome is CallOutcome.APPLIED:
            if logger().writes(self._level) and isinstance(call, Call):
                self._tell_applied(call, end)
        elif logger().writes(DEBUG):
            _tell_unapplied(call, end)

    def note_dead_lettered(self, partition: int, type_label: str, reason: DeadLetterReason) -> None:
        """The dead letter of a call is confirmed."""
        self.calls[CallKind(partition, type_label, CallOutcome.DEAD_LETTERED, reason.value)] += 1

    def _tell_applied(self, call: Call, end: Applied) -> None:
        logger().emit_at(
            Event.CALL_APPLIED,
            self._level,
            action=call.action.value,
            webhook=call.webhook,
            message_id=call.message_id,
            user_id=call.user_id,
            anonymous_id=call.anonymous_id,
            previous_id=call.previous_id,
            username=end.username,
            matched_by=end.matched_by.value,
            linked=end.linked,
            values_written=end.values_written,
            remarks=_remarks(end),
            environment=self._environment,
        )


def _tell_unapplied(call: Call | Ignored | Rejected, end: Applied) -> None:
    webhook = call.webhook if isinstance(call, Call) else None
    if end.outcome is CallOutcome.DUPLICATE:
        logger().emit(Event.CALL_DUPLICATE, webhook=webhook, message_id=call.message_id)
    else:
        logger().emit(
            Event.CALL_IGNORED, webhook=webhook, message_id=call.message_id, reason=end.reason, remarks=_remarks(end)
        )


def _remarks(end: Applied) -> list[str] | None:
    return [remark.value for remark in end.remarks] or None
