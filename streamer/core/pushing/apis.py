"""The APIs that profiles and triggers are pushed to. A new one is registered here, and nowhere else in the core."""

from collections.abc import Mapping
from typing import Final

from streamer.core.pushing import product_fruits, sprig
from streamer.core.pushing.api import Api

APIS: Final[Mapping[str, Api]] = {api.kind: api for api in (sprig.API, product_fruits.API)}
"""By the ``kind`` of a destination."""
