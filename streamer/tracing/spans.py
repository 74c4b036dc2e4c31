"""What the service says to a tracer, and the one that listens to nothing.

Callers write ``with tracer().process("deliver", "sprig", calls) as span:``. There is one tracer for the whole process,
as there is one log. Nothing here raises, whatever goes wrong with traces: they must not hurt delivery.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from streamer.core.model import Record
from streamer.logs.observing import observing


class Carrier(Protocol):
    """What becomes of a record on its way: a call of `streamer.core.records`, for example."""

    @property
    def record(self) -> Record:
        """What was read."""


Polled = Mapping[tuple[str, int], Sequence[Record]]
"""The records of each topic and partition."""


class Span(Protocol):
    """Something that takes time. It ends with its ``with`` block; an exception that passes is its error."""

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None: it is not sampled, and nobody will see it."""

    @property
    def span_id(self) -> str | None:
        """16 hexadecimal digits, or None as above."""

    def fail(self, error_type: str, /) -> None:
        """Note how it failed: an HTTP status, a network fault, the type of an error; one of few."""

    def answered(self, status: int, /) -> None:
        """Note the HTTP status of the answer."""

    def pass_on(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """These headers of a request, and those that name this span as the cause."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Makes spans. Those that are entered are the current one of their task; what begins in them is a part of them."""

    def process(self, operation: Literal["deliver", "apply"], integration: str, held: Sequence[Carrier], /) -> Span:
        """One batch on its way to its end."""

    def request(self, method: str, url: str, resend_count: int, /) -> Span:
        """One HTTP request of the current span; no span outside of one.

        Args:
            method: of the request.
            url: without a value of a record.
            resend_count: how often what it carries was sent before.
        """

    def commit(self, integration: str, topics: Collection[str], /) -> Span:
        """Positions that are being stored."""

    def letter(self, integration: str, topic: str, record: Record, reason: str, message_id: str | None, /) -> Span:
        """A record that is being written to a dead-letter topic."""

    def polled(self, integration: str, polled: Polled, began: float, /) -> None:
        """What a poll brought.

        Args:
            integration: that it reads for.
            polled: the records of each partition.
            began: seconds since the epoch; it has ended now.
        """

    def trace_id(self) -> str | None:
        """That of the current span, if it is sampled."""

    def regroup(self, groups: Mapping[str, str], /) -> None:
        """From now on these are the consumer groups of the integrations."""

    def counts(self) -> Mapping[str, int]:
        """How many spans were exported, failed to be, or were dropped; nothing where traces are off."""

    def tell(self) -> None:
        """Log what has changed about the export. Called on the event loop, now and then."""

    def close(self, is_forced: Callable[[], bool], /) -> None:
        """Export what is left, within seconds; not any longer once ``is_forced``."""


class NoSpan:
    """The span where traces are off, or of nothing."""

    trace_id = None
    span_id = None

    def fail(self, _error_type: str) -> None:
        """Note nothing."""

    def answered(self, _status: int) -> None:
        """Note nothing."""

    def pass_on(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers as they are."""
        return headers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


NO_SPAN: Final[Span] = NoSpan()
_NO_COUNTS: Final[Mapping[str, int]] = {}


class NoTracer:
    """The tracer where traces are off. It costs a call that does nothing."""

    def process(self, _operation: str, _integration: str, _held: Sequence[Carrier]) -> Span:
        """No span."""
        return NO_SPAN

    def request(self, _method: str, _url: str, _resend_count: int) -> Span:
        """No span."""
        return NO_SPAN

    def commit(self, _integration: str, _topics: Collection[str]) -> Span:
        """No span."""
        return NO_SPAN

    def letter(self, _integration: str, _topic: str, _record: Record, _reason: str, _message_id: str | None) -> Span:
        """No span."""
        return NO_SPAN

    def polled(self, _integration: str, _polled: Polled, _began: float) -> None:
        """No span."""

    def trace_id(self) -> str | None:
        """None."""
        return None

    def regroup(self, _groups: Mapping[str, str]) -> None:
        """Note nothing."""

    def counts(self) -> Mapping[str, int]:
        """None."""
        return _NO_COUNTS

    def tell(self) -> None:
        """Nothing to tell."""

    def close(self, _is_forced: Callable[[], bool]) -> None:
        """Nothing to close."""


NO_TRACER: Final[Tracer] = NoTracer()
_current = NO_TRACER


def tracer() -> Tracer:
    """The tracer in force."""
    return _current


@contextlib.contextmanager
def using(new: Tracer, is_forced: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Trace with ``new`` while the context lasts; then close it."""
    global _current  # noqa: PLW0603 - as the log, traces are the same for the whole process
    previous, _current = _current, new
    try:
        yield
    finally:
        _current = previous
        with observing("end of the traces"):
            new.close(is_forced)
