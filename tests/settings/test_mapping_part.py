"""A dry run needs the integration's own settings, and nothing else of a configuration."""

from pathlib import Path

import pytest

from streamer.core.errors import SettingsError
from streamer.settings import load, load_for_mapping

TEXT = """\
kafka: {bootstrap_servers: "${BROKERS}", nonsense: 1}
destinations:
  production: {write_key: "${KEY}", message_id_suffix: -eu, timeout: soon, ca_file: /missing.pem}
  broken: [1]
integrations:
  sprig:
    dialect: sprig
    topics: [surveys.sprig]
    destination: production
    events: {disabled: [Flow Dismissed]}
  other: {dialect: nonsense, destination: "${UNSET}"}
server: {port: none}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "streamer.yaml"
    path.write_text(TEXT)
    return path


def faults_of(config: Path, integration: str | None, old: str = "", new: str = "") -> list[str]:
    config.write_text(TEXT.replace(old, new))
    with pytest.raises(SettingsError) as refused:
        load_for_mapping(config, integration, environ={})
    return refused.value.faults


def test_keys_brokers_and_other_integrations_do_not_matter(config: Path) -> None:
    """Nor does a variable that is not set, or a file that is on another machine."""
    with pytest.raises(SettingsError):
        load(config, {})
    mapping = load_for_mapping(config, "sprig", environ={}).mapping("sprig")
    assert (mapping.dialect, mapping.message_id_suffix, mapping.kind) == ("sprig", "-eu", "segment")
    assert mapping.disabled == {"Flow Dismissed"}


def test_the_environment_overrides_here_too(config: Path) -> None:
    environ = {"STREAMER_DESTINATIONS__PRODUCTION__MESSAGE_ID_SUFFIX": "-us"}
    assert load_for_mapping(config, "sprig", environ=environ).mapping("sprig").message_id_suffix == "-us"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("events: {", "event: {}\n    events: {", "is not a setting"),
        ("message_id_suffix: -eu", 'message_id_suffix: "${SUFFIX}"', "needs the environment variable SUFFIX"),
        ("destination: production", "destination: prod", "is not the name of a destination"),
        ("destination: production", "destination: broken", "should be a mapping of settings"),
        ("message_id_suffix: -eu", "kind: sprig", "does not go with production"),
        ("surveys.sprig", "not a topic", "is not a topic name"),
        (TEXT, "[]", "should be a mapping with the keys"),
        ("integrations:\n", "integrations: 1\nothers:\n", "should be a mapping"),
    ],
)
def test_what_decides_the_calls_must_be_right(config: Path, old: str, new: str, fault: str) -> None:
    """Otherwise a dry run would show calls that are never sent."""
    faults = faults_of(config, "sprig", old, new)
    assert any(fault in line for line in faults)
    assert not any("bootstrap_servers" in line or "write_key" in line for line in faults)


def test_all_integrations_matter_if_each_may_be_mapped(config: Path) -> None:
    faults = faults_of(config, None)
    assert all(line.startswith("integrations.other") for line in faults)
    assert len(faults) == 3


def test_further_settings_can_be_asked_for(config: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_for_mapping(config, "sprig", also=[("kafka",)], environ={})
    assert [line.split(":")[0] for line in refused.value.faults] == [
        "kafka.bootstrap_servers (line 1)",
        "kafka.nonsense (line 1)",
    ]
