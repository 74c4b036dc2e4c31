"""The one typed configuration: a YAML file and the environment, read and checked once at start.

`load` is the way in; `examine` looks at more, for `streamer check`, and `load_for_mapping` asks for less. Attributes
have the names of the YAML keys; durations are float seconds, sizes int bytes, secrets pydantic's
``SecretStr``, which prints as asterisks.
"""

from streamer.settings.destinations import DestinationSettings
from streamer.settings.loading import examine, load
from streamer.settings.mapping_part import load_for_mapping
from streamer.settings.model import IntegrationSettings, Settings
from streamer.settings.quantities import parse_duration, parse_size
from streamer.settings.sections import KafkaSettings, read_secret_file

__all__ = [
    "DestinationSettings",
    "IntegrationSettings",
    "KafkaSettings",
    "Settings",
    "examine",
    "load",
    "load_for_mapping",
    "parse_duration",
    "parse_size",
    "read_secret_file",
]
