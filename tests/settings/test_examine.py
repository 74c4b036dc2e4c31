"""What `streamer check` finds beside the faults of the file itself: files that it names, and what was hardly meant."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from streamer.core.errors import SettingsError
from streamer.settings import examine

PEM: Final = "-----BEGIN CERTIFICATE-----\n"

Examine = Callable[..., list[str]]


@pytest.fixture
def examine_text(tmp_path: Path, secret: str, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """A function that examines YAML text and returns the faults, or the warnings if there are none.

    Relative paths are in an empty directory of their own; no text may hold the secret.
    """
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def examine_text(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        path = tmp_path / "streamer.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            found = examine(path, {"KEY": secret, **(environ or {})})[1]
        except SettingsError as error:
            found = error.faults
        assert secret not in "\n".join(found)
        return found

    return examine_text


def test_nothing_is_found_where_all_is_in_order_and_nothing_is_made(examine_text: Examine, good: str) -> None:
    text = good.replace("write_key: ${KEY}", "write_key_file: key")
    Path("key").write_text("k")
    assert examine_text(text) == []
    assert sorted(path.name for path in Path().iterdir()) == ["key"]


class TestFiles:
    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (None, "cannot be read: No such file or directory; mount the secret or correct the path"),
            ("", "holds no write key; put the key in it, and nothing else"),
            ("\n", "holds no write key; put the key in it, and nothing else"),
        ],
    )
    def test_of_write_keys_are_there_and_hold_one(
        self, examine_text: Examine, good: str, content: str | None, fault: str
    ) -> None:
        if content is not None:
            Path("key").write_text(content)
        assert examine_text(good.replace("write_key: ${KEY}", "write_key_file: key")) == [
            f"destinations.production.write_key_file (line 5): 'key' {fault}"
        ]

    def test_of_brokers_are_there_and_not_empty(self, examine_text: Examine, good: str) -> None:
        """All at once; OpenSSL would name none of them."""
        text = good.replace(
            "broker:9092",
            "broker:9092\n  security_protocol: SASL_SSL\n  sasl_plain_username: u\n  sasl_plain_password_file: none\n"
            "  ssl_cafile: none\n  ssl_certfile: directory\n  ssl_keyfile: empty\n  ssl_password_file: empty",
        )
        Path("directory").mkdir()
        Path("empty").write_text(" \n")
        assert [fault.split("; ")[0] for fault in examine_text(text)] == [
            "kafka.sasl_plain_password_file (line 5): 'none' cannot be read: No such file or directory",
            "kafka.ssl_cafile (line 6): 'none' cannot be read: No such file or directory",
            "kafka.ssl_certfile (line 7): 'directory' cannot be read: Is a directory",
            "kafka.ssl_keyfile (line 8): 'empty' is empty",
            "kafka.ssl_password_file (line 9): 'empty' is empty",
        ]
        Path("none").write_text(PEM)
        text = text.replace("directory", "none").replace("empty", "none").replace("file: none", "file: none", 1)
        assert all("ends with a line break" in warning for warning in examine_text(text))

    def test_of_tokens_are_there(self, examine_text: Examine, good: str) -> None:
        text = good.replace(
            "broker:9092",
            "broker:9092\n  security_protocol: SASL_SSL\n  sasl_mechanism: OAUTHBEARER\n  sasl_oauth_token_file: none",
        )
        [fault] = examine_text(text)
        assert fault.startswith("kafka.sasl_oauth_token_file (line 5): 'none' cannot be read: No such file")

    @pytest.mark.parametrize(
        ("content", "fault"),
        [(None, "cannot be read: No such file or directory; mount the secret"), ("\n", "is empty; put the secret")],
    )
    def test_of_the_servers_token_is_there(
        self, examine_text: Examine, good: str, content: str | None, fault: str
    ) -> None:
        if content is not None:
            Path("token").write_text(content)
        [found] = examine_text(f"{good}server:\n  host: 0.0.0.0\n  token_file: token\n")
        assert found.startswith("server.token_file (line ")
        assert f"'token' {fault}" in found

    def test_are_not_looked_at_where_the_setting_has_no_effect(self, examine_text: Examine, good: str) -> None:
        [fault] = examine_text(good.replace("broker:9092", "broker:9092\n  ssl_cafile: none"))
        assert "has no effect with security_protocol PLAINTEXT" in fault


class TestStateDirectory:
    @pytest.mark.parametrize("place", ["file", "file/below", "dangling"])
    def test_that_cannot_be_made_is_a_fault(self, examine_text: Examine, good: str, place: str) -> None:
        Path("file").touch()
        Path("dangling").symlink_to("nowhere")
        [fault] = examine_text(f"state_dir: {place}\n{good}")
        assert fault.startswith(f"state_dir (line 1): '{place}' cannot be ")
        assert fault.endswith(
            f"{Path(place.partition('/')[0]).absolute()} is not a directory; correct it, or set another directory"
        )

    def test_whose_part_for_an_integration_is_a_file_is_a_fault(self, examine_text: Examine, good: str) -> None:
        Path("state").mkdir()
        Path("state", "sprig").touch()
        [fault] = examine_text(good)
        assert fault.startswith("state_dir: cannot be written to: ")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_that_may_not_be_written_to_is_a_fault(self, examine_text: Examine, good: str) -> None:
        Path("locked").mkdir(mode=0o500)
        [fault] = examine_text(f"state_dir: locked/state\n{good}")
        assert "cannot be made: there is no right to write in" in fault


class TestNames:
    @pytest.mark.parametrize(
        ("dialect", "events", "warning"),
        [
            (
                "getuserfeedback",
                "{rename: {Flow Viewd: Seen}}",
                "rename (line 11): has Flow Viewd, and no event of getuserfeedback has this name (did you mean Flow V",
            ),
            (
                "getuserfeedback",
                "{disabled: [x]}",
                "disabled (line 11): has x, and no event of getuserfeedback has this name (known: Flow Dismissed, F",
            ),
            (
                "sprig",
                "{disabled: [Survey Response]}",
                "disabled (line 11): has Survey Response, and no event of sprig has this name (did you mean SDK - Su",
            ),
            (
                "product_fruits",
                "{rename: {A: B}, disabled: [A]}",
                "rename (line 11): has A, which is never sent: disabled has it too",
            ),
        ],
    )
    def test_that_can_never_match_are_warned_of(
        self, examine_text: Examine, good: str, dialect: str, events: str, warning: str
    ) -> None:
        text = good.replace("dialect: sprig", f"dialect: {dialect}") + f"    events: {events}\n"
        [found] = examine_text(text)
        assert found.startswith(f"integrations.sprig.events.{warning}")

    @pytest.mark.parametrize(
        ("dialect", "lines"),
        [
            ("getuserfeedback", "events: {rename: {Flow Viewed: Seen}, disabled: [Response Submitted]}"),
            ("sprig", "sprig: {event_name: Answered}\n    events: {rename: {Answered: Said}}"),
            ("product_fruits", "events: {disabled: [Anything at all]}"),
            ("canonical", "events: {disabled: [Anything at all]}"),
        ],
    )
    def test_that_may_match_are_not(self, examine_text: Examine, good: str, dialect: str, lines: str) -> None:
        """Product Fruits sends names that customers choose."""
        assert examine_text(good.replace("dialect: sprig", f"dialect: {dialect}") + f"    {lines}\n") == []


class TestVariables:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("STREAMER_KAFKA_BOOTSTRAP_SERVERS", " (did you mean STREAMER_KAFKA__BOOTSTRAP_SERVERS?)"),
            (
                "STREAMER_DESTINATIONS_EU_PROD_1_WRITE_KEY",
                " (did you mean STREAMER_DESTINATIONS__EU_PROD_1__WRITE_KEY?)",
            ),
            ("STREAMER_SERVER_PORT", " (did you mean STREAMER_SERVER__PORT?)"),
            ("STREAMER_LOGGING__LEVEL", " (did you mean STREAMER_LOG__LEVEL?)"),
            ("STREAMER_STATE_DIR__PATH", ""),
            ("streamer_nonsense", ""),
        ],
    )
    def test_that_name_no_setting_are_warned_of(
        self, examine_text: Examine, good: str, secret: str, name: str, hint: str
    ) -> None:
        found = examine_text(good.replace("production", "EU-prod.1"), {name: secret})
        assert len(found) == 1
        assert found[0].startswith(f"environment variable {name}: names no setting and is ignored")
        assert not hint or found[0].endswith(hint)

    def test_of_kubernetes_and_of_streamer_itself_are_not(self, examine_text: Examine, good: str) -> None:
        environ = {
            "STREAMER_CONFIG": "x",
            "STREAMER_COMMIT": "x",
            "STREAMER_DEFAULT_SERVER_HOST": "127.0.0.1",
            "STREAMER_STATE_DIR": "state",
            "STREAMER_KAFKA__CLIENT_ID": "x",
            "STREAMER_SERVICE_HOST": "10.0.0.1",
            "STREAMER_SERVICE_PORT": "80",
            "STREAMER_SERVICE_PORT_HTTP": "80",
            "STREAMER_PORT": "tcp://10.0.0.1:80",
            "STREAMER_PORT_80_TCP": "tcp://10.0.0.1:80",
            "STREAMER_PORT_80_TCP_ADDR": "10.0.0.1",
            "STREAMER_SANDBOX_SERVICE_HOST": "10.0.0.1",
            "STREAMER_SANDBOX_PORT": "tcp://10.0.0.1:80",
        }
        assert examine_text(good, environ) == []


class TestLineBreaks:
    def test_at_the_end_of_secrets_are_warned_of(self, examine_text: Examine, good: str, secret: str) -> None:
        text = good.replace("broker:9092", "broker:9092\n  security_protocol: SSL\n  ssl_password: ${KEY}")
        assert [warning.split(": ")[0] for warning in examine_text(text, {"KEY": secret + "\n"})] == [
            "kafka.ssl_password (line 4)",
            "destinations.production.write_key (line 7)",
        ]
        environ = {"STREAMER_DESTINATIONS__PRODUCTION__WRITE_KEY": f"{secret}\r\n"}
        [warning] = examine_text(good, environ)
        assert warning.startswith("destinations.production.write_key (environment variable STREAMER_DESTINATIONS__PROD")
        assert ": ends with a line break, which is left out" in warning

    def test_in_the_files_of_secrets_are_warned_of(self, examine_text: Examine, good: str) -> None:
        Path("key").write_text("k\n")
        [warning] = examine_text(good.replace("write_key: ${KEY}", "write_key_file: key"))
        assert warning.startswith("destinations.production.write_key_file (line 5): 'key' ends with a line break")


@pytest.mark.parametrize(
    ("section", "is_open"),
    [
        ("host: 0.0.0.0", True),
        ('host: "::"', True),
        ("host: streamer.example", True),
        ("host: 127.0.0.1", False),
        ('host: "::1"', False),
        ("host: localhost", False),
        ("host: 0.0.0.0\n  token_file: token", False),
    ],
)
def test_a_server_that_others_can_reach_without_a_token_is_told(
    examine_text: Examine, good: str, section: str, *, is_open: bool
) -> None:
    Path("token").write_text("t")
    warnings = examine_text(f"{good}server:\n  {section}\n")
    assert [warning.split(":")[0].split(" ")[0] for warning in warnings] == ["server.host"] * is_open
    assert all("set server.token_file" in warning for warning in warnings)
