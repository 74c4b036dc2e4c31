"""`identify_devices` needs the directory, whoever keeps it, and events that it can be about."""

from importlib.util import find_spec

import pytest

from tests.settings.conftest import FaultsOf, LoadText

INBOUND = '\ninbound: {webhooks: {production: {secrets: ["${KEY}"]}}}\n'
PUSH = """\
kafka: {bootstrap_servers: "broker:9092"}
destinations: {platform: {kind: sprig, api_key: "${KEY}"}}
integrations:
  users: {dialect: triggers, topics: [surveys.triggers], destination: platform, identify_devices: true}
"""


@pytest.fixture
def identifying(good: str) -> str:
    return f"{good}    identify_devices: true\n"


def test_it_is_off_unless_asked_for(load_text: LoadText, good: str) -> None:
    assert not load_text(good).integrations["sprig"].identify_devices


@pytest.mark.parametrize("rest", ["", "directory: {url: postgresql://a@b/c}\n", INBOUND])
def test_another_process_may_keep_the_directory(load_text: LoadText, identifying: str, rest: str) -> None:
    assert load_text(identifying + rest).integrations["sprig"].identify_devices


@pytest.mark.parametrize("rest", ["", INBOUND])
def test_without_a_directory_it_is_a_fault(faults_of: FaultsOf, identifying: str, rest: str) -> None:
    [fault] = faults_of(f"{identifying}directory: false\n{rest}")
    assert fault.startswith("integrations.sprig.identify_devices (line 11): ")
    assert "needs the directory of users; set directory.url, or remove this setting" in fault


def test_an_address_that_cannot_be_one_is_a_fault(faults_of: FaultsOf, identifying: str) -> None:
    [fault] = faults_of(f"{identifying}directory: {{url: mysql://a}}\n")
    assert fault.startswith("directory.url (line 12): ")


@pytest.mark.parametrize(
    ("rest", "paths"), [("", ["integrations.sprig"]), (INBOUND, ["inbound", "integrations.sprig"])]
)
def test_without_the_extra_it_is_a_fault(
    faults_of: FaultsOf, identifying: str, monkeypatch: pytest.MonkeyPatch, rest: str, paths: list[str]
) -> None:
    monkeypatch.setattr(
        "streamer.settings.checks.find_spec", lambda name: None if name == "asyncpg" else find_spec(name)
    )
    faults = sorted(faults_of(identifying + rest))
    assert [fault.split(" ", 1)[0].removesuffix(".identify_devices") for fault in faults] == paths
    assert all("needs packages that are not installed (asyncpg)" in fault for fault in faults)


def test_it_has_no_effect_on_what_names_its_users(faults_of: FaultsOf) -> None:
    [fault] = faults_of(PUSH)
    assert fault.startswith("integrations.users.identify_devices (line 4): ")
    assert "has no effect with dialect triggers" in fault
