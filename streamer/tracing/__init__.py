"""Traces: where the time of a batch goes, from the poll to the commit, as spans of OpenTelemetry.

    poll T          what one poll brought of a topic
    deliver T       one batch on its way to its answer; links to the contexts that producers put into its records
      `-- POST      its HTTP request, which carries the context on
    commit T        positions stored
    send T.dlq      one dead letter

One span a batch, never one a record. `spans.py` is all that the rest of the service sees of it; without an endpoint
in the standard variables (`switch.py`) nothing of OpenTelemetry is loaded. `open_telemetry.py` makes the spans,
`exporting.py` hands them over to a thread that sends them.
"""

from streamer.tracing.configuring import configured
from streamer.tracing.spans import NO_SPAN, Span, Tracer, tracer
from streamer.tracing.switch import Switch, switch_of

__all__ = ["NO_SPAN", "Span", "Switch", "Tracer", "configured", "switch_of", "tracer"]
