"""A line break behind a secret is left out, wherever the secret comes from: editors and ``echo`` put it there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from streamer.settings import DestinationSettings, KafkaSettings, read_secret_file
from tests.settings.conftest import LoadText

SECTIONS: list[type[BaseModel]] = [KafkaSettings, DestinationSettings]

VALUES = {"proxy": "http://user:secret@proxy:3128"}
"""What a setting takes that does not take any text."""

LINE_BREAKS = ["\n", "\r\n", "\n\n"]


def holds_secret(kind: Any) -> bool:
    return kind is SecretStr or any(holds_secret(part) for part in get_args(kind))


def secrets() -> Iterator[tuple[type[BaseModel], str]]:
    """Every setting that holds a secret, those that will be added as well."""
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            if holds_secret(field.annotation) or any(holds_secret(part) for part in field.metadata):
                yield section, name


def test_the_secrets_are_found() -> None:
    assert {name for _, name in secrets()} == {"sasl_plain_password", "ssl_password", "write_key", "api_key", "proxy"}


@pytest.mark.parametrize("line_break", LINE_BREAKS)
@pytest.mark.parametrize(("section", "name"), list(secrets()))
def test_a_secret_in_the_configuration_has_no_line_break(section: type[BaseModel], name: str, line_break: str) -> None:
    value = VALUES.get(name, "secret")
    others = {"write_key": "key"} if section is DestinationSettings else {}
    settings = section.model_validate({**others, name: value + line_break})
    assert getattr(settings, name).get_secret_value() == value


@pytest.mark.parametrize("line_break", LINE_BREAKS)
def test_a_secret_from_the_environment_has_no_line_break(load_text: LoadText, good: str, line_break: str) -> None:
    environ = {
        "KEY": f"first{line_break}",
        "STREAMER_KAFKA__SASL_PLAIN_PASSWORD": f"second{line_break}",
        "STREAMER_KAFKA__SASL_PLAIN_USERNAME": f"user{line_break}",
        "STREAMER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    }
    settings = load_text(good, environ)
    assert settings.destinations["production"].read_key() == "first"
    assert settings.kafka.sasl_plain_password is not None
    assert settings.kafka.sasl_plain_password.get_secret_value() == "second"
    assert settings.kafka.sasl_plain_username == "user"


@pytest.mark.parametrize("line_break", LINE_BREAKS)
def test_a_secret_from_a_file_has_no_line_break(tmp_path: Path, line_break: str) -> None:
    """All files of secrets are read by this function."""
    (tmp_path / "secret").write_bytes(f" a secret {line_break}".encode())
    assert read_secret_file(tmp_path / "secret", "setting") == " a secret "
