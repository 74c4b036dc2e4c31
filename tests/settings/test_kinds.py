"""Destinations of other kinds than Segment: what they need, what has no effect, and which dialects go with them."""

from pathlib import Path

import pytest

from streamer.core.pushing import APIS, PUSHES
from tests.settings.conftest import FaultsOf, LoadText

PUSHING = """\
kafka:
  bootstrap_servers: broker:9092
destinations:
  platform:
    kind: sprig
    api_key: ${KEY}
integrations:
  users:
    dialect: profiles
    topics: [surveys.profiles]
    destination: platform
"""


@pytest.mark.parametrize(
    ("kind", "url"), [("sprig", "https://api.sprig.com"), ("product_fruits", "https://api.productfruits.com")]
)
@pytest.mark.parametrize("dialect", PUSHES)
def test_a_platform_needs_a_key_only(load_text: LoadText, secret: str, kind: str, url: str, dialect: str) -> None:
    text = PUSHING.replace("kind: sprig", f"kind: {kind}").replace("profiles\n", f"{dialect}\n", 1)
    settings = load_text(text)
    destination = settings.destinations["platform"]
    assert kind in APIS
    assert (destination.url, destination.read_key(), destination.max_batch_calls) == (url, secret, 1)
    assert not destination.asks_about_key
    assert settings.mapping("users").kind == kind
    assert secret not in repr(settings)


def test_a_key_from_a_file_is_read_again(load_text: LoadText, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("one\n")
    destination = load_text(PUSHING.replace("api_key: ${KEY}", f"api_key_file: {file}")).destinations["platform"]
    assert destination.read_key() == "one"
    file.write_text("two")
    assert destination.read_key() == "two"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "    api_key: ${KEY}\n",
            "",
            "destinations.platform.api_key (line 4): is missing; set it, for example to ${SPRIG_API_KEY}",
        ),
        ("${KEY}", "${KEY}\n    api_key_file: /k", "destinations.platform.api_key (line 6): is set twice"),
        ("${KEY}", "a b", "destinations.platform.api_key (line 6): is not an API key"),
        (
            "${KEY}",
            "${KEY}\n    write_key: k",
            "destinations.platform.write_key (line 7): has no effect with kind sprig",
        ),
        (
            "${KEY}",
            "${KEY}\n    region: eu",
            "destinations.platform.region (line 7): 'eu' has no effect with kind sprig",
        ),
        ("${KEY}", "${KEY}\n    gzip: no", "destinations.platform.gzip (line 7): 'no' has no effect with kind sprig"),
        ("${KEY}", "${KEY}\n    batch: {max_calls: 5}", "destinations.platform.batch (line 7): has no effect"),
        (
            "${KEY}",
            "${KEY}\n    message_id_suffix: x",
            "destinations.platform.message_id_suffix (line 7): 'x' has no effect",
        ),
        (
            "dialect: profiles",
            "dialect: sprig",
            "integrations.users.dialect (line 9): 'sprig' does not go with platform",
        ),
        (
            "kind: sprig\n    api_key",
            "write_key",
            "integrations.users.dialect (line 8): 'profiles' does not go with platform",
        ),
        ("kind: sprig\n", "write_key: k\n", "destinations.platform.api_key (line 6): has no effect with kind segment"),
        (
            "dialect: profiles",
            "dialect: profiles\n    events: {disabled: [a]}",
            "integrations.users.events (line 10): has no effect with dialect profiles",
        ),
        (
            "dialect: profiles",
            "dialect: triggers\n    profiles: {renamed: delete}",
            "integrations.users.profiles (line 10): has no effect with dialect triggers",
        ),
    ],
)
def test_what_cannot_work_together_is_a_fault(faults_of: FaultsOf, secret: str, old: str, new: str, fault: str) -> None:
    assert old in PUSHING
    faults = faults_of(PUSHING.replace(old, new, 1))
    assert any(found.startswith(fault) for found in faults), faults
    assert secret not in "".join(faults)


@pytest.mark.parametrize("dialect", PUSHES)
def test_what_the_way_back_writes_never_goes_to_segment(faults_of: FaultsOf, dialect: str) -> None:
    """Segment would send it back to us as a webhook."""
    text = PUSHING.replace("kind: sprig\n    api_key", "write_key").replace("dialect: profiles", f"dialect: {dialect}")
    [fault] = faults_of(text)
    assert f"'{dialect}' does not go with platform, which has kind segment" in fault


def test_two_platforms_may_read_one_topic(load_text: LoadText) -> None:
    text = PUSHING.replace("integrations:", "  other:\n    kind: product_fruits\n    api_key: k\nintegrations:") + (
        "  users-too: {dialect: profiles, topics: [surveys.profiles], destination: other}\n"
    )
    assert len(load_text(text).integrations) == 2
