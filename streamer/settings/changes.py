"""What follows from a changed configuration while the service runs: two `Settings` -> a `Plan`. Pure.

`EFFECTS` is the one table that says what a change of each setting does; docs/reloading.md is written from it. What only
a restart can change keeps its present value in ``Plan.settings``, which is what the service has once the plan is
carried out.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing import PUSHES
from streamer.settings.checks import clashes
from streamer.settings.document import KeyPath, dotted
from streamer.settings.model import Settings

NAME: Final = "NAME"
"""Stands for the name of a destination, an integration or a webhook."""


class Effect(enum.Enum):
    """What a changed setting does to a running service."""

    LOG = "at once"
    MAPPING = "at once, for the next records"
    INTEGRATION = "the integration restarts"
    DESTINATION = "the destination is replaced, and its integrations restart"
    PROCESS = "streamer has to be restarted"


EFFECTS: Final[Mapping[str, Effect]] = {
    "kafka": Effect.PROCESS,
    "state_dir": Effect.PROCESS,
    "receipts": Effect.PROCESS,
    "control": Effect.PROCESS,
    "server": Effect.PROCESS,
    "log": Effect.LOG,
    f"destinations.{NAME}": Effect.DESTINATION,
    f"integrations.{NAME}": Effect.INTEGRATION,
    f"integrations.{NAME}.events": Effect.MAPPING,
    f"integrations.{NAME}.identify_devices": Effect.MAPPING,
    f"integrations.{NAME}.strip_registry_prefix": Effect.MAPPING,
    **{f"integrations.{NAME}.{name}": Effect.MAPPING for name, one in DIALECTS.items() if one.settings is not None},
    **{f"integrations.{NAME}.{name}": Effect.MAPPING for name, one in PUSHES.items() if one.settings is not None},
    "inbound": Effect.PROCESS,
    "directory": Effect.PROCESS,
}
"""By setting or section; the longest name that fits counts."""

_NAMED: Final = ("destinations", "integrations")
_OF_PAUSE: Final = frozenset({"status", "on_pause"})
"""Settings of an integration that matter together: whether its records stay on Kafka, or are read and discarded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What has to be done, and what is the same afterwards. Names are in the order of the new configuration."""

    settings: Settings
    """What is in force afterwards."""
    changed: tuple[str, ...] = ()
    """The names of the settings that take effect, without their values. A destination or integration that is new or
    gone has one name only."""
    needs_restart: tuple[str, ...] = ()
    """The names of those that do not before streamer is restarted."""
    is_log_changed: bool = False
    opened: tuple[str, ...] = ()
    """Destinations that are new."""
    replaced: tuple[str, ...] = ()
    """Destinations with changed settings."""
    closed: tuple[str, ...] = ()
    """Destinations that are gone."""
    started: tuple[str, ...] = ()
    """Integrations that are new."""
    restarted: tuple[str, ...] = ()
    """Integrations that drain and begin anew with changed settings."""
    remapped: tuple[str, ...] = ()
    """Integrations that go on, and make the calls of the next records in another way."""
    ended: tuple[str, ...] = ()
    """Integrations that are gone."""


def plan_of(present: Settings, wanted: Settings) -> Plan:
    """What has to be done to get from the settings in force to others.

    Args:
        present: those in force; after an earlier plan its ``settings``.
        wanted: what the file says now; it was checked.
    """
    changed = list(differences(present, wanted))
    late = [path for path in changed if effect_of(path) is Effect.PROCESS]
    kept = {str(path[0]): getattr(present, str(path[0])) for path in late}
    destinations, integrations = (_changed_entries(changed, section) for section in _NAMED)
    replaced = [name for name in destinations if _is_in_both(name, present.destinations, wanted.destinations)]
    remapped, restarted = [], []
    for name, section in wanted.integrations.items():
        before = present.integrations.get(name)
        if before is None:
            continue
        keys = integrations.get(name, frozenset())
        if before.is_paused == section.is_paused:
            keys -= _OF_PAUSE
            remapped += [name] if integrations.get(name) else []
        if section.destination in replaced or not all(_is_of_mapping(key) for key in keys):
            restarted.append(name)
    return Plan(
        settings=wanted.model_copy(update=kept),
        changed=tuple(dotted(path) for path in changed if path not in late),
        needs_restart=tuple(dotted(path) for path in late),
        is_log_changed=any(effect_of(path) is Effect.LOG for path in changed),
        opened=tuple(name for name in wanted.destinations if name not in present.destinations),
        replaced=tuple(replaced),
        closed=tuple(name for name in present.destinations if name not in wanted.destinations),
        started=tuple(name for name in wanted.integrations if name not in present.integrations),
        restarted=tuple(restarted),
        remapped=tuple(name for name in remapped if name not in restarted),
        ended=tuple(name for name in present.integrations if name not in wanted.integrations),
    )


def conflicts(plan: Plan) -> list[str]:
    """Why the plan cannot be carried out: what is in force afterwards would not fit together before a restart."""
    if not plan.needs_restart:
        return []
    late = ", ".join(plan.needs_restart)
    return [
        f"{dotted(clash.path)}: {clash.text}. This is so until streamer is restarted, because {late} takes effect only"
        " then; restart streamer"
        for clash in clashes(plan.settings)
    ]


def effect_of(path: KeyPath) -> Effect:
    """What a change of this setting does; ``path`` may have real names in it, or `NAME`."""
    keys = [str(key) for key in path]
    if keys[0] in _NAMED and len(keys) > 1:
        keys[1] = NAME
    known = (".".join(keys[:length]) for length in range(len(keys), 0, -1))
    return next(EFFECTS[name] for name in known if name in EFFECTS)


def differences(one: Any, other: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all settings that differ, secrets included; of a section that only one of them has, its own."""
    if type(one) is not type(other):
        yield path
    elif isinstance(one, BaseModel):
        for name in type(one).model_fields:
            yield from differences(getattr(one, name), getattr(other, name), (*path, name))
    elif is_dataclass(one):
        for field in fields(one):
            yield from differences(getattr(one, field.name), getattr(other, field.name), (*path, field.name))
    elif isinstance(one, dict) and any(isinstance(value, BaseModel) for value in (*one.values(), *other.values())):
        for name in dict.fromkeys((*other, *one)):
            yield from differences(one.get(name), other.get(name), (*path, name))
    elif one != other:
        yield path


def _changed_entries(changed: list[KeyPath], section: str) -> dict[str, frozenset[str]]:
    """The changed keys of each entry of a section, by its name."""
    names = dict.fromkeys(str(path[1]) for path in changed if path[0] == section and len(path) > 1)
    return {
        name: frozenset(str(path[2]) for path in changed if path[:2] == (section, name) and path[2:]) for name in names
    }


def _is_in_both(name: str, one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return name in one and name in other


def _is_of_mapping(key: str) -> bool:
    return effect_of(("integrations", NAME, key)) is Effect.MAPPING
