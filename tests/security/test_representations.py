"""What objects and libraries say of their own accord, to logs and debuggers, holds no secret and no record."""

import logging
from pathlib import Path

import pytest

from streamer import logs
from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.settings import Settings
from streamer.settings.sections import LogSettings

SECRET = "planted-3e9b71"


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": "broker:9093",
                "security_protocol": "SASL_SSL",
                "sasl_plain_username": "user",
                "sasl_plain_password": SECRET,
                "ssl_password": SECRET,
            },
            "destinations": {"production": {"write_key": SECRET}},
            "integrations": {"sprig": {"dialect": "sprig", "topics": ["answers"], "destination": "production"}},
        }
    )


def test_settings_show_no_secret_in_any_form(settings: Settings) -> None:
    assert settings.kafka.sasl_plain_password is not None
    assert settings.kafka.sasl_plain_password.get_secret_value() == SECRET
    forms = (
        repr(settings),
        str(settings),
        repr(settings.kafka),
        repr(settings.destinations),
        repr(settings.model_dump()),
        settings.model_dump_json(),
        settings.fingerprint(),
    )
    assert [form for form in forms if SECRET in form] == []


def test_a_record_on_its_way_back_shows_only_its_place() -> None:
    secret = SECRET.encode()
    record = OutgoingRecord(topic="answers", partition=3, key=secret, value=secret, headers=[(SECRET, secret)])
    assert repr(record) == "OutgoingRecord(topic='answers', partition=3, timestamp=-1, offset=-1)"


def test_the_level_debug_is_for_our_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Kafka client logs each request at that level, and with it the password of PLAIN and the records."""
    client = logging.getLogger("aiokafka.conn")
    monkeypatch.setattr(client, "level", logging.DEBUG)
    with (
        (tmp_path / "log").open("wb") as log,
        logs.configured(LogSettings(level="debug"), file_descriptor=log.fileno()),
    ):
        client.debug("Request to broker:9093 1: %s", SECRET)
        client.info("Authenticated as %s", SECRET)
        client.warning("a warning")
    [line] = (tmp_path / "log").read_text().splitlines()
    assert "a warning" in line
