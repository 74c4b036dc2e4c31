import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import errors
from aiokafka.client import AIOKafkaClient

from streamer.core.errors import SettingsError
from streamer.kafka.options import client_options, describe_kafka_error, is_set_up_fault
from streamer.settings import KafkaSettings

BASE = {"bootstrap_servers": "broker:9092"}


def options_of(**kafka: Any) -> dict[str, Any]:
    return client_options(KafkaSettings.model_validate(BASE | kafka))


def test_a_plain_listener_needs_no_more_than_an_address() -> None:
    assert options_of() == {
        "bootstrap_servers": "broker:9092",
        "client_id": "streamer",
        "request_timeout_ms": 40_000,
        "metadata_max_age_ms": 60_000,
        "security_protocol": "PLAINTEXT",
    }


def test_tls_checks_certificate_and_host_name() -> None:
    context = options_of(security_protocol="SSL")["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_the_host_name_check_can_be_left_out() -> None:
    context = options_of(security_protocol="SSL", ssl_check_hostname=False)["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_is_given_or_read_from_its_file(tmp_path: Path, mechanism: str) -> None:
    common = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, "sasl_plain_username": "user"}
    (tmp_path / "password").write_text("secret\n")
    for given in ({"sasl_plain_password": "secret"}, {"sasl_plain_password_file": tmp_path / "password"}):
        options = options_of(**common, **given)
        login = options["sasl_plain_password"]
        assert (options["sasl_mechanism"], options["sasl_plain_username"], login.read()) == (
            mechanism,
            "user",
            "secret",
        )


async def test_a_bearer_token_is_read_for_every_connection(tmp_path: Path) -> None:
    """Something else keeps the file fresh; a token read once would be stale after minutes."""
    file = tmp_path / "token"
    file.write_text("first")
    options = options_of(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file=file)
    provider = options["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    file.write_text("second\n")
    assert await provider.token() == "second"


@pytest.mark.parametrize(
    "kafka",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SASL_SSL", "sasl_plain_username": "u", "sasl_plain_password": "p"},
    ],
)
async def test_the_client_takes_the_options(kafka: dict[str, Any]) -> None:
    assert AIOKafkaClient(**options_of(**kafka)).hosts


@pytest.mark.parametrize("setting", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
@pytest.mark.parametrize("content", [None, "not PEM"])
def test_a_file_that_is_no_certificate_is_a_fault(tmp_path: Path, setting: str, content: str | None) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    kafka = {"ssl_certfile": file, setting: file}
    with pytest.raises(SettingsError, match=r"cannot be used: (No such file or directory|not in PEM format)"):
        options_of(security_protocol="SSL", **kafka)


@pytest.mark.parametrize(
    "kafka",
    [
        {"sasl_mechanism": "PLAIN", "sasl_plain_username": "u", "sasl_plain_password_file": "/none"},
        {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": "/none"},
        {"sasl_plain_username": "u", "sasl_plain_password": "p", "ssl_password_file": "/none"},
    ],
)
def test_a_missing_secret_file_is_a_fault(kafka: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"kafka\.s\w+_file /none cannot be read: No such file or directory"):
        options_of(security_protocol="SASL_SSL", **kafka)


def test_kerberos_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], None] = {"gssapi": None}.__getitem__
    monkeypatch.setattr("importlib.util.find_spec", find)
    with pytest.raises(SettingsError, match=r"pip install 'aiokafka\[gssapi\]'"):
        options_of(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.SaslAuthenticationFailed("bad password"), "the broker rejected the credentials"),
        (errors.AuthenticationFailedError(), "the broker rejected the credentials"),
        (errors.UnsupportedSaslMechanismError(), "the broker does not support this kafka.sasl_mechanism"),
        (errors.IllegalSaslStateError(), "the broker does not use SASL on this listener"),
        (errors.TopicAuthorizationFailedError("t"), "a right on the topic is missing"),
        (errors.GroupAuthorizationFailedError("g"), "a right on the consumer group is missing"),
        (errors.ClusterAuthorizationFailedError(), "a right on the cluster is missing"),
        (errors.UnknownTopicOrPartitionError("t"), "the topic does not exist"),
        (ssl.SSLCertVerificationError("x"), "the broker's certificate is not trusted"),
        (ssl.SSLError("x"), "the TLS handshake failed"),
        (ConnectionRefusedError(), "no program listens on this port"),
        (TimeoutError(), "no answer in time"),
        (errors.RequestTimedOutError(), "no answer in time"),
        (errors.KafkaConnectionError("closed"), "the connection failed"),
        (OSError("Multiple exceptions: ..."), "the connection failed"),
    ],
)
def test_an_error_is_told_as_cause_and_remedy(error: BaseException, meaning: str) -> None:
    text = describe_kafka_error(error)
    assert text.startswith(meaning)
    assert ";" in text
    assert text.endswith(f"({type(error).__name__})")


def test_the_special_cause_is_told_before_the_general_error() -> None:
    """The client closes the connection when TLS fails, and raises that it is closed."""
    error = errors.KafkaConnectionError("Connection at broker:9092 closed")
    error.__cause__ = ssl.SSLCertVerificationError("self-signed certificate")
    assert describe_kafka_error(error).startswith("the broker's certificate is not trusted")


def test_an_unknown_error_keeps_its_name() -> None:
    assert describe_kafka_error(errors.PolicyViolationError()).startswith("[Error 44] PolicyViolationError")
    assert describe_kafka_error(KeyError("value")) == "KeyError"


def tls_error(reason: str) -> ssl.SSLError:
    """What OpenSSL raises when the other side ends a connection with an alert."""
    error = ssl.SSLError(1, f"[SSL: {reason}] in words")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "is_set_up"),
    [
        (errors.SaslAuthenticationFailed(), True),
        (errors.UnsupportedSaslMechanismError(), True),
        (ssl.SSLCertVerificationError(), True),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True),
        (tls_error("SSLV3_ALERT_CERTIFICATE_UNKNOWN"), True),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), True),
        (tls_error("TLSV1_ALERT_INTERNAL_ERROR"), False),
        (ssl.SSLEOFError(), False),
        (errors.KafkaConnectionError(), False),
        (ConnectionRefusedError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_only_an_answer_that_will_stay_the_same_is_a_fault_of_the_set_up(
    error: BaseException, *, is_set_up: bool
) -> None:
    """A run that starts with one ends with 78; with anything else it keeps trying."""
    assert is_set_up_fault(error) is is_set_up
    wrapper = errors.KafkaConnectionError()
    wrapper.__cause__ = error
    assert is_set_up_fault(wrapper) is is_set_up


def test_what_tls_objects_to_is_told() -> None:
    """An unknown authority, an expired certificate and another host name have different remedies."""
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "certificate has expired"
    assert describe_kafka_error(error).endswith("(SSLCertVerificationError: certificate has expired)")
    text = describe_kafka_error(tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"))
    assert text.startswith("the broker does not trust streamer's certificate")
    assert text.endswith("(SSLError: TLSV13_ALERT_CERTIFICATE_REQUIRED)")
