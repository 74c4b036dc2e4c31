"""Credentials that come and go while the service runs, on a real broker that asks for them every two seconds."""

import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from pydantic import SecretStr
from structlog.testing import capture_logs
from structlog.typing import EventDict

from streamer.kafka import credentials
from streamer.kafka.options import client_options
from streamer.service import Service
from streamer.settings import KafkaSettings
from tests.security.conftest import CERTIFIED_NAME, KEY_PASSWORD, PASSWORD, USER, Certificates, SecureBroker
from tests.security.tokens import Issuer
from tests.service.harness import Deployment, eventually, survey_event

pytestmark = pytest.mark.kafka


def rotating(broker: SecureBroker) -> dict[str, str]:
    """The way to the listener that ends each connection after two seconds."""
    return {"bootstrap_servers": f"127.0.0.1:{broker.rotating_port}", "security_protocol": "SASL_PLAINTEXT"}


@pytest.fixture
def token_file(deployment: Deployment, broker: SecureBroker, issuer: Issuer, tmp_path: Path) -> Path:
    """The file of a good token, with which the service logs in."""
    path = tmp_path / "token"
    path.write_text(f"{issuer.token(USER)}\n")
    deployment.document["kafka"] |= {
        **rotating(broker),
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_file": str(path),
    }
    return path


@pytest.fixture
async def service(deployment: Deployment, token_file: Path) -> AsyncIterator[Service]:
    """It has joined its group with the token in ``token_file``."""
    assert deployment.document["kafka"]["sasl_oauth_token_file"] == str(token_file)
    await deployment.integrate()
    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.has_started)
        yield service
    await deployment.verify()


def write(path: Path, token: str) -> None:
    path.write_text(token)


def take_away(path: Path) -> str:
    token = path.read_text()
    path.unlink()
    return token


def the_file(path: Path) -> credentials.TokenFile:
    """What the service knows of the file."""
    return credentials.token_file(path, "kafka.sasl_oauth_token_file")


async def deliver(deployment: Deployment, message_id: str) -> None:
    [topic] = deployment.integration("surveys")["topics"]
    await deployment.produce(topic, [survey_event(message_id)])
    await deployment.settled()


def named(lines: list[EventDict], name: str) -> list[EventDict]:
    return [line for line in lines if line["event"] == name]


async def test_the_last_token_serves_while_the_file_is_away(
    deployment: Deployment, service: Service, token_file: Path
) -> None:
    """A rotation may take seconds between deleting and writing; the token is good for minutes."""
    token = take_away(token_file)
    with capture_logs() as lines:
        await eventually(lambda: len(named(lines, "kafka.credentials_missing")) > 2)
        await deliver(deployment, "evt_1")
        write(token_file, token)
        await eventually(lambda: named(lines, "kafka.credentials_recovered"))
    line = named(lines, "kafka.credentials_missing")[0]
    assert f"kafka.sasl_oauth_token_file {token_file} cannot be read: No such file" in line["detail"]
    assert "The last token serves until 20" in line["detail"]
    assert str(token_file) in line["next_step"]
    assert service.integrations["surveys"].runner.restarts == 0


async def test_an_integration_whose_token_has_ended_goes_on_with_the_next_one(
    deployment: Deployment, service: Service, token_file: Path, issuer: Issuer
) -> None:
    """The file is away for longer than the token lasts: there is nothing to log in with."""
    token = issuer.token(USER, lifetime_seconds=5)
    write(token_file, token)
    await eventually(lambda: the_file(token_file)._last == token)
    take_away(token_file)
    with capture_logs() as lines:
        await eventually(lambda: "The last token has ended" in the_file(token_file).problem)
        write(token_file, issuer.token(USER))
        await deliver(deployment, "evt_1")
        await eventually(lambda: named(lines, "kafka.credentials_recovered"))
    assert service.integrations["surveys"].runner.restarts == 0


async def test_an_integration_whose_token_is_rejected_goes_on_with_the_next_one(
    deployment: Deployment, service: Service, token_file: Path, issuer: Issuer
) -> None:
    write(token_file, Issuer.new().token(USER))
    with capture_logs() as lines:
        await eventually(lambda: named(lines, "kafka.credentials_rejected"))
        write(token_file, issuer.token(USER))
        await deliver(deployment, "evt_1")
        await eventually(lambda: named(lines, "kafka.credentials_recovered"))
    detail = named(lines, "kafka.credentials_rejected")[0]["detail"]
    assert f"the broker rejected the bearer token in kafka.sasl_oauth_token_file {token_file} (invalid_token)" in detail
    assert service.integrations["surveys"].runner.restarts == 0


async def test_a_password_is_read_again_for_each_connection(
    deployment: Deployment, broker: SecureBroker, tmp_path: Path
) -> None:
    """After the broker's operators and a mounted secret have changed it, open clients need no restart."""
    path = tmp_path / "password"
    write(path, PASSWORD)
    await deployment.integrate()
    deployment.document["kafka"] |= {
        **rotating(broker),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": USER,
        "sasl_plain_password_file": str(path),
    }
    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.has_started)
        write(path, "wrong-password-55")
        with capture_logs() as lines:
            await eventually(lambda: named(lines, "kafka.credentials_rejected"))
            write(path, PASSWORD)
            await deliver(deployment, "evt_1")
            await eventually(lambda: named(lines, "kafka.credentials_recovered"))
        assert service.integrations["surveys"].runner.restarts == 0
    await deployment.verify()


async def test_certificates_are_read_again_when_their_files_have_changed(
    broker: SecureBroker, certificates: Certificates, tmp_path: Path
) -> None:
    """The client keeps one context for its life; certificates from a sidecar are valid for hours."""
    authority, client = tmp_path / "authority.pem", tmp_path / "client.pem"
    good = client_with_key(certificates)
    write(client, good)
    shutil.copy(certificates.authority, authority)
    kafka = KafkaSettings(
        bootstrap_servers=f"{CERTIFIED_NAME}:{broker.tls_port}",
        security_protocol="SSL",
        ssl_cafile=authority,
        ssl_certfile=client,
        ssl_password=SecretStr(KEY_PASSWORD),
    )
    context = client_options(kafka, is_lasting=True)["ssl_context"]
    assert await connects(broker, context)
    with capture_logs() as lines:
        write(client, "")
        assert await connects(broker, context)
    [line] = lines
    assert line["event"] == "kafka.credentials_missing"
    assert "ssl_certfile, ssl_keyfile or ssl_password cannot be used: not in PEM format" in line["detail"]
    with capture_logs() as lines:
        shutil.copy(certificates.stranger, client)
        assert not await connects(broker, context)
    assert [line["event"] for line in lines] == ["kafka.credentials_recovered"]
    write(client, good)
    assert await connects(broker, context)
    shutil.copy(certificates.stranger_authority, authority)
    assert not await connects(broker, context)
    shutil.copy(certificates.authority, authority)
    assert await connects(broker, context)


def client_with_key(certificates: Certificates) -> str:
    return certificates.client.read_text() + certificates.client_key.read_text()


async def connects(broker: SecureBroker, context: ssl.SSLContext) -> bool:
    """Whether broker and client trust each other."""
    try:
        connection = await create_conn(CERTIFIED_NAME, broker.tls_port, security_protocol="SSL", ssl_context=context)
    except (KafkaError, OSError):
        return False
    connection.close()
    return True
