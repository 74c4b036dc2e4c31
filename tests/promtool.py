"""Prometheus' own tool, where there is one: the judge of rules, metrics and configurations."""

import shutil
from typing import Final

import pytest

PROMTOOL: Final = shutil.which("promtool")
needs_promtool: Final = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool, which Debian's package prometheus has"
)
