"""Whether there are traces, and where they go: OpenTelemetry's standard variables decide, and nothing else does."""

import importlib.util
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_PATH: Final = "/v1/traces"
_PROTOCOL: Final = "http/protobuf"


class Switch(NamedTuple):
    """What the environment says."""

    is_on: bool
    endpoint: str = ""
    """Where spans are sent, without credentials."""
    problem: str = ""
    """Why there are none although somebody wants them."""

    def __str__(self) -> str:
        if self.is_on:
            return f"traces: on, sent to {self.endpoint}"
        return "traces: off" if self.problem else "traces: off (OTEL_EXPORTER_OTLP_ENDPOINT turns them on)"


def switch_of(environment: Mapping[str, str]) -> Switch:
    """What these variables of the environment say."""

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    own, shared = value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), value("OTEL_EXPORTER_OTLP_ENDPOINT")
    exporter = value("OTEL_TRACES_EXPORTER") or "otlp"
    if value("OTEL_SDK_DISABLED").lower() == "true" or exporter == "none" or not (own or shared):
        return Switch(is_on=False)
    if exporter != "otlp":
        return _no("OTEL_TRACES_EXPORTER asks for an exporter that streamer does not have; set it to otlp or none")
    protocol = value("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or value("OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL
    if protocol != _PROTOCOL:
        return _no(
            f"OTEL_EXPORTER_OTLP_PROTOCOL asks for a protocol that streamer does not have; set it to {_PROTOCOL}, and"
            " the endpoint to the port of the collector for it (4318 by default)"
        )
    endpoint = shown_url(own or shared.rstrip("/") + _PATH)
    if not endpoint:
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if own else "OTEL_EXPORTER_OTLP_ENDPOINT"
        return _no(f"{name} is not a URL that begins with http:// or https://")
    if not _has_extra():
        return _no("OpenTelemetry is not installed; install survey-streamer[otel]")
    return Switch(is_on=True, endpoint=endpoint)


def _no(problem: str) -> Switch:
    return Switch(is_on=False, problem=f"no traces are sent: {problem}")


def _has_extra() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


def shown_url(url: str) -> str:
    """A URL without its query, and with REDACTED for its credentials; "" if it is none of HTTP."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    credentials, at, address = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{'REDACTED:REDACTED@' if at and credentials else ''}{address}{parts.path}"
