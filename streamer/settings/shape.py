"""What the model says of a path of the configuration: which type is there, and which settings."""

from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, SecretStr

from streamer.settings.document import KeyPath
from streamer.settings.model import Settings


def has_secret(kind: Any) -> bool:
    """Whether a type is ``SecretStr`` or built on it."""
    return kind is SecretStr or any(has_secret(part) for part in get_args(kind))


def known_names(path: KeyPath) -> list[str]:
    """The names of the settings of the section at ``path``."""
    return list(_settings_of(type_at(path)) or ())


def type_at(path: KeyPath) -> Any:
    """The type of the value at ``path`` in the model; None: the model has no such path."""
    kind: Any = Settings
    for key in path:
        settings = _settings_of(kind)
        # Of what is no section, such as a dict, the type of the values, whatever the key.
        kind = next(reversed(get_args(kind)), None) if settings is None else settings.get(str(key))
    return kind


def _settings_of(kind: Any) -> dict[str, Any] | None:
    """The settings of a section and their types; None for a type that is no section. Dialects bring dataclasses."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind) if is_dataclass(kind) else None
