"""What a configuration without faults becomes."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from streamer.core.errors import UnavailableError
from streamer.core.mapping.product_fruits import ProductFruitsSettings
from streamer.core.mapping.sprig import SprigSettings
from streamer.core.model import MappingSettings
from streamer.core.pushing.profiles import ProfilesSettings
from streamer.settings import DestinationSettings, Settings, load

LoadText = Callable[..., Settings]

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "streamer.yaml"


def test_defaults_are_the_documented_ones(load_text: LoadText, good: str) -> None:
    settings = load_text(good)
    assert settings.model_dump(exclude={"kafka", "destinations", "integrations", "directory"}) == {
        "state_dir": Path("state"),
        "receipts": {"window": 86_400.0, "max_bytes": 4 << 30, "topic": None},
        "control": {"topic": "streamer.control"},
        "server": {"host": "127.0.0.1", "port": 8_080, "token_file": None},
        "log": {"level": "info", "format": "auto", "profile": "otel"},
        "inbound": None,
    }
    assert settings.destinations["production"].model_dump(exclude={"write_key"}) == {
        "write_key_file": None,
        "region": "us",
        "endpoint": None,
        "settings_endpoint": None,
        "kind": "segment",
        "api_key": None,
        "api_key_file": None,
        "proxy": None,
        "ca_file": None,
        "message_id_suffix": "",
        "timeout": 15.0,
        "max_in_flight": 16,
        "rate_limit": None,
        "batch": {"max_bytes": 480_000, "max_calls": 1_000, "linger": 0.1},
        "gzip": True,
        "retry": {"quick": (1, 4, 15), "schedule": (60, 120, 240, 480, 960, 1_920, 3_840, 21_600)},
    }
    assert settings.integrations["sprig"].model_dump(exclude={"sprig", "product_fruits", "profiles"}) == {
        "dialect": "sprig",
        "topics": ("surveys.sprig",),
        "destination": "production",
        "group_id": "streamer.sprig",
        "start": "earliest",
        "status": "running",
        "on_pause": "hold",
        "identify_devices": False,
        "events": {"rename": {}, "disabled": ()},
        "strip_registry_prefix": False,
        "dead_letters": {"topic": None, "max_ratio": 0.5},
        "limits": {"max_open_records": 200_000, "max_open_bytes": 64 << 20, "max_parked_per_partition": 2_000},
    }


def test_kafka_defaults_keep_the_client_out_of_its_traps(load_text: LoadText, good: str) -> None:
    """A join is judged by the request timeout, so it must outlast the rebalance; metadata brings new partitions."""
    kafka = load_text(good).kafka
    assert (kafka.session_timeout_ms, kafka.heartbeat_interval_ms, kafka.rebalance_timeout_ms) == (
        30_000,
        3_000,
        30_000,
    )
    assert (kafka.request_timeout_ms, kafka.metadata_max_age_ms) == (40_000, 60_000)
    assert (kafka.fetch_max_bytes, kafka.max_partition_fetch_bytes) == (16 << 20, 4 << 20)
    assert (kafka.isolation_level, kafka.security_protocol, kafka.create_topics) == (
        "read_committed",
        "PLAINTEXT",
        False,
    )


def test_the_request_timeout_follows_the_rebalance_timeout(load_text: LoadText, good: str) -> None:
    text = good.replace("broker:9092", "broker:9092\n  rebalance_timeout_ms: 60000")
    assert load_text(text).kafka.request_timeout_ms == 70_000


def test_null_stands_for_the_default(load_text: LoadText, good: str) -> None:
    """A section whose lines are all commented out is a null to YAML."""
    settings = load_text(good + "    group_id:\n    limits:\n      max_open_records:\nreceipts:\nserver: {port: ~}\n")
    assert settings == load_text(good)


def test_booleans_and_numbers_may_be_written_as_people_do(load_text: LoadText, good: str) -> None:
    text = good.replace("${KEY}", "${KEY}\n    gzip: off\n    max_in_flight: '8'\n    timeout: 2s")
    destination = load_text(text).destinations["production"]
    assert (destination.gzip, destination.max_in_flight, destination.timeout) == (False, 8, 2.0)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("latest", "latest"),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 10:00:00.5+02:00", datetime(2026, 1, 31, 8, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_group_may_start_at_an_end_or_at_an_instant(load_text: LoadText, good: str, text: str, start: Any) -> None:
    assert load_text(f"{good}    start: {text}\n").integrations["sprig"].start == start


def test_dead_letters_go_beside_their_topic_unless_told(load_text: LoadText, good: str) -> None:
    integration = load_text(good).integrations["sprig"]
    assert integration.dead_letter_topic("surveys.sprig") == "surveys.sprig.dlq"
    told = load_text(good + "    dead_letters: {topic: refused}\n").integrations["sprig"]
    assert told.dead_letter_topic("surveys.sprig") == "refused"


@pytest.mark.parametrize(
    ("lines", "url", "settings_url"),
    [
        ("region: us", "https://api.segment.io", "https://cdn.segment.com/v1/projects/k/settings"),
        ("region: eu", "https://events.eu1.segmentapis.com", "https://cdn.segment.com/v1/projects/k/settings"),
        ("endpoint: http://127.0.0.1:8090/", "http://127.0.0.1:8090", None),
        ("endpoint: https://proxy.example/segment", "https://proxy.example/segment", None),
        ('settings_endpoint: ""', "https://api.segment.io", None),
        ("settings_endpoint: http://gate:1/cdn/", "https://api.segment.io", "http://gate:1/cdn/v1/projects/k/settings"),
        (
            "endpoint: http://127.0.0.1:8090\n    settings_endpoint: http://127.0.0.1:8091",
            "http://127.0.0.1:8090",
            "http://127.0.0.1:8091/v1/projects/k/settings",
        ),
    ],
)
def test_a_destination_is_a_region_or_an_endpoint(
    load_text: LoadText, good: str, lines: str, url: str, settings_url: str | None
) -> None:
    destination = load_text(good.replace("${KEY}", "${KEY}\n    " + lines)).destinations["production"]
    assert (destination.url, destination.settings_url("k")) == (url, settings_url)
    assert destination.asks_about_key is (settings_url is not None)


class TestWriteKey:
    def test_it_comes_from_the_setting(self, load_text: LoadText, good: str, secret: str) -> None:
        assert load_text(good).destinations["production"].read_key() == secret

    def test_it_is_read_again_from_its_file(self, tmp_path: Path) -> None:
        """So that a key can be exchanged while streamer runs; editors end a file with a line break."""
        file = tmp_path / "key"
        destination = DestinationSettings(write_key_file=file)
        for key in ("first", "second"):
            file.write_text(f"{key}\r\n")
            assert destination.read_key() == key

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"two words", b"with:colon", b"a\nb\n", b"\xff", "schlüssel".encode()]
    )
    def test_a_file_with_anything_else_is_refused_without_showing_it(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "key"
        file.write_bytes(content)
        with pytest.raises(UnavailableError, match=r"write_key_file .*(holds no write key|is not UTF-8)") as caught:
            DestinationSettings(write_key_file=file).read_key()
        assert content.strip() == b"" or content.decode(errors="replace").strip() not in str(caught.value)

    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        destination = DestinationSettings(write_key_file=tmp_path / "none")
        with pytest.raises(UnavailableError, match="cannot be read: No such file or directory; mount the secret or"):
            destination.read_key()


class TestEnvironment:
    def test_it_wins_over_the_file(self, load_text: LoadText, good: str) -> None:
        settings = load_text(
            good,
            {
                "STREAMER_KAFKA__BOOTSTRAP_SERVERS": "other:9093",
                "STREAMER_RECEIPTS__WINDOW": "12h",
                "STREAMER_STATE_DIR": "/var/lib/streamer",
                "STREAMER_INTEGRATIONS__SPRIG__TOPICS": '["a", "b"]',
                "STREAMER_INTEGRATIONS__SPRIG__LIMITS__MAX_OPEN_BYTES": "1MiB",
                "STREAMER_DESTINATIONS__PRODUCTION__RETRY__QUICK": '["2s"]',
            },
        )
        assert settings.kafka.bootstrap_servers == "other:9093"
        assert (settings.receipts.window, settings.state_dir) == (43_200.0, Path("/var/lib/streamer"))
        assert settings.integrations["sprig"].topics == ("a", "b")
        assert settings.integrations["sprig"].limits.max_open_bytes == 1 << 20
        assert settings.integrations["sprig"].limits.max_open_records == 200_000
        assert settings.destinations["production"].retry.quick == (2.0,)

    def test_names_are_found_although_variables_have_no_hyphens(self, load_text: LoadText, good: str) -> None:
        text = good.replace("production", "EU-prod.1")
        settings = load_text(text, {"STREAMER_DESTINATIONS__EU_PROD_1__GZIP": "false"})
        assert list(settings.destinations) == ["EU-prod.1"]
        assert settings.destinations["EU-prod.1"].gzip is False

    def test_it_can_give_everything(self, load_text: LoadText, secret: str) -> None:
        settings = load_text(
            "",
            {
                "STREAMER_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
                "STREAMER_DESTINATIONS__PRODUCTION__WRITE_KEY": secret,
                "STREAMER_INTEGRATIONS__SPRIG__DIALECT": "sprig",
                "STREAMER_INTEGRATIONS__SPRIG__TOPICS": '["surveys.sprig"]',
                "STREAMER_INTEGRATIONS__SPRIG__DESTINATION": "production",
            },
        )
        assert settings.mapping("sprig").dialect == "sprig"

    def test_variables_of_others_are_left_alone(self, load_text: LoadText, good: str) -> None:
        """Kubernetes sets these for whatever runs beside a service called streamer."""
        environ = {
            "STREAMER_PORT": "tcp://10.0.0.1:80",
            "STREAMER_SERVICE_HOST": "10.0.0.1",
            "STREAMER_CONFIG": "x.yaml",
        }
        assert load_text(good, environ) == load_text(good)

    def test_its_values_are_not_interpolated(self, load_text: LoadText, good: str) -> None:
        settings = load_text(good, {"STREAMER_INTEGRATIONS__SPRIG__GROUP_ID": "${KEY}"})
        assert settings.integrations["sprig"].group_id == "${KEY}"

    def test_the_process_environment_is_the_default(
        self, tmp_path: Path, good: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KEY", "from-the-process")
        (tmp_path / "streamer.yaml").write_text(good)
        settings = load(tmp_path / "streamer.yaml")
        assert settings.destinations["production"].read_key() == "from-the-process"


class TestMapping:
    def test_it_has_all_that_decides_about_calls(self, load_text: LoadText, good: str) -> None:
        text = good.replace("${KEY}", "${KEY}\n    message_id_suffix: -2") + (
            "    events: {rename: {Seen: Viewed}, disabled: [Closed]}\n"
            "    strip_registry_prefix: true\n"
            "    sprig: {environment: prod, event_name: Answered, anonymous: send, extended_properties: true,"
            " answer_event_types: [answer submitted]}\n"
        )
        assert load_text(text).mapping("sprig") == MappingSettings(
            dialect="sprig",
            rename={"Seen": "Viewed"},
            disabled=frozenset({"Closed"}),
            message_id_suffix="-2",
            strip_registry_prefix=True,
            integration="sprig",
            dialect_settings={
                "sprig": SprigSettings(
                    environment="prod",
                    event_name="Answered",
                    anonymous="send",
                    extended_properties=True,
                    answer_event_types=("answer submitted",),
                ),
                "product_fruits": ProductFruitsSettings(),
                "profiles": ProfilesSettings(),
            },
        )

    def test_product_fruits_has_its_own_choices(self, load_text: LoadText, good: str) -> None:
        text = good.replace("dialect: sprig", "dialect: product_fruits") + (
            "    product_fruits:\n"
            "      {event_names: {raw: Shown}, survey_event_name: S, feedback_event_name: F, traits: yes}\n"
        )
        assert load_text(text).mapping("sprig").dialect_settings["product_fruits"] == ProductFruitsSettings(
            event_names={"raw": "Shown"}, survey_event_name="S", feedback_event_name="F", traits=True
        )

    @pytest.mark.parametrize(
        ("status", "on_pause", "discard", "is_paused"),
        [
            ("running", "hold", False, False),
            ("running", "discard", False, False),
            ("paused", "hold", False, True),
            ("paused", "discard", True, False),
        ],
    )
    def test_a_paused_integration_holds_or_discards(
        self, load_text: LoadText, good: str, status: str, on_pause: str, discard: bool, is_paused: bool
    ) -> None:
        settings = load_text(f"{good}    status: {status}\n    on_pause: {on_pause}\n")
        assert (settings.mapping("sprig").discard, settings.integrations["sprig"].is_paused) == (discard, is_paused)


class TestFingerprint:
    def test_it_changes_with_any_setting_but_secrets(self, load_text: LoadText, good: str) -> None:
        """It stands in metrics and on the status page, and a changed one ends the mass guard."""
        before = load_text(good).fingerprint()
        assert len(before) == 12
        assert load_text(good, {"KEY": "another-key"}).fingerprint() == before
        assert load_text("# comment\n" + good).fingerprint() == before
        for line in ("dead_letters: {max_ratio: 1}", "start: 2026-01-31T08:00:00Z", "sprig: {anonymous: send}"):
            assert load_text(f"{good}    {line}\n").fingerprint() != before


def test_a_line_break_at_the_end_of_a_secret_is_no_part_of_it(load_text: LoadText, good: str, secret: str) -> None:
    """Files end with one, and so do variables that were filled from files: neither may decide whether a login works."""
    text = good.replace(
        "broker:9092",
        "broker:9092\n  security_protocol: SASL_SSL\n  sasl_plain_username: u\n"
        "  sasl_plain_password: ${KEY}\n  ssl_password: ${KEY}",
    )
    settings = load_text(text, {"KEY": f"{secret}\r\n"})
    assert settings.destinations["production"].read_key() == secret
    for password in (settings.kafka.sasl_plain_password, settings.kafka.ssl_password):
        assert password is not None
        assert password.get_secret_value() == secret
    again = load_text(text, {"STREAMER_DESTINATIONS__PRODUCTION__WRITE_KEY": "k\n"})
    assert again.destinations["production"].read_key() == "k"


def test_no_secret_is_printed(load_text: LoadText, good: str, secret: str) -> None:
    text = good.replace(
        "broker:9092",
        "broker:9092\n  security_protocol: SASL_SSL\n  sasl_plain_username: u\n"
        "  sasl_plain_password: ${KEY}\n  ssl_password: ${KEY}",
    )
    settings = load_text(text)
    for shown in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert secret not in shown
        assert shown.count("********") >= 3


def test_settings_do_not_change_once_loaded(load_text: LoadText, good: str) -> None:
    settings = load_text(good)
    for section, name in ((settings, "state_dir"), (settings.kafka, "client_id"), (settings.receipts, "window")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(section, name, "changed")


def test_the_example_loads() -> None:
    settings = load(EXAMPLE, {"SEGMENT_WRITE_KEY": "key"})
    assert [integration.dialect for integration in settings.integrations.values()] == [
        "sprig",
        "product_fruits",
        "getuserfeedback",
    ]


def test_the_example_shows_the_defaults() -> None:
    """Whoever copies it and deletes a line gets what the line said."""
    example = load(EXAMPLE, {"SEGMENT_WRITE_KEY": "key"})
    defaults = Settings()
    assert (example.receipts, example.server, example.log) == (defaults.receipts, defaults.server, defaults.log)
    assert example.state_dir == defaults.state_dir
    assert example.destinations["production"].batch == DestinationSettings().batch
    assert example.destinations["production"].retry == DestinationSettings().retry
    assert example.integrations["feedback-europe"].limits == example.integrations["sprig"].limits


@pytest.mark.parametrize("server", ["", "server:\n", "server:\n  host:\n", "server:\n  port: 9000\n"])
def test_an_image_may_have_another_default_host(load_text: LoadText, good: str, server: str) -> None:
    """Nobody could ask a container for its health that listens on its own loopback interface."""
    settings = load_text(good + server, {"STREAMER_DEFAULT_SERVER_HOST": "::"})

    assert settings.server.host == "::"
    assert settings.server.port == (9_000 if "port" in server else 8_080)


def test_the_file_and_the_variable_of_the_setting_override_the_default_of_an_image(
    load_text: LoadText, good: str
) -> None:
    """Whoever closes the port in the file must not have it opened by an image."""
    closed = good + "server: {host: 127.0.0.1}\n"
    image = {"STREAMER_DEFAULT_SERVER_HOST": "::"}

    assert load_text(closed, image).server.host == "127.0.0.1"
    assert load_text(closed, {**image, "STREAMER_SERVER__HOST": "10.0.0.1"}).server.host == "10.0.0.1"
    assert load_text(good, {**image, "STREAMER_SERVER__HOST": "10.0.0.1"}).server.host == "10.0.0.1"


def test_a_server_that_is_no_section_stays_a_fault_beside_the_default_of_an_image(
    faults_of: Callable[..., list[str]], good: str
) -> None:
    [fault] = faults_of(good + "server: 8080\n", {"STREAMER_DEFAULT_SERVER_HOST": "::"})

    assert "should be a mapping of settings" in fault
