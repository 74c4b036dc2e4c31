"""What the tests of the configuration share: a small good one, and ways to load it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from streamer.core.errors import SettingsError
from streamer.settings import Settings, load

SECRET: Final = "hidden-write-key-0123456789"

GOOD: Final = """\
kafka:
  bootstrap_servers: broker:9092
destinations:
  production:
    write_key: ${KEY}
integrations:
  sprig:
    dialect: sprig
    topics: [surveys.sprig]
    destination: production
"""

LoadText = Callable[..., Settings]
FaultsOf = Callable[..., list[str]]


@pytest.fixture
def good() -> str:
    """A configuration without faults that gives only what must be given."""
    return GOOD


@pytest.fixture
def secret() -> str:
    """The value of the environment variable KEY, and of anything else that must never be printed."""
    return SECRET


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """A function that loads YAML text, with KEY in an environment that holds nothing else unless given."""

    def load_text(text: str, environ: Mapping[str, str] | None = None) -> Settings:
        path = tmp_path / "streamer.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path, {"KEY": SECRET, **(environ or {})})

    return load_text


@pytest.fixture
def faults_of(load_text: LoadText) -> FaultsOf:
    """A function that returns the faults of YAML text; none of them may hold the secret."""

    def faults_of(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(SettingsError) as caught:
            load_text(text, environ)
        assert SECRET not in str(caught.value)
        return caught.value.faults

    return faults_of
