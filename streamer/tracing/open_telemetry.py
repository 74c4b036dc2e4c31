"""Spans of OpenTelemetry, with the attributes of its conventions for messaging and HTTP.

A batch has many records, and a span can have one parent only: so it *links* to the context that each producer put into
the headers of its record (``traceparent``, ``tracestate``). Whether a span is sampled is decided when it begins, and
only then its records are looked at. No key, no value and no text of an error is in a span.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamer.core.model import Record
from streamer.logs.observing import observing
from streamer.tracing.spans import NO_SPAN, Carrier, Polled, Span
from streamer.tracing.switch import shown_url

MAX_LINKS: Final = 128
"""Most links of a span, as OpenTelemetry has it by default."""

MAX_HEADER_BYTES: Final = 1_000
"""Longest header of a record in which a context is looked for."""

TRACEPARENT: Final = "traceparent"

CONTEXTS: Final = "streamer.batch.contexts"
"""How many records of the batch have a context; more than `MAX_LINKS` of them have no link."""

_OLDER_NAMES: Final = {
    "messaging.consumer.group.name": "messaging.kafka.consumer.group",
    "messaging.destination.partition.id": "messaging.kafka.destination.partition",
    "messaging.kafka.offset": "messaging.kafka.message.offset",
    "messaging.operation.type": "messaging.operation",
}
"""Written as well if OTEL_SEMCONV_STABILITY_OPT_IN has messaging/dup."""

Headers = Sequence[tuple[str, bytes | None]]
_Attributes = dict[str, str | int]


class _OfRecord(Getter[Headers]):
    """Reads headers of a record."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        values = [value for name, value in carrier if name.lower() == key and value is not None]
        return [value.decode(errors="replace") for value in values if len(value) <= MAX_HEADER_BYTES] or None

    def keys(self, carrier: Headers) -> list[str]:
        return [name for name, _ in carrier]


_OF_RECORD: Final = _OfRecord()
_W3C: Final = TraceContextTextMapPropagator()


class OpenTelemetrySpan:
    """A span that has begun: a `streamer.tracing.spans.Span`."""

    __slots__ = ("_span", "_token", "span_id", "trace_id")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: Any = None
        its = span.get_span_context()
        is_sampled = its.trace_flags.sampled
        self.trace_id = trace.format_trace_id(its.trace_id) if is_sampled else None
        self.span_id = trace.format_span_id(its.span_id) if is_sampled else None

    def fail(self, error_type: str) -> None:
        """Note how it failed."""
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))

    def answered(self, status: int) -> None:
        """Note the HTTP status of the answer."""
        self._span.set_attribute("http.response.status_code", status)

    def pass_on(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """These headers, and those of the context."""
        carrier = dict(headers)
        with observing("traces"):
            propagate.inject(carrier, trace.set_span_in_context(self._span, context.Context()))
        return carrier

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with observing("traces"):
            if kind is not None:
                self.fail(kind.__name__)
            context.detach(self._token)
            self._span.end()


class OpenTelemetryTracer:
    """Makes spans: a `streamer.tracing.spans.Tracer`, without their export."""

    def __init__(self, source: trace.Tracer, groups: Mapping[str, str], *, has_older_names: bool = False) -> None:
        """Begin.

        Args:
            source: OpenTelemetry's own tracer.
            groups: the consumer group of each integration.
            has_older_names: whether attributes are written under their older names as well.
        """
        self._source = source
        self._groups = groups
        self._has_older_names = has_older_names

    def regroup(self, groups: Mapping[str, str]) -> None:
        """From now on these are the consumer groups of the integrations."""
        self._groups = groups

    def process(self, operation: Literal["deliver", "apply"], integration: str, held: Sequence[Carrier]) -> Span:
        """One batch on its way to its end."""
        with observing("traces", integration=integration):
            span = self._start(operation, "process", SpanKind.CONSUMER, integration, messages=len(held))
            if span.is_recording():
                self._describe(span, operation, held)
            return OpenTelemetrySpan(span)
        return NO_SPAN

    def request(self, method: str, url: str, resend_count: int) -> Span:
        """One HTTP request of the current span."""
        with observing("traces"):
            if not trace.get_current_span().get_span_context().is_valid:
                return NO_SPAN
            parts = urlsplit(url)
            attributes: _Attributes = {
                "http.request.method": method,
                "url.full": shown_url(url),
                "server.address": parts.hostname or "",
                "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            }
            if resend_count:
                attributes["http.request.resend_count"] = resend_count
            return OpenTelemetrySpan(self._source.start_span(method, kind=SpanKind.CLIENT, attributes=attributes))
        return NO_SPAN

    def commit(self, integration: str, topics: Collection[str]) -> Span:
        """Positions that are being stored."""
        with observing("traces", integration=integration):
            topic = next(iter(topics)) if len(topics) == 1 else None
            return OpenTelemetrySpan(self._start("commit", "settle", SpanKind.CLIENT, integration, topic))
        return NO_SPAN

    def letter(self, integration: str, topic: str, record: Record, reason: str, message_id: str | None) -> Span:
        """A record that is being written to a dead-letter topic."""
        with observing("traces", integration=integration):
            span = self._start("send", "send", SpanKind.PRODUCER, integration, topic)
            if span.is_recording():
                span.set_attributes(
                    {
                        "streamer.dead_letter.reason": reason,
                        "streamer.record.topic": record.topic,
                        "streamer.record.partition": record.partition,
                        "streamer.record.offset": record.offset,
                        **({} if message_id is None else {"messaging.message.id": message_id}),
                    }
                )
                _link(span, [record])
            return OpenTelemetrySpan(span)
        return NO_SPAN

    def polled(self, integration: str, polled: Polled, began: float) -> None:
        """What a poll brought."""
        with observing("traces", integration=integration):
            counts: Counter[str] = Counter()
            for (topic, _), records in polled.items():
                counts[topic] += len(records)
            for topic, messages in counts.items():
                self._start(
                    "poll", "receive", SpanKind.CLIENT, integration, topic, messages=messages, began=began
                ).end()

    def trace_id(self) -> str | None:
        """That of the current span, if it is sampled."""
        current = trace.get_current_span().get_span_context()
        return trace.format_trace_id(current.trace_id) if current.trace_flags.sampled else None

    def _start(
        self,
        operation: str,
        operation_type: str,
        kind: SpanKind,
        integration: str,
        topic: str | None = None,
        *,
        messages: int | None = None,
        began: float | None = None,
    ) -> trace.Span:
        attributes: _Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation_type,
            "streamer.integration": integration,
        }
        if topic is not None:
            attributes["messaging.destination.name"] = topic
        if messages is not None:
            attributes["messaging.batch.message_count"] = messages
        if kind is not SpanKind.PRODUCER and integration in self._groups:
            attributes["messaging.consumer.group.name"] = self._groups[integration]
        return self._source.start_span(
            operation if topic is None else f"{operation} {topic}",
            context=context.Context(),
            kind=kind,
            attributes=self._with_older_names(attributes),
            start_time=None if began is None else int(began * 1e9),
        )

    def _describe(self, span: trace.Span, operation: str, held: Sequence[Carrier]) -> None:
        """Say which records these are: by their topic, a single one by its place, those with a context by a link."""
        topics = {one.record.topic for one in held}
        if len(topics) == 1:
            (topic,) = topics
            span.update_name(f"{operation} {topic}")
            span.set_attribute("messaging.destination.name", topic)
        if len(held) == 1:
            record = held[0].record
            place: _Attributes = {
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
            }
            message_id = getattr(held[0], "message_id", None)
            if message_id is not None:
                place["messaging.message.id"] = message_id
            span.set_attributes(self._with_older_names(place))
        contexts = _link(span, [one.record for one in held])
        if contexts:
            span.set_attribute(CONTEXTS, contexts)

    def _with_older_names(self, attributes: _Attributes) -> _Attributes:
        if not self._has_older_names:
            return attributes
        return attributes | {old: attributes[name] for name, old in _OLDER_NAMES.items() if name in attributes}


def _link(span: trace.Span, records: Sequence[Record]) -> int:
    """Link to the contexts of records, `MAX_LINKS` of them at most; returns how many records have one."""
    carrying = [record for record in records if record.headers and _has_context(record.headers)]
    seen: set[tuple[int, int]] = set()
    for record in islice(carrying, MAX_LINKS):
        found = trace.get_current_span(
            _W3C.extract(record.headers, context.Context(), getter=_OF_RECORD)
        ).get_span_context()
        its = found.trace_id, found.span_id
        if found.is_valid and its not in seen:
            seen.add(its)
            span.add_link(found)
    return len(carrying)


def _has_context(headers: Headers) -> bool:
    return any(name == TRACEPARENT for name, _ in headers)
