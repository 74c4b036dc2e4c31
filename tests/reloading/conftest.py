"""What the tests of reloading share."""

from pathlib import Path

import pytest

from tests.reloading.ground import Ground


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """A service with three integrations, two of which share a destination; it does not run yet."""
    return Ground(tmp_path, monkeypatch)
