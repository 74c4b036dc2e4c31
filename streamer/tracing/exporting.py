"""Sends spans to a collector, from a thread of its own: delivery never waits for it, whatever it does.

At most `OTEL_BSP_MAX_QUEUE_SIZE` spans wait, 2,048 by default; further ones are dropped and counted. A collector that
does not answer costs one line in the log, and another one when it answers again.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from streamer import __version__
from streamer.logs import Event, logger
from streamer.tracing.open_telemetry import OpenTelemetryTracer

MAX_QUEUE_SPANS: Final = 2_048
"""Spans that wait to be sent, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise."""

CLOSE_SECONDS: Final = 2.0
"""Longest time to send what is left when the process ends."""

_BATCH_SPANS: Final = 512
"""Spans of one export, as the library has it."""

_LOOK_SECONDS: Final = 0.05
_NOT_TAKEN: Final = (
    "OpenTelemetry does not understand the value of a variable (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG,"
    " OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, ...) and does without it; traces are sent"
)
_LIBRARIES: Final = ("opentelemetry", "requests", "urllib3")
"""What works in the thread of the export. Our log is written by the event loop alone."""

_STATUSES: Final = range(100, 600)


class CountingExporter(SpanExporter):
    """Counts what becomes of spans. The thread of the export writes the numbers, the event loop reads them."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.taken = 0
        self.exported = 0
        self.failed = 0
        self.is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        finally:
            self.is_failing = result is not SpanExportResult.SUCCESS
            if self.is_failing:
                self.failed += len(spans)
            else:
                self.exported += len(spans)
        return result

    def shutdown(self) -> None:
        """Send nothing any more."""
        self._inner.shutdown()


class BoundedProcessor(BatchSpanProcessor):
    """Drops spans when too many wait. The library would drop others than these, and log each one."""

    def __init__(self, exporter: CountingExporter, *, max_spans: int) -> None:
        # A batch cannot be larger than the queue; otherwise OTEL_BSP_MAX_EXPORT_BATCH_SIZE or the library decides.
        batch = max_spans if max_spans < _BATCH_SPANS else None
        super().__init__(exporter, max_queue_size=max_spans, max_export_batch_size=batch)
        self._exporter = exporter
        self._max_spans = max_spans
        self._admitted = 0
        self.dropped = 0

    @property
    def unsent(self) -> int:
        """Spans that wait or are being sent."""
        return self._admitted - self._exporter.exported - self._exporter.failed

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._admitted - self._exporter.taken >= self._max_spans:
            self.dropped += 1
            return
        self._admitted += 1
        super().on_end(span)


class LibraryLines(logging.Handler):
    """Takes what the libraries log, from whatever thread. Nothing is passed on: it may quote headers with keys."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines = 0
        self.cause = ""
        """Why the last export failed."""
        self._loggers = [logging.getLogger(name) for name in _LIBRARIES]
        self._propagated = [library.propagate for library in self._loggers]

    def attach(self) -> None:
        """Take its lines from now on."""
        for library in self._loggers:
            library.addHandler(self)
            library.propagate = False

    def detach(self) -> None:
        """Let them go where they went before."""
        for library, propagated in zip(self._loggers, self._propagated, strict=True):
            library.removeHandler(self)
            library.propagate = propagated

    def emit(self, record: logging.LogRecord) -> None:
        """Note a status or the type of an error."""
        self.lines += 1
        for part in record.args if isinstance(record.args, tuple) else ():
            if isinstance(part, Exception):
                self.cause = f"the collector cannot be reached ({type(part).__name__})"
            elif isinstance(part, int) and part in _STATUSES:
                self.cause = f"the collector answered with HTTP status {part}"


class ExportingTracer(OpenTelemetryTracer):
    """Makes spans and has them exported: a `streamer.tracing.spans.Tracer`."""

    def __init__(
        self,
        exporter: SpanExporter,
        groups: Mapping[str, str],
        lines: LibraryLines,
        *,
        max_spans: int = MAX_QUEUE_SPANS,
        has_older_names: bool = False,
    ) -> None:
        """Start the thread of the export.

        Args:
            exporter: sends spans.
            groups: the consumer group of each integration.
            lines: has been attached; is detached at the end.
            max_spans: how many spans may wait.
            has_older_names: whether attributes are written under their older names as well.
        """
        self._exporter = CountingExporter(exporter)
        self._processor = BoundedProcessor(self._exporter, max_spans=max_spans)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._lines = lines
        self._told_failing = False
        super().__init__(self._provider.get_tracer("streamer", __version__), groups, has_older_names=has_older_names)

    def counts(self) -> Mapping[str, int]:
        """How many spans were exported, failed to be, or were dropped."""
        return {
            "exported": self._exporter.exported,
            "failed": self._exporter.failed,
            "dropped": self._processor.dropped,
        }

    def tell(self) -> None:
        """Log when the export begins to fail, and when it works again."""
        is_failing = self._exporter.is_failing
        if is_failing is self._told_failing:
            return
        self._told_failing = is_failing
        spans = self._exporter.failed + self._processor.dropped
        if is_failing:
            detail = self._lines.cause or "the collector did not answer in time"
            logger().emit(Event.TRACES_LOST, detail=detail, spans=spans)
        else:
            logger().emit(Event.TRACES_RESUMED, spans=spans)

    def close(self, is_forced: Callable[[], bool]) -> None:
        """Export what is left, for `CLOSE_SECONDS` at most."""
        # A daemon, as the library's own thread is: neither may keep the process from ending.
        closing = threading.Thread(target=self._provider.shutdown, name="end of the traces", daemon=True)
        closing.start()
        end = time.monotonic() + CLOSE_SECONDS
        while closing.is_alive() and time.monotonic() < end and not is_forced():
            closing.join(_LOOK_SECONDS)
        if closing.is_alive():
            self._exporter.shutdown()  # it ends the wait for another attempt
            lost = self._processor.unsent + self._exporter.failed + self._processor.dropped
            logger().emit(Event.TRACES_LOST, detail="the service ended before the collector had them", spans=lost)
        else:
            self.tell()
        self._lines.detach()


def open_tracer(groups: Mapping[str, str]) -> ExportingTracer:
    """A tracer as the standard variables describe it; ``groups`` as for `ExportingTracer`.

    Raises:
        ValueError: a variable has a value that OpenTelemetry does not take.
    """
    opt_in = os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")
    lines = LibraryLines()
    lines.attach()
    try:
        opened = ExportingTracer(
            OTLPSpanExporter(),
            groups,
            lines,
            max_spans=int(os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or MAX_QUEUE_SPANS),
            has_older_names="messaging/dup" in {choice.strip() for choice in opt_in},
        )
    except BaseException:
        lines.detach()
        raise
    if lines.lines:
        logger().emit(Event.TRACES_MISCONFIGURED, detail=_NOT_TAKEN)
    return opened


def _resource() -> Resource:
    """What the variables say of the service, over what is known anyway."""
    said = OTELResourceDetector().detect().attributes
    return Resource.create({SERVICE_NAME: "streamer", SERVICE_VERSION: __version__, **said})
