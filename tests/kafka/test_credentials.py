"""Passwords and tokens whose files another program replaces, and what a login says about them."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamer.core.errors import UnavailableError
from streamer.kafka import login
from streamer.kafka.credentials import SecretFile, TokenFile, token_end
from streamer.kafka.login import CredentialsRejectedError, Login, LoginFailedError, SecretMissingError, _BearerExchange
from streamer.kafka.options import describe_kafka_error, is_set_up_fault

SETTING = "kafka.sasl_oauth_token_file"
HOUR = 3_600


def web_token(**claims: Any) -> str:
    """A JSON Web Token with a signature that nobody checks."""
    header, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "RS256"}, claims)
    )
    return f"{header}.{body}.c2lnbmF0dXJl"


def current(seconds: float = HOUR) -> str:
    return web_token(sub="streamer", exp=time.time() + seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def file(path: Path) -> TokenFile:
    return TokenFile(path, SETTING)


def test_the_file_is_read_each_time(path: Path, file: TokenFile) -> None:
    for token in ("first", "second"):
        path.write_text(f"{token}\n")
        assert file.read() == token
        assert file.problem == ""


@pytest.mark.parametrize(
    ("harm", "text"),
    [
        (Path.unlink, "cannot be read: No such file or directory; mount the secret or correct the path"),
        (lambda path: path.write_text(""), "is empty; put the secret in it"),
        (lambda path: path.write_text("\r\n"), "is empty; put the secret in it"),
        (lambda path: path.write_text("<html>login</html>"), "holds no bearer token; put the token in it"),
        (lambda path: path.write_text("a\x01auth=b"), "holds no bearer token; put the token in it"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not UTF-8 text"),
    ],
)
def test_the_last_token_serves_while_there_is_none_in_the_file(
    path: Path, file: TokenFile, harm: Callable[[Path], object], text: str
) -> None:
    """A program that renews it may delete it, empty it, or write an error page into it, and be back in seconds."""
    token = current()
    path.write_text(token)
    file.verify()
    harm(path)
    assert file.read() == token
    assert file.problem.startswith(f"{SETTING} {path} {text}")
    assert "The last token serves until 20" in file.problem
    path.write_text("next")
    assert file.read() == "next"
    assert file.problem == ""


def test_a_token_that_does_not_say_when_it_ends_serves_on(path: Path, file: TokenFile) -> None:
    path.write_text("opaque")
    file.verify()
    path.unlink()
    assert file.read() == "opaque"
    assert file.problem.endswith(". The last token serves")


def test_a_token_that_has_ended_serves_no_longer(path: Path, file: TokenFile) -> None:
    path.write_text(current(-1))
    file.verify()
    path.unlink()
    assert file.read() is None
    assert "The last token has ended" in file.problem


def test_a_token_in_the_file_is_shown_even_if_it_has_ended(path: Path, file: TokenFile) -> None:
    """The clock of this machine may be wrong; the broker decides."""
    path.write_text(token := current(-1))
    assert file.read() == token


def test_a_start_without_a_secret_says_so(path: Path, file: TokenFile) -> None:
    with pytest.raises(UnavailableError, match=f"{SETTING} {path} cannot be read: No such file"):
        file.verify()


def test_a_restart_without_the_file_is_no_start_without_a_secret(path: Path, file: TokenFile) -> None:
    """The last secret outlives pipelines: clients that are made while the file is away use it."""
    path.write_text("opaque")
    file.verify()
    path.unlink()
    file.verify()


def test_a_password_may_be_any_text_but_the_empty_one(path: Path) -> None:
    file = SecretFile(path, "kafka.sasl_plain_password_file")
    path.write_text("pass word <%>\n")
    assert file.read() == "pass word <%>"
    path.write_text("")
    assert file.read() == "pass word <%>"
    assert file.problem.endswith("is empty; put the secret in it. The last one serves")


@pytest.mark.parametrize(
    ("token", "end"),
    [
        (web_token(exp=1_763_200_000), 1_763_200_000),
        (web_token(exp=1_763_200_000.5), 1_763_200_000.5),
        (web_token(sub="x"), None),
        (web_token(exp="tomorrow"), None),
        (web_token(exp=None), None),
        (web_token(exp=1e300), None),
        ("opaque", None),
        ("a.b.c", None),
        ("a.bnVsbA.c", None),
    ],
)
def test_the_end_of_a_token_is_read_where_it_can_be(token: str, end: float | None) -> None:
    found = token_end(token)
    assert (found.timestamp() if found else None) == end


def as_token(claims: bytes) -> str:
    return f"a.{base64.urlsafe_b64encode(claims).decode()}.c"


@given(st.one_of(st.text(), st.text().map(lambda text: f"a.{text}.c"), st.binary().map(as_token)))
def test_no_token_is_too_strange_to_be_read(token: str) -> None:
    token_end(token)


def test_a_login_without_a_token_is_a_broken_connection_to_the_client(path: Path, file: TokenFile) -> None:
    """Any error but its own ends the client's tasks for good, while it looks alive."""
    path.write_text(current(-1))
    file.verify()
    path.unlink()
    with pytest.raises(SecretMissingError) as caught:
        Login(file, is_lasting=False).read()
    assert isinstance(caught.value, KafkaConnectionError)
    assert describe_kafka_error(caught.value) == file.problem
    assert not is_set_up_fault(caught.value)


def test_only_a_client_that_stays_logs_what_befalls_its_login(path: Path, file: TokenFile) -> None:
    """A question to the brokers raises, and its caller says what happened."""
    path.write_text(current())
    file.verify()
    path.unlink()
    with capture_logs() as lines:
        Login(file, is_lasting=False).read()
    assert lines == []
    with capture_logs() as lines:
        Login(file, is_lasting=True).read()
    [line] = lines
    assert line["event"] == "kafka.credentials_missing"
    assert line["detail"] == file.problem
    assert line["next_step"].startswith(f"Have {SETTING} {path} written again.")


def test_that_all_is_well_again_is_said_once_and_only_after_trouble(path: Path, file: TokenFile) -> None:
    path.write_text("opaque")
    mine = Login(file, is_lasting=True)
    with capture_logs() as lines:
        mine.read()
        mine.accepted()
    assert lines == []
    path.unlink()
    mine.read()
    with capture_logs() as lines:
        mine.accepted()  # the last one
        path.write_text("next")
        mine.read()
        assert lines == []
        mine.accepted()
        mine.accepted()
    assert [line["event"] for line in lines] == ["kafka.credentials_recovered"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (['{"status":"invalid_token"}'], " (invalid_token)"),
        (['{"status":"see https://user:secret@host"}'], ""),
        (['{"status":7}'], ""),
        (["[]"], ""),
        (["not JSON"], ""),
        ([None], ""),
        ([], ""),
    ],
)
def test_a_rejected_token_is_told_with_its_file_and_the_reason(
    path: Path, file: TokenFile, reason: list[Any], shown: str
) -> None:
    path.write_text("opaque")
    mine = Login(file, is_lasting=True)
    mine.read()
    with capture_logs() as lines:
        error = mine.rejected(SaslAuthenticationFailed(*reason))
    remedy = "put a token in the file that the brokers accept"
    text = f"the broker rejected the bearer token in {SETTING} {path}{shown}; {remedy}"
    assert describe_kafka_error(error) == text
    assert is_set_up_fault(error)
    [line] = lines
    assert (line["event"], line["detail"]) == ("kafka.credentials_rejected", text)


def test_a_rejected_token_that_had_ended_is_told_with_its_end(path: Path, file: TokenFile) -> None:
    path.write_text(web_token(exp=1_763_200_000))
    file.read()
    error = Login(file, is_lasting=False).rejected(SaslAuthenticationFailed('{"status":"invalid_token"}'))
    assert "(invalid_token, it ended at 2025-11-15T09:46:40Z)" in describe_kafka_error(error)


def test_a_rejected_password_is_told_with_its_file(path: Path) -> None:
    file = SecretFile(path, "kafka.sasl_plain_password_file")
    error = Login(file, is_lasting=False).rejected(SaslAuthenticationFailed("no"))
    assert isinstance(error, CredentialsRejectedError)
    assert describe_kafka_error(error).startswith("the broker rejected the credentials; correct")
    assert str(path) in describe_kafka_error(error)


class _Fixed(Login):
    def __init__(self) -> None: ...

    async def token(self) -> str:
        return "opaque"


async def test_the_exchange_ends_when_the_broker_takes_the_token() -> None:
    exchange = _BearerExchange(sasl_oauth_token_provider=_Fixed())
    assert await exchange.step(None) == (b"n,,\x01auth=Bearer opaque\x01\x01", True)
    assert await exchange.step(b"") is None


async def test_the_exchange_hears_the_broker_out_when_it_rejects_the_token() -> None:
    """RFC 7628, 3.2.3: a reason, one more message, and then the error of the login."""
    exchange = _BearerExchange(sasl_oauth_token_provider=_Fixed())
    await exchange.step(None)
    assert await exchange.step(b'{"status":"invalid_token"}') == (b"\x01", True)
    with pytest.raises(SaslAuthenticationFailed):
        await exchange.step(b"")


class _Connection:
    """What a login looks at, without a login object: Kerberos."""

    _sasl_mechanism = "GSSAPI"
    _sasl_oauth_token_provider = None
    _sasl_plain_password = None


@pytest.mark.parametrize("error", [ValueError(), KeyError("r"), AssertionError(), RuntimeError("no Kerberos ticket")])
async def test_no_login_raises_what_the_client_does_not_survive(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It would end the client's fetching, its heartbeats and its metadata for good."""
    with pytest.raises(LoginFailedError) as caught:
        await log_in(monkeypatch, error)
    assert isinstance(caught.value, KafkaConnectionError)
    text = describe_kafka_error(caught.value)
    assert text.startswith(f"the login failed with {type(error).__name__}; check the Kerberos ticket")
    assert not is_set_up_fault(caught.value)


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError(), SaslAuthenticationFailed(), UnsupportedSaslMechanismError(), OSError(), TimeoutError()],
)
async def test_what_the_client_survives_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        await log_in(monkeypatch, error)
    assert caught.value is error
    assert error.__cause__ is None


async def log_in(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    async def fail(_connection: object) -> None:
        raise error

    monkeypatch.setattr(login, "_log_in_as_client", fail)
    await login._log_in(_Connection())
