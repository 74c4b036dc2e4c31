"""A broker that asks for TLS and for every kind of credentials, with certificates made for the run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from streamer.devkit.broker import HOST, Broker, free_port
from streamer.devkit.sandbox.server import Sandbox
from tests.conftest import ConsumeAll
from tests.security.tokens import Issuer
from tests.service.harness import Deployment

USER: Final = "survey-reader"
PASSWORD: Final = "broker-password-7f3a"
KEY_PASSWORD: Final = "key-password-91bc"

CERTIFIED_NAME: Final = "localhost"
"""The only name in the broker's certificate; that it can be reached as 127.0.0.1 too makes for a wrong host name."""

SESSION_SECONDS: Final = 2
"""So often the listener ``rotating_port`` ends each connection, so that its client has to log in again."""

_SECURITY: Final = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM files: of the authority that broker and clients trust, of a client, and of an authority nobody knows."""

    authority: Path
    broker: Path
    client: Path
    client_key: Path
    """Encrypted with `KEY_PASSWORD`."""
    stranger_authority: Path
    stranger: Path
    """Certificate and key of a client, from the unknown authority."""


class SecureBroker(Broker):
    """A broker that also listens with TLS: ``sasl_port`` wants SASL on top, ``tls_port`` a client's certificate.

    ``rotating_port`` has no TLS; it wants a bearer token or a password, again and again.
    """

    def __init__(self, directory: Path, certificates: Certificates, key_set: Path) -> None:
        plain_port, controller_port, self.tls_port, self.sasl_port, self.rotating_port = (free_port() for _ in range(5))
        super().__init__(
            directory,
            port=plain_port,
            controller_port=controller_port,
            config={
                "listeners": f"PLAINTEXT://{HOST}:{plain_port},CONTROLLER://{HOST}:{controller_port},"
                f"SSL://{HOST}:{self.tls_port},SASL_SSL://{HOST}:{self.sasl_port},ROTATING://{HOST}:{self.rotating_port}",
                "advertised.listeners": f"PLAINTEXT://{HOST}:{plain_port},"
                f"SSL://{CERTIFIED_NAME}:{self.tls_port},SASL_SSL://{CERTIFIED_NAME}:{self.sasl_port},"
                f"ROTATING://{HOST}:{self.rotating_port}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,"
                "ROTATING:SASL_PLAINTEXT",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(certificates.broker),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(certificates.authority),
                "listener.name.ssl.ssl.client.auth": "required",
                **_sasl_config(key_set),
            },
            java_options=[
                f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={key_set.as_uri()}",
                f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={key_set}",
            ],
            format_options=[
                option
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for option in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
            ],
        )


def _sasl_config(key_set: Path) -> dict[str, str]:
    """How the two listeners with SASL check a password or a token."""
    return {
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        **{
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": f"{_SECURITY}.{module};"
            for listener in ("sasl_ssl", "rotating")
            for mechanism, module in (
                ("plain", f'plain.PlainLoginModule required user_{USER}="{PASSWORD}"'),
                ("scram-sha-256", "scram.ScramLoginModule required"),
                ("scram-sha-512", "scram.ScramLoginModule required"),
                ("oauthbearer", "oauthbearer.OAuthBearerLoginModule required"),
            )
        },
        "listener.name.rotating.connections.max.reauth.ms": str(SESSION_SECONDS * 1000),
        **{
            f"listener.name.{listener}.oauthbearer.sasl.server.callback.handler.class": (
                f"{_SECURITY}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            )
            for listener in ("sasl_ssl", "rotating")
        },
        # Not the default of Kafka 4.1.0, which took tokens that nobody had signed.
        "sasl.oauthbearer.jwt.validator.class": f"{_SECURITY}.oauthbearer.BrokerJwtValidator",
        "sasl.oauthbearer.jwks.endpoint.url": key_set.as_uri(),
    }


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Two authorities and what they certify."""
    directory = tmp_path_factory.mktemp("certificates")
    authority, stranger = trustme.CA(), trustme.CA()
    broker, client = authority.issue_cert(CERTIFIED_NAME), authority.issue_cert(USER)
    unencrypted = serialization.NoEncryption()

    def write(name: str, *parts: bytes) -> Path:
        path = directory / name
        path.write_bytes(b"".join(parts))
        return path

    return Certificates(
        authority=write("authority.pem", authority.cert_pem.bytes()),
        broker=write("broker.pem", _key(broker, unencrypted), _chain(broker)),
        client=write("client.pem", _chain(client)),
        client_key=write("client.key", _key(client, serialization.BestAvailableEncryption(KEY_PASSWORD.encode()))),
        stranger_authority=write("stranger-authority.pem", stranger.cert_pem.bytes()),
        stranger=write("stranger.pem", (other := stranger.issue_cert(USER)).private_key_pem.bytes(), _chain(other)),
    )


def _chain(certificate: trustme.LeafCert) -> bytes:
    return b"".join(pem.bytes() for pem in certificate.cert_chain_pems)


def _key(certificate: trustme.LeafCert, encryption: serialization.KeySerializationEncryption) -> bytes:
    """The private key in the one form that Java reads: PKCS #8."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), password=None)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    """The identity provider that the broker trusts."""
    return Issuer.new()


@pytest.fixture(scope="session")
def broker(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, issuer: Issuer
) -> Iterator[SecureBroker]:
    """In the place of the session's usual broker; its own clients come to a listener without TLS."""
    directory = tmp_path_factory.mktemp("secure-kafka")
    key_set = directory / "key-set.json"
    issuer.publish(key_set)
    broker = SecureBroker(directory, certificates, key_set)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(broker.start())
        try:
            yield broker
        finally:
            runner.run(broker.stop())


@pytest.fixture
async def deployment(
    tmp_path: Path, broker: SecureBroker, sandbox: Sandbox, consume_all: ConsumeAll
) -> AsyncIterator[Deployment]:
    """A configuration of one integration; how it reaches the broker is each test's own matter."""
    deployment = Deployment(
        directory=tmp_path, bootstrap_servers=broker.bootstrap_servers, sandbox=sandbox, consume_all=consume_all
    )
    yield deployment
    await deployment.close()
