"""Every way of showing the brokers who we are, and of learning who they are, on a real broker."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.security.conftest import CERTIFIED_NAME, KEY_PASSWORD, PASSWORD, USER, Certificates, SecureBroker
from tests.security.tokens import Issuer
from tests.service.harness import Deployment, Process, eventually, pipeline_of, survey_event

pytestmark = pytest.mark.kafka

Section = dict[str, Any]
"""The section ``kafka`` of a configuration."""


class Ways:
    """Sections ``kafka`` that reach the broker."""

    def __init__(self, broker: SecureBroker, certificates: Certificates, issuer: Issuer, directory: Path) -> None:
        self.certificates = certificates
        self._issuer = issuer
        self.plain_servers = broker.bootstrap_servers
        self._broker = broker
        self._directory = directory

    def tls(self, host: str = CERTIFIED_NAME, **changes: Any) -> Section:
        """To the listener that wants a client's certificate."""
        return {
            "bootstrap_servers": f"{host}:{self._broker.tls_port}",
            "security_protocol": "SSL",
            "ssl_cafile": str(self.certificates.authority),
            **changes,
        }

    def mutual_tls(self, **changes: Any) -> Section:
        """With a certificate whose key is encrypted."""
        section = self.tls(
            ssl_certfile=str(self.certificates.client),
            ssl_keyfile=str(self.certificates.client_key),
            ssl_password_file=self.secret("key-password", KEY_PASSWORD),
        )
        return section | changes

    def sasl(self, mechanism: str, host: str = CERTIFIED_NAME, **changes: Any) -> Section:
        """To the listener that wants TLS and SASL."""
        section = {
            "bootstrap_servers": f"{host}:{self._broker.sasl_port}",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "ssl_cafile": str(self.certificates.authority),
        }
        return section | changes

    def password(self, mechanism: str, *, user: str = USER, password: str = PASSWORD, **changes: Any) -> Section:
        """With user and password, which stands in a file."""
        return self.sasl(
            mechanism,
            sasl_plain_username=user,
            sasl_plain_password_file=self.secret("password", password),
            **changes,
        )

    def token(self, issuer: Issuer | None = None, lifetime_seconds: int = 600) -> Section:
        """With a bearer token from a file; the broker trusts one issuer alone."""
        token = (issuer or self._issuer).token(USER, lifetime_seconds=lifetime_seconds)
        return self.sasl("OAUTHBEARER", sasl_oauth_token_file=self.secret("token", token))

    def secret(self, name: str, text: str) -> str:
        """A file as secrets are mounted: with a line break at its end."""
        path = self._directory / name
        path.write_text(f"{text}\n")
        return str(path)


@pytest.fixture
def ways(broker: SecureBroker, certificates: Certificates, issuer: Issuer, tmp_path: Path) -> Ways:
    return Ways(broker, certificates, issuer, tmp_path)


async def start(deployment: Deployment, kafka: Section) -> Process:
    """Run the service with a section ``kafka``, and one integration."""
    await deployment.integrate()
    deployment.document["kafka"] |= kafka
    return await deployment.start_process()


@pytest.mark.parametrize(
    "section_of",
    [
        pytest.param(lambda ways: ways.password("PLAIN"), id="PLAIN"),
        pytest.param(lambda ways: ways.password("SCRAM-SHA-256"), id="SCRAM-SHA-256"),
        pytest.param(lambda ways: ways.password("SCRAM-SHA-512"), id="SCRAM-SHA-512"),
        pytest.param(lambda ways: ways.token(), id="OAUTHBEARER"),
        pytest.param(lambda ways: ways.mutual_tls(), id="mutual TLS"),
    ],
)
async def test_events_are_delivered_over(
    deployment: Deployment, ways: Ways, section_of: Callable[[Ways], Section]
) -> None:
    """Good and bad ones: the consumer, the producer of dead letters and the admin client all take the way."""
    process = await start(deployment, section_of(ways))
    [topic] = deployment.integration("surveys")["topics"]
    await deployment.produce(topic, [survey_event("evt_1"), b"{", survey_event("evt_2")])
    await deployment.settled()
    process.send(signal.SIGTERM)
    assert await process.wait() == 0
    assert process.errors == ""
    assert dict(deployment.sandbox.record.counts()) == {"evt_1": 1, "evt_2": 1}
    assert [letter.value for letter in await deployment.dead_letters()] == [b"{"]


@pytest.mark.parametrize(
    ("section_of", "meaning"),
    [
        pytest.param(
            lambda ways: ways.password("PLAIN", password="wrong-password-55"),
            "the broker rejected the credentials",
            id="wrong password, PLAIN",
        ),
        pytest.param(
            lambda ways: ways.password("SCRAM-SHA-256", password="wrong-password-55"),
            "the broker rejected the credentials",
            id="wrong password, SCRAM-SHA-256",
        ),
        pytest.param(
            lambda ways: ways.password("SCRAM-SHA-512", password="wrong-password-55"),
            "the broker rejected the credentials",
            id="wrong password, SCRAM-SHA-512",
        ),
        pytest.param(
            lambda ways: ways.password("SCRAM-SHA-512", user="nobody"),
            "the broker rejected the credentials",
            id="unknown user",
        ),
        pytest.param(
            lambda ways: ways.token(lifetime_seconds=-600), "the broker rejected the bearer token", id="expired token"
        ),
        pytest.param(lambda ways: ways.token(Issuer.new()), "the broker rejected the bearer token", id="forged token"),
        pytest.param(
            lambda ways: ways.password("PLAIN", ssl_cafile=str(ways.certificates.stranger_authority)),
            "(SSLCertVerificationError: unable to get local issuer certificate)",
            id="unknown authority",
        ),
        pytest.param(
            lambda ways: ways.password("PLAIN", host="127.0.0.1"),
            "(SSLCertVerificationError: IP address mismatch, certificate is not valid for '127.0.0.1'.)",
            id="wrong host name",
        ),
        pytest.param(
            lambda ways: ways.tls(),
            "the broker does not trust streamer's certificate, or got none",
            id="no client certificate",
        ),
        pytest.param(
            lambda ways: ways.tls(ssl_certfile=str(ways.certificates.stranger)),
            "the broker does not trust streamer's certificate, or got none",
            id="client certificate of an unknown authority",
        ),
        pytest.param(
            lambda ways: ways.mutual_tls(ssl_password_file=ways.secret("wrong", "wrong-password-55")),
            "kafka.ssl_cafile, ssl_certfile, ssl_keyfile or ssl_password cannot be used",
            id="wrong password of the key",
        ),
    ],
)
async def test_a_fault_of_the_set_up_ends_the_start_with_one_line(
    deployment: Deployment, ways: Ways, section_of: Callable[[Ways], Section], meaning: str
) -> None:
    process = await start(deployment, section_of(ways))
    assert await process.wait() == 78
    heading, fault = process.errors.splitlines()
    assert heading == f"streamer: 1 fault in {process.config}:"
    assert fault.startswith("  kafka")
    assert meaning in fault
    for secret in (PASSWORD, KEY_PASSWORD, "wrong-password-55"):
        assert secret not in process.errors + process._out.read_text()


@pytest.mark.parametrize(
    "section_of",
    [
        pytest.param(
            lambda ways: {"bootstrap_servers": ways.tls()["bootstrap_servers"]}, id="no TLS on a listener with it"
        ),
        pytest.param(
            lambda ways: ways.tls() | {"bootstrap_servers": ways.plain_servers}, id="TLS on a listener without it"
        ),
    ],
)
async def test_another_security_protocol_is_told(
    deployment: Deployment, ways: Ways, section_of: Callable[[Ways], Section]
) -> None:
    """From here it looks like a connection that breaks, which may pass: it is tried again, and said."""
    process = await start(deployment, section_of(ways))
    await eventually(lambda: process.log_events("kafka.unavailable"))
    [line] = process.log_events("kafka.unavailable")
    assert "check that the broker runs, and that kafka.security_protocol is that of its listener" in line["detail"]
    process.send(signal.SIGTERM)
    assert await process.wait() == 0


async def test_the_host_name_check_can_be_left_out(deployment: Deployment, ways: Ways) -> None:
    process = await start(deployment, ways.password("PLAIN", host="127.0.0.1", ssl_check_hostname=False))
    [topic] = deployment.integration("surveys")["topics"]
    await deployment.produce(topic, [survey_event("evt_1")])
    await deployment.settled()
    assert process.is_running


async def test_a_password_that_stops_working_does_not_end_what_worked(deployment: Deployment, ways: Ways) -> None:
    """It is changed on both sides, one after the other: in between the service says so, and other integrations run."""
    await deployment.integrate()
    deployment.document["kafka"] |= ways.password("SCRAM-SHA-512")
    [topic] = deployment.integration("surveys")["topics"]
    async with deployment.running() as service:
        await eventually(lambda: service.integrations["surveys"].runner.has_started)
        ways.secret("password", "wrong-password-55")
        with capture_logs() as lines:
            pipeline_of(service)._crash.set_exception(RuntimeError("planted: the pipeline has to connect anew"))
            await eventually(lambda: [line for line in lines if line["event"] == "kafka.unavailable"])
        assert any("the broker rejected the credentials" in line.get("detail", "") for line in lines)
        ways.secret("password", PASSWORD)
        await deployment.produce(topic, [survey_event("evt_1")])
        await deployment.settled()
    await deployment.verify()
