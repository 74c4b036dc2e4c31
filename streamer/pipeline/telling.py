"""What the log says of the requests of an integration: one line for each, with the trace that it is a part of."""

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.shipping import Aftermath
from streamer.logs import Event, logger
from streamer.tracing import Span


class Teller:
    """Tells what became of batches."""

    def __init__(self, integration: str, destination: str) -> None:
        self._integration = integration
        self._destination = destination

    def delivered(self, calls: int, duration_seconds: float, span: Span) -> None:
        """The destination has accepted a batch."""
        self._emit(Event.BATCH_DELIVERED, calls, span, duration_seconds=round(duration_seconds, 3))

    def failed(self, aftermath: Aftermath, calls: int, answer: Answer, span: Span) -> None:
        """It has not: its calls wait, or it is divided, or neither is worth a line."""
        if aftermath.attempts:
            self._emit(
                Event.BATCH_RETRYING,
                calls,
                span,
                attempt=aftermath.attempts,
                error_type=answer.error,
                wait_seconds=round(aftermath.wait_seconds, 1),
            )
        if aftermath.is_split:
            self._emit(Event.BATCH_SPLIT, calls, span, status=answer.status)

    def _emit(self, event: Event, calls: int, span: Span, **fields: object) -> None:
        logger().emit(
            event,
            integration=self._integration,
            destination=self._destination,
            calls=calls,
            **fields,
            trace_id=span.trace_id,
            span_id=span.span_id,
        )
