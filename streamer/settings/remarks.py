"""What `streamer check` warns of: it is no fault, and hardly what was meant."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing.pushes import PUSHES
from streamer.listening import is_loopback
from streamer.settings.document import Fault, KeyPath
from streamer.settings.model import Settings
from streamer.settings.sections import HOST_DEFAULT_VARIABLE

_PREFIX: Final = "STREAMER_"
_NO_SETTINGS: Final = frozenset({"STREAMER_CONFIG", "STREAMER_COMMIT", HOST_DEFAULT_VARIABLE})
"""Variables that streamer reads, and that are no settings."""

_OF_KUBERNETES: Final = re.compile(
    r"STREAMER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*"
    r"|STREAMER_(\w+_)?PORT=(tcp|udp|sctp)://.*",
    re.DOTALL,
)
"""What Kubernetes sets in pods beside a service whose name begins with ``streamer``."""

_LIKENESS: Final = 0.9
"""How much a variable must be like a setting for the setting to be named."""


def unmatched_names(settings: Settings) -> Iterator[Fault]:
    """Names under ``events`` that no event can have, so that they do nothing."""
    for name, integration in settings.integrations.items():
        path: KeyPath = ("integrations", name, "events")
        events, known = integration.events, _event_names(settings, name)
        for key, given in (("rename", events.rename), ("disabled", events.disabled)):
            for event in given:
                if known is not None and event not in known:
                    near = get_close_matches(event, known, n=1)
                    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
                    text = f"has {event}, and no event of {integration.dialect} has this name ({hint})"
                    yield Fault((*path, key), text)
        for event in events.rename:
            if event in events.disabled:
                yield Fault((*path, "rename"), f"has {event}, which is never sent: disabled has it too")


def open_listener(settings: Settings, environ: Mapping[str, str]) -> Iterator[Fault]:
    """A listener that other machines can reach, and that asks nobody for a token. The image's default is meant so."""
    server = settings.server
    if server.host != environ.get(HOST_DEFAULT_VARIABLE) and not is_loopback(server.host) and server.token_file is None:
        text = "lets everybody who reaches the port see /status and /metrics; set server.token_file, or keep others"
        yield Fault(("server", "host"), f"{text} away with a firewall or network policy")


def _event_names(settings: Settings, integration: str) -> frozenset[str] | None:
    """All names that the calls of an integration can have before they are renamed; None: any."""
    mapping = settings.mapping(integration)
    if mapping.dialect in PUSHES:
        return None
    own = DIALECTS[mapping.dialect]
    writers = [own] if own.write is not None else [dialect for dialect in DIALECTS.values() if dialect.write]
    names: set[str] = set()
    for dialect in writers:
        if dialect.event_names is None:
            return None
        names.update(dialect.event_names(dialect.settings_in(mapping.dialect_settings)))
    return frozenset(names)


def unknown_variables(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """A text for each variable of the environment that looks like a setting and is none; its value is not shown."""
    known = {_flat(name): name for name in _variables_of(settings, _PREFIX)}
    for name, value in sorted(environ.items()):
        upper = name.upper()
        if upper.startswith(_PREFIX) and not _is_meant(upper, value):
            near = get_close_matches(_flat(upper), known, n=1, cutoff=_LIKENESS)
            hint = f" (did you mean {known[near[0]]}?)" if near else ""
            yield f"environment variable {name}: names no setting and is ignored{hint}"


def _is_meant(name: str, value: str) -> bool:
    """Whether a variable belongs to a setting, which has its faults told, or to something else than settings."""
    section, separator, _ = name.removeprefix(_PREFIX).lower().partition("__")
    field = Settings.model_fields.get(section)
    if field is not None:
        return not separator or field.annotation is not Path
    return name in _NO_SETTINGS or _OF_KUBERNETES.fullmatch(f"{name}={value}") is not None


def _flat(name: str) -> str:
    """A single underscore where two are needed is the likeliest mistake."""
    return name.replace("__", "_")


def _variables_of(section: Any, prefix: str) -> Iterator[str]:
    """The variables of all settings, for the destinations and integrations that there are."""
    entries = (
        section if isinstance(section, dict) else {key: getattr(section, key) for key in type(section).model_fields}
    )
    for key, value in entries.items():
        name = prefix + key.upper().replace("-", "_").replace(".", "_")
        if isinstance(value, BaseModel) or key in {"destinations", "integrations"}:
            yield from _variables_of(value, f"{name}__")
        else:
            yield name
