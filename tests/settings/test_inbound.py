"""The settings of the way back: presets, and what cannot work together."""

from pathlib import Path
from typing import Any, Final

import pytest

from streamer.core.errors import SettingsError
from streamer.core.inbound.rules import OWN_EVENTS
from streamer.settings import Settings
from streamer.settings.inbound import InboundSettings, WebhookSettings
from tests.settings.conftest import FaultsOf, LoadText

LEAST: Final = """\
kafka:
  bootstrap_servers: broker:9092
inbound:
  webhooks:
    production:
      secrets: ["${KEY}"]
"""


def test_the_way_back_needs_no_destination(load_text: LoadText) -> None:
    settings = load_text(LEAST)
    assert settings.inbound is not None
    assert settings.inbound.webhooks["production"].unauthenticated == "accept"
    assert settings.directory is not None
    assert settings.directory.read_url() == "sqlite:///state/directory.db"


def test_without_its_section_it_is_off(load_text: LoadText, good: str) -> None:
    assert load_text(good).inbound is None


@pytest.mark.parametrize(
    ("preset", "match", "anonymous"),
    [
        ("sprig", ("user_id",), True),
        ("product_fruits", ("email", "user_id"), False),
        ("getuserfeedback", ("user_id", "email"), True),
        (None, ("email", "user_id"), True),
    ],
)
def test_a_preset_changes_defaults(preset: str | None, match: tuple[str, ...], *, anonymous: bool) -> None:
    settings = InboundSettings.model_validate({"preset": preset})
    assert settings.match == match
    assert settings.triggers.anonymous is anonymous


def test_what_is_given_counts_more_than_the_preset() -> None:
    settings = InboundSettings.model_validate(
        {"preset": "product_fruits", "triggers": {"anonymous": True, "events": ["Opened"]}}
    )
    assert settings.triggers.anonymous
    assert settings.triggers.events == ("Opened",)
    beside = InboundSettings.model_validate({"preset": "product_fruits", "triggers": {"events": ["Opened"]}})
    assert not beside.triggers.anonymous
    assert InboundSettings.model_validate({"preset": "sprig", "match": ["email"]}).match == ("email",)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('      secrets: ["${KEY}"]', "      unauthenticated: accept"), "production.secrets"),
        (('["${KEY}"]', '[""]'), "is empty; write the shared secret"),
        (
            ('    production:\n      secrets: ["${KEY}"]', "    {}"),
            "inbound.webhooks (line 4): is empty; name at least",
        ),
        (("inbound:\n", "inbound:\n  match: [emial]\n"), "inbound.match[0]"),
        (("inbound:\n", "inbound:\n  profiles_topic: segment.inbound\n"), "is segment.inbound, as topic is"),
        (("inbound:\n", "inbound:\n  dead_letters: {topic: surveys.triggers}\n"), "as dead_letters.topic is"),
        (("inbound:\n", "directory: false\ninbound:\n  listen: false\n"), "nothing is left to do"),
        (("    production:", "    a/b:"), "should be 1 to 64 letters"),
        (("inbound:\n", "directory: {url: sqlite:///a, url_file: b}\ninbound:\n"), "directory.url (line 3)"),
        (
            ("      secrets:", "      bearer_token: a\n      bearer_token_file: b\n      secrets:"),
            "bearer_token (line 6)",
        ),
    ],
)
def test_a_set_up_that_cannot_work_is_refused(faults_of: FaultsOf, change: tuple[str, str], fault: str) -> None:
    text = LEAST.replace(*change)
    assert text != LEAST
    assert any(fault in one for one in faults_of(text)), faults_of(text)


def test_the_group_must_not_be_that_of_an_integration(faults_of: FaultsOf, good: str) -> None:
    [fault] = faults_of(
        good + LEAST[LEAST.index("inbound:") :].replace("inbound:\n", "inbound:\n  group_id: streamer.sprig\n")
    )
    assert "is also the group of sprig" in fault


@pytest.mark.parametrize("half", ["inbound:\n  listen: false\n", "directory: false\ninbound:\n"])
def test_each_half_can_run_alone(load_text: LoadText, half: str) -> None:
    assert load_text(LEAST.replace("inbound:\n", half)).inbound is not None


def test_half_that_receives_nothing_needs_no_webhook(load_text: LoadText) -> None:
    settings = load_text("kafka: {bootstrap_servers: broker:9092}\ninbound: {listen: false}\n")
    assert settings.inbound is not None
    assert settings.inbound.listen is None


def test_no_integration_has_the_name_of_the_way_back(load_text: LoadText, good: str) -> None:
    """Their metrics, and their dead letters in a redrive, could not be told apart."""
    text = good.replace("  sprig:\n", "  inbound:\n")
    assert "inbound" in load_text(text).integrations, "without the way back it is a name like any other"
    with pytest.raises(SettingsError, match=r"integrations\.inbound"):
        load_text(text + LEAST[LEAST.index("inbound:") :])


def test_the_half_that_applies_sets_aside_what_nobody_has_signed(load_text: LoadText) -> None:
    """It checks no signature, so it needs no secret."""
    settings = load_text(
        "kafka: {bootstrap_servers: broker:9092}\n"
        "inbound: {listen: false, webhooks: {production: {unauthenticated: dead_letter}}}\n"
    )
    assert settings.inbound_rules().refuse_unauthenticated == {"production"}


def test_the_loop_guard_knows_renamed_events(load_text: LoadText, good: str) -> None:
    text = good + "    events: {rename: {Flow Viewed: Survey Viewed}}\n" + LEAST[LEAST.index("inbound:") :]
    assert load_text(text).inbound_rules().own_events == OWN_EVENTS | {"Survey Viewed"}
    guarded = text.replace("inbound:\n", "inbound:\n  loop_guard: {events: [Only This]}\n")
    assert load_text(guarded).inbound_rules().own_events == {"Only This"}


def test_secrets_in_a_file_are_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "secrets"
    file.write_text("first\r\n\nsecond\n")
    webhook = WebhookSettings.model_validate({"secrets_file": file})
    assert webhook.read_secrets() == ("first", "second")
    file.write_text("third")
    assert webhook.read_secrets() == ("third",)


@pytest.mark.parametrize(
    "section", [{"webhooks": {"production": {"secrets": ["hidden-one"], "bearer_token": "hidden-two"}}}]
)
def test_no_secret_is_printed(section: dict[str, Any]) -> None:
    settings = Settings.model_validate(
        {"inbound": section, "directory": {"url": "postgresql://streamer:hidden-three@db/streamer"}}
    )
    assert "hidden" not in repr(settings)
    assert settings.directory is not None
    assert settings.directory.show_url() == "postgresql://db/streamer"
    assert "hidden" not in settings.model_dump_json()
