"""Checks of destinations: their keys, what has no effect with their kind, and which dialects go with it."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing import APIS, PUSHES
from streamer.settings.clash import Clash
from streamer.settings.destinations import DestinationSettings
from streamer.settings.document import KeyPath
from streamer.settings.model import IntegrationSettings

_ONLY_OF_SEGMENT: Final = (
    *("write_key", "write_key_file", "region", "settings_endpoint", "message_id_suffix", "batch", "gzip"),
)
_ONLY_OF_APIS: Final = ("api_key", "api_key_file")


def of_destination(path: KeyPath, destination: DestinationSettings) -> Iterator[Clash]:
    """What one destination lacks, has twice, or has for nothing."""
    key, given = destination.key_setting, destination.model_fields_set
    others = _ONLY_OF_APIS if destination.kind == "segment" else _ONLY_OF_SEGMENT
    for setting in (name for name in others if name in given):
        text = f"has no effect with kind {destination.kind}; remove it"
        yield Clash((*path, setting), text, ((*path, "kind"),))
    is_given, is_in_file = getattr(destination, key) is not None, getattr(destination, f"{key}_file") is not None
    if not is_given and not is_in_file:
        example = "SEGMENT_WRITE_KEY" if destination.kind == "segment" else f"{destination.kind.upper()}_API_KEY"
        yield Clash((*path, key), f"is missing; set it, for example to ${{{example}}}, or set {key}_file")
    if is_given and is_in_file:
        yield Clash((*path, key), f"is set twice; set it or {key}_file")
    if destination.ca_file is not None and (fault := _ca_file_fault(destination.ca_file)):
        yield Clash((*path, "ca_file"), fault)
    if destination.endpoint is not None and "region" in given and destination.kind == "segment":
        yield Clash((*path, "region"), "cannot be combined with endpoint; set one of them", ((*path, "endpoint"),))


def _ca_file_fault(file: Path) -> str | None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        return "holds no certificate; it should be a PEM file"
    except OSError as error:
        return f"cannot be read: {error.strerror}; mount the file or correct the path"
    return None


def of_kind(
    path: KeyPath, integration: IntegrationSettings, destinations: Mapping[str, DestinationSettings]
) -> Iterator[Clash]:
    """A dialect whose calls the destination's API does not know."""
    destination = destinations.get(integration.destination)
    if destination is None or (integration.dialect in PUSHES) == (destination.kind != "segment"):
        return
    known = " or ".join(PUSHES if destination.kind != "segment" else ("a dialect of survey events",))
    needed = "segment" if integration.dialect in DIALECTS else " or ".join(APIS)
    yield Clash(
        (*path, "dialect"),
        f"does not go with {integration.destination}, which has kind {destination.kind}; choose {known},"
        f" or a destination of kind {needed}",
        ((*path, "destination"), ("destinations", integration.destination, "kind")),
    )
