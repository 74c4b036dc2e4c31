"""The registered dialects. A new platform is registered here, and nowhere else."""

from collections.abc import Mapping
from typing import Any, Final

from streamer.core.mapping import canonical, getuserfeedback, product_fruits, sprig
from streamer.core.mapping.dialect import Dialect

DIALECTS: Final[Mapping[str, Dialect[Any]]] = {
    dialect.name: dialect
    for dialect in (sprig.DIALECT, product_fruits.DIALECT, getuserfeedback.DIALECT, canonical.DIALECT)
}
"""By name, in the order of lists for people."""
