"""Turns traces on where the environment says so, and off again at the end of the process."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from streamer.logs import Event, logger
from streamer.tracing.spans import NO_TRACER, Tracer, using
from streamer.tracing.switch import Switch


@contextlib.contextmanager
def configured(switch: Switch, groups: Mapping[str, str], is_forced: Callable[[], bool]) -> Iterator[None]:
    """Trace while the context lasts, if the environment says so. At its end, what is left is exported within seconds.

    Args:
        switch: what the environment says.
        groups: the consumer group of each integration.
        is_forced: whether the process is to end at once.
    """
    if switch.problem:
        logger().emit(Event.TRACES_MISCONFIGURED, detail=switch.problem)
    with using(_open(switch, groups), is_forced):
        yield


def _open(switch: Switch, groups: Mapping[str, str]) -> Tracer:
    if not switch.is_on:
        return NO_TRACER
    try:
        from streamer.tracing.exporting import open_tracer  # noqa: PLC0415 - it loads OpenTelemetry: the extra ``otel``

        opened = open_tracer(groups)
    except Exception as error:  # noqa: BLE001 - without traces events are delivered as well as with them
        logger().emit(
            Event.TRACES_MISCONFIGURED,
            detail=f"no traces are sent: OpenTelemetry does not start ({type(error).__name__})",
        )
        return NO_TRACER
    logger().emit(Event.TRACES_STARTED, endpoint=switch.endpoint)
    return opened
