"""The part of the configuration that decides how records become calls.

Whoever writes records, or changes their mapping, needs no write key and no brokers to see what would be sent. So their
commands do not ask for them: a fault elsewhere does not matter, nor does a ``${VARIABLE}`` that is not set.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from streamer.settings.document import KeyPath
from streamer.settings.loading import load_part
from streamer.settings.model import Settings

_OF_DESTINATIONS: Final = ("kind", "message_id_suffix")
"""What of a destination decides the calls: their form, and their messageIds."""


def load_for_mapping(
    path: Path,
    integration: str | None = None,
    *,
    also: Collection[KeyPath] = (),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """As `load`, for a dry run. The integration's section must be without faults, and what decides of its destination.

    Args:
        path: the YAML file.
        integration: the one that is mapped; None: each one may be.
        also: paths of further settings that are used, such as ``("kafka",)``.
        environ: the environment; ``os.environ`` by default.

    Returns:
        Settings of which only `Settings.mapping`, the sections of those integrations and ``also`` may be used.

    Raises:
        SettingsError: there are faults in these settings.
    """

    def needed(settings: Settings) -> Iterator[KeyPath]:
        yield from also
        if integration is None:
            yield ("integrations",)
        for name in settings.integrations if integration is None else (integration,):
            yield ("integrations", name)
            if name in settings.integrations:
                destination = settings.integrations[name].destination
                yield from (("destinations", destination, key) for key in _OF_DESTINATIONS)

    return load_part(path, needed, environ)
