"""How all our Kafka clients connect, and what their errors mean in plain words."""

import importlib.util
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiokafka import errors

from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.credentials import FixedSecret, SecretFile, secret_file, token_file
from streamer.kafka.login import CredentialsRejectedError, Login, LoginFailedError
from streamer.kafka.tls import RenewedContext
from streamer.settings import KafkaSettings

ANSWER_TIMEOUT_SECONDS: Final = 5.0
"""Longest wait for the answer to a request of our own, or for news of the cluster's layout."""

_WRONG_CREDENTIALS: Final = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.IllegalSaslStateError,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
)

_Kinds = type[BaseException] | tuple[type[BaseException], ...]

_MEANINGS: Final[tuple[tuple[_Kinds, str], ...]] = (
    (
        errors.UnsupportedSaslMechanismError,
        "the broker does not support this kafka.sasl_mechanism; ask its operators which one to use",
    ),
    (
        errors.IllegalSaslStateError,
        "the broker does not use SASL on this listener; correct kafka.security_protocol or the port",
    ),
    (
        _WRONG_CREDENTIALS,
        "the broker rejected the credentials; correct kafka.sasl_*, or ask for the user to be created",
    ),
    (
        errors.TopicAuthorizationFailedError,
        "a right on the topic is missing; grant READ and DESCRIBE on topics, WRITE and DESCRIBE on dead-letter topics",
    ),
    (errors.GroupAuthorizationFailedError, "a right on the consumer group is missing; grant READ on the group"),
    (
        errors.ClusterAuthorizationFailedError,
        "a right on the cluster is missing; grant CREATE for kafka.create_topics: true (old brokers: IDEMPOTENT_WRITE)",
    ),
    (
        errors.UnknownTopicOrPartitionError,
        "the topic does not exist, or the right to DESCRIBE it is missing; create the topic or grant the right",
    ),
    # Its own text may quote a record.
    (errors.CorruptRecordException, "the records are damaged, on the broker's disk or on the way"),
    (
        ssl.SSLCertVerificationError,
        "the broker's certificate is not trusted; correct kafka.ssl_cafile, or the host name if it does not match",
    ),
    (ssl.SSLError, "the TLS handshake failed; the listener does not use TLS, or no version that streamer supports"),
    (socket.gaierror, "the host name is unknown; correct kafka.bootstrap_servers, or check DNS"),
    (ConnectionRefusedError, "no program listens on this port; start the broker, or correct kafka.bootstrap_servers"),
    (
        (TimeoutError, errors.RequestTimedOutError, errors.KafkaTimeoutError),
        "no answer in time; the broker is overloaded, a firewall drops packets, or kafka.security_protocol is wrong",
    ),
    (
        # A host name with several addresses ends in a bare OSError when all of them fail.
        (errors.KafkaConnectionError, OSError, errors.NodeNotReadyError, errors.NoBrokersAvailable),
        "the connection failed; check that the broker runs, and that kafka.security_protocol is that of its listener",
    ),
)
"""The first row that matches wins, so special errors come first."""

_OUR_CERTIFICATE_REFUSED: Final = (
    "the broker does not trust streamer's certificate, or got none; correct kafka.ssl_certfile and kafka.ssl_keyfile"
)


def client_options(kafka: KafkaSettings, *, is_lasting: bool = False) -> dict[str, Any]:
    """The keyword arguments that consumers, producers and admin clients have in common.

    Args:
        kafka: where the brokers are, and how to connect.
        is_lasting: whether the client stays and connects again by itself; see `streamer.kafka.login`
            and `streamer.kafka.tls`.

    Raises:
        SettingsError: a file of a certificate or a secret cannot be used, or Kerberos support is not installed.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": kafka.client_id,
        "request_timeout_ms": kafka.request_timeout_ms,
        "metadata_max_age_ms": kafka.metadata_max_age_ms,
        "security_protocol": kafka.security_protocol,
    }
    try:
        if kafka.security_protocol.endswith("SSL"):
            options["ssl_context"] = RenewedContext.of(kafka, is_lasting=is_lasting)
        if kafka.security_protocol.startswith("SASL_"):
            options |= _sasl_options(kafka, is_lasting=is_lasting)
    except UnavailableError as error:
        raise SettingsError([str(error)]) from error
    return options


def connection_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `client_options` that concern a single connection."""
    names = ("client_id", "request_timeout_ms", "ssl_context", "security_protocol")
    return {name: options[name] for name in options if name in names or name.startswith("sasl_")}


def _sasl_options(kafka: KafkaSettings, *, is_lasting: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"sasl_mechanism": kafka.sasl_mechanism}
    if kafka.sasl_mechanism == "GSSAPI":
        if importlib.util.find_spec("gssapi") is None:
            raise SettingsError(["kafka.sasl_mechanism: GSSAPI needs a package: run pip install 'aiokafka[gssapi]'"])
        options["sasl_kerberos_service_name"] = kafka.sasl_kerberos_service_name
        options["sasl_kerberos_domain_name"] = kafka.sasl_kerberos_domain_name
        return options
    secret = _secret(kafka)
    if isinstance(secret, SecretFile):
        secret.verify()
    login = Login(secret, is_lasting=is_lasting)
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = login
    else:
        options["sasl_plain_username"] = kafka.sasl_plain_username
        options["sasl_plain_password"] = login
    return options


def _secret(kafka: KafkaSettings) -> FixedSecret | SecretFile:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        assert kafka.sasl_oauth_token_file is not None, "checked when the configuration was loaded"
        return token_file(kafka.sasl_oauth_token_file, "kafka.sasl_oauth_token_file")
    if kafka.sasl_plain_password is not None:
        return FixedSecret(kafka.sasl_plain_password, "kafka.sasl_plain_password")
    assert kafka.sasl_plain_password_file is not None, "checked when the configuration was loaded"
    return secret_file(kafka.sasl_plain_password_file, "kafka.sasl_plain_password_file")


def describe_kafka_error(error: BaseException) -> str:
    """One sentence about an error of the client or of its connection: what it means, what to do, and its name.

    Its causes are examined too: the client wraps special errors into "connection closed". An unknown error is described
    by its own text, which in this client holds names and codes, never records.
    """
    for cause in _chain(error):
        if isinstance(cause, LoginFailedError | CredentialsRejectedError):
            return str(cause.args[0])
    for kinds, meaning in _MEANINGS:
        for cause in _chain(error):
            if isinstance(cause, kinds):
                said = _OUR_CERTIFICATE_REFUSED if _is_about_our_certificate(cause) else meaning
                return f"{said} ({_name(cause)})"
    return str(error) if isinstance(error, errors.KafkaError) else type(error).__name__


def is_set_up_fault(error: BaseException) -> bool:
    """Whether a broker answered, and it or we rejected the other side, so that another attempt would fail too."""
    kinds = (*_WRONG_CREDENTIALS, ssl.SSLCertVerificationError)
    return any(isinstance(cause, kinds) or _is_about_our_certificate(cause) for cause in _chain(error))


def _is_about_our_certificate(error: BaseException) -> bool:
    """Whether a broker ended the handshake because of our certificate, as with TLSV13_ALERT_CERTIFICATE_REQUIRED."""
    reason = _tls_reason(error)
    return "_ALERT_" in reason and ("CERTIFICATE" in reason or reason.endswith("UNKNOWN_CA"))


def _tls_reason(error: BaseException) -> str:
    """OpenSSL's name for the fault; "" for other errors, and for those that Python itself raises."""
    return (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""


def _name(error: BaseException) -> str:
    """The name of an error; for TLS also the exact fault, such as an expired certificate or another host name."""
    detail = getattr(error, "verify_message", "") or _tls_reason(error)
    return f"{type(error).__name__}: {detail}" if detail else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
