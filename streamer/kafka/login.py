"""How a client logs in with SASL, at each of its connections.

Four traps of aiokafka 0.14 are worked around here:

- It keeps the password that it was made with. Ours is read for each connection.
- An exception during a login ends its fetching, its heartbeats and its metadata for good, unless it is one of the
  client's own. A token that cannot be read, an expired Kerberos ticket or a strange answer to SCRAM raise other ones.
  `LoginFailedError` is a broken connection to the client, so it tries again.
- A broker that rejects a bearer token answers with a reason and waits for one more message (RFC 7628, 3.2.3). The
  client takes that for a success, and later reports a topic that does not exist.
- Nobody who reads or writes learns of a rejected login. Clients that connect again by themselves log it.
"""

import re
from typing import Final

import orjson
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed

from streamer.kafka.credentials import FixedSecret, SecretFile, TokenFile
from streamer.logs import Event, logger

_DUMMY: Final = b"\x01"
"""What a client must send after the reason, for the broker to end the login."""

_STATUS: Final = re.compile(r"[a-z_]{1,40}")
"""A broker's reason in one word, such as ``invalid_token``."""


class LoginFailedError(KafkaConnectionError):  # type: ignore[misc]  # the client is untyped
    """A login did not come about; the text says why and what to do. The client tries again."""


class SecretMissingError(LoginFailedError):
    """There is no secret to log in with."""


class CredentialsRejectedError(SaslAuthenticationFailed):  # type: ignore[misc]
    """A broker rejected our credentials; the text says which and what to do."""


class Login(AbstractTokenProvider):  # type: ignore[misc]
    """What one client logs in with: it takes the place of the password and of the token provider."""

    def __init__(self, secret: FixedSecret | SecretFile, *, is_lasting: bool) -> None:
        """Prepare.

        Args:
            secret: the password or the token.
            is_lasting: whether the client stays and connects again by itself. What befalls it there raises nothing,
                and is logged instead.
        """
        self._secret = secret
        self._is_lasting = is_lasting
        self._has_trouble = False

    async def token(self) -> str:
        """The bearer token."""
        return self.read()

    def read(self) -> str:
        """The password or the token.

        Raises:
            SecretMissingError: there is none.
        """
        secret = self._secret.read()
        if self._secret.problem:
            self._tell(
                Event.KAFKA_CREDENTIALS_MISSING,
                detail=self._secret.problem,
                next_step=f"Have {self._secret.name} written again. streamer reads it for each connection to a broker; "
                "no restart is needed.",
            )
        if secret is None:
            raise SecretMissingError(self._secret.problem)
        return secret

    def rejected(self, error: SaslAuthenticationFailed) -> CredentialsRejectedError:
        """A broker has rejected them: the error that says so."""
        name = self._secret.name
        if isinstance(self._secret, TokenFile):
            reasons = [reason for reason in (_status(error), self._secret.what_is_wrong()) if reason]
            why = f" ({', '.join(reasons)})" if reasons else ""
            text = (
                f"the broker rejected the bearer token in {name}{why}; put a token in the file that the brokers accept"
            )
        else:
            text = (
                "the broker rejected the credentials; correct kafka.sasl_plain_username or "
                f"{name}, or ask for the user to be created"
            )
        self._tell(Event.KAFKA_CREDENTIALS_REJECTED, detail=text)
        return CredentialsRejectedError(text)

    def accepted(self) -> None:
        """A broker has accepted them."""
        if self._has_trouble and not self._secret.problem:
            self._has_trouble = False
            logger().emit(Event.KAFKA_CREDENTIALS_RECOVERED)

    def _tell(self, event: Event, **fields: str) -> None:
        if self._is_lasting:
            self._has_trouble = True
            logger().emit(event, **fields)


def _status(error: SaslAuthenticationFailed) -> str:
    """The broker's reason for rejecting a token, out of the JSON of RFC 7628; empty: it gave none."""
    try:
        status = orjson.loads(error.args[0])["status"]
    except (IndexError, KeyError, TypeError, ValueError):
        return ""
    return status if isinstance(status, str) and _STATUS.fullmatch(status) else ""


class _BearerExchange(OAuthAuthenticator):  # type: ignore[misc]
    """The client's own exchange, which goes on to its end when the broker rejects the token."""

    _is_rejected = False

    async def step(self, answer: bytes | None) -> tuple[bytes, bool] | None:
        if self._is_rejected:  # the broker should have ended it
            raise SaslAuthenticationFailed
        if answer:
            self._is_rejected = True
            return _DUMMY, True
        step: tuple[bytes, bool] | None = await super().step(answer)
        return step


_log_in_as_client = AIOKafkaConnection._do_sasl_handshake  # noqa: SLF001 - the client has no place for an authenticator


async def _log_in(connection: AIOKafkaConnection) -> None:
    """In the place of the client's own login: does the same, with a `Login` and with errors that the client survives.

    Raises:
        KafkaError: as before; `CredentialsRejectedError` and `LoginFailedError` are such errors.
        OSError: as before, as `TimeoutError`.
    """
    login = connection._sasl_oauth_token_provider or connection._sasl_plain_password  # noqa: SLF001
    if not isinstance(login, Login):  # Kerberos
        login = None
    elif connection._sasl_mechanism == "OAUTHBEARER":  # noqa: SLF001
        connection.authenticator_oauth = lambda: _BearerExchange(sasl_oauth_token_provider=login)
    else:
        connection._sasl_plain_password = login.read()  # noqa: SLF001
    try:
        await _log_in_as_client(connection)
    except SaslAuthenticationFailed as error:
        if login is None:
            raise
        raise login.rejected(error) from error
    except (KafkaError, OSError, TimeoutError):
        raise
    except Exception as error:
        raise LoginFailedError(
            f"the login failed with {type(error).__name__}; check the Kerberos ticket where kafka.sasl_mechanism is "
            "GSSAPI, and the broker elsewhere"
        ) from error
    if login is not None:
        login.accepted()


AIOKafkaConnection._do_sasl_handshake = _log_in  # noqa: SLF001
