"""Every way in which a configuration can be wrong, and what is said about it."""

from collections.abc import Callable

import pytest

FaultsOf = Callable[..., list[str]]

SASL = "broker:9092\n  security_protocol: SASL_SSL\n  sasl_mechanism: "


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        # unknown keys
        ("kafka:", "kafak:", "kafak (line 1): is not a setting (did you mean kafka?)"),
        ("topics:", "topic:", "integrations.sprig.topic (line 9): is not a setting (did you mean topics?)"),
        ("kafka:", "zzz: 1\nkafka:", "zzz (line 1): is not a setting"),
        ("kafka:", "zzz:\nkafka:", "zzz (line 1): is not a setting"),
        # types
        (
            "${KEY}",
            "${KEY}\n    gzip: maybe",
            "destinations.production.gzip (line 6): 'maybe' should be a valid boolean",
        ),
        (
            "${KEY}",
            "${KEY}\n    max_in_flight: 1.5",
            "destinations.production.max_in_flight (line 6): '1.5' should be a",
        ),
        ("${KEY}", "${KEY}\n    timeout: soon", "destinations.production.timeout (line 6): 'soon' is not a duration"),
        (
            "${KEY}",
            "${KEY}\n    region: mars",
            "destinations.production.region (line 6): 'mars' should be 'us' or 'eu'",
        ),
        ("[surveys.sprig]", "surveys.sprig", "integrations.sprig.topics (line 9): 'surveys.sprig' should be a list"),
        ("kafka:\n  bootstrap_servers: broker:9092", "kafka: x", "kafka (line 1): 'x' should be a mapping of settings"),
        (
            "dialect: sprig",
            "dialect: sprg",
            "integrations.sprig.dialect (line 8): 'sprg' should be 'sprig', 'product_fr",
        ),
        ("broker:9092", "[a]", "kafka.bootstrap_servers (line 2): should be a valid string"),
        # ranges of single settings
        ("broker:9092", "broker", "kafka.bootstrap_servers (line 2): 'broker' should be host:port"),
        ("broker:9092", "broker:99999", "kafka.bootstrap_servers (line 2): 'broker:99999' should be host:port"),
        ("broker:9092", "a:1,,b:2", "kafka.bootstrap_servers (line 2): 'a:1,,b:2' should be host:port"),
        ("broker:9092", "''", "kafka.bootstrap_servers (line 2): '' is missing; write host:port"),
        ("[surveys.sprig]", "[]", "integrations.sprig.topics (line 9): "),
        ("[surveys.sprig]", "[ok, not ok]", "integrations.sprig.topics[1] (line 9): 'not ok' is not a topic name"),
        ("[surveys.sprig]", "[..]", "integrations.sprig.topics[0] (line 9): '..' is not a topic name"),
        ("kafka:", "receipts: {window: 0}\nkafka:", "receipts.window (line 1): '0' should be greater than 0"),
        (
            "kafka:",
            "receipts: {max_bytes: 1MiB}\nkafka:",
            "receipts.max_bytes (line 1): '1MiB' should be greater than or",
        ),
        (
            "kafka:",
            "server: {port: 65536}\nkafka:",
            "server.port (line 1): '65536' should be less than or equal to 65535",
        ),
        ("kafka:", "log: {level: loud}\nkafka:", "log.level (line 1): 'loud' should be 'debug', 'info', "),
        (
            "${KEY}",
            "${KEY}\n    batch: {max_bytes: 500001}",
            "destinations.production.batch.max_bytes (line 6): '500001'",
        ),
        ("${KEY}", "${KEY}\n    batch: {max_bytes: 32KB}", "destinations.production.batch.max_bytes (line 6): '32KB'"),
        (
            "${KEY}",
            "${KEY}\n    batch: {max_calls: 0}",
            "destinations.production.batch.max_calls (line 6): '0' should be",
        ),
        ("${KEY}", "${KEY}\n    batch: {max_calls: 2501}", "destinations.production.batch.max_calls (line 6): '2501'"),
        (
            "${KEY}",
            "${KEY}\n    batch: {linger: -1s}",
            "destinations.production.batch.linger (line 6): '-1s' is not a dur",
        ),
        (
            "${KEY}",
            "${KEY}\n    max_in_flight: 0",
            "destinations.production.max_in_flight (line 6): '0' should be greater",
        ),
        (
            "${KEY}",
            "${KEY}\n    rate_limit: 0",
            "destinations.production.rate_limit (line 6): '0' should be greater",
        ),
        (
            "${KEY}",
            "${KEY}\n    timeout: 0s",
            "destinations.production.timeout (line 6): '0s' should be greater than 0",
        ),
        ("kafka:", "receipts: {window: 24}\nkafka:", "receipts.window (line 1): '24' has no unit (write a number with"),
        (
            "${KEY}",
            "${KEY}\n    retry: {schedule: [1m, 2]}",
            "destinations.production.retry.schedule[1] (line 6): '2' has no unit (write a number with ms, s,",
        ),
        (
            "surveys.sprig]",
            "t]\n    limits: {max_open_bytes: 64}",
            "integrations.sprig.limits.max_open_bytes (line 10): '64' has no unit (write it with KB, MB, GB,",
        ),
        ("${KEY}", "${KEY}\n    retry: {schedule: []}", "destinations.production.retry.schedule (line 6): "),
        (
            "${KEY}",
            "${KEY}\n    retry: {quick: [1s, x]}",
            "destinations.production.retry.quick[1] (line 6): 'x' is not a",
        ),
        (
            "${KEY}",
            f"${{KEY}}\n    message_id_suffix: {'x' * 41}",
            "destinations.production.message_id_suffix (line 6): ",
        ),
        (
            "${KEY}",
            "${KEY}\n    endpoint: ftp://x",
            "destinations.production.endpoint (line 6): 'ftp://x' should be http:",
        ),
        (
            "${KEY}",
            "${KEY}\n    endpoint: http://x/v1/",
            "destinations.production.endpoint (line 6): 'http://x/v1/' shou",
        ),
        (
            "${KEY}",
            "${KEY}\n    proxy: proxy.example.com:3128",
            "destinations.production.proxy (line 6): should be http://host:port",
        ),
        (
            "${KEY}",
            "${KEY}\n    proxy: socks5://proxy.example.com",
            "destinations.production.proxy (line 6): should be http://host:port",
        ),
        (
            "${KEY}",
            "${KEY}\n    ca_file: missing/ca.pem",
            "destinations.production.ca_file (line 6): 'missing/ca.pem' cannot be read: No such file or directory",
        ),
        (
            "${KEY}",
            "${KEY}\n    ca_file: /dev/null",
            "destinations.production.ca_file (line 6): '/dev/null' holds no certificate; it should be a PEM file",
        ),
        (
            "surveys.sprig]",
            "t]\n    dead_letters: {max_ratio: 0}",
            "integrations.sprig.dead_letters.max_ratio (line 10): ",
        ),
        (
            "surveys.sprig]",
            "t]\n    dead_letters: {max_ratio: 1.1}",
            "integrations.sprig.dead_letters.max_ratio (line 10)",
        ),
        (
            "surveys.sprig]",
            "t]\n    dead_letters: {max_ratio: nan}",
            "integrations.sprig.dead_letters.max_ratio (line 10)",
        ),
        (
            "surveys.sprig]",
            "t]\n    start: yesterday",
            "integrations.sprig.start (line 10): 'yesterday' should be earliest",
        ),
        (
            "surveys.sprig]",
            "t]\n    start: 2026-01-31T08:00:00",
            "integrations.sprig.start (line 10): '2026-01-31T08:00:00'",
        ),
        (
            "surveys.sprig]",
            "t]\n    start: 2026-02-30T08:00:00Z",
            "integrations.sprig.start (line 10): '2026-02-30T08:00:00",
        ),
        ("surveys.sprig]", "t]\n    start: []", "integrations.sprig.start (line 10): should be earliest"),
        (
            "surveys.sprig]",
            "t]\n    limits: {max_open_records: 0}",
            "integrations.sprig.limits.max_open_records (line 10): ",
        ),
        # missing
        ("    destination: production\n", "", "integrations.sprig.destination (line 7): is missing"),
        (
            "    write_key: ${KEY}\n",
            "    gzip: true\n",
            "destinations.production.write_key (line 4): is missing; set it,",
        ),
        # what does not fit together
        (
            "broker:9092",
            "b:1\n  heartbeat_interval_ms: 10001",
            "kafka.heartbeat_interval_ms (line 3): '10001' should be at",
        ),
        (
            "broker:9092",
            "b:1\n  request_timeout_ms: 39999",
            "kafka.request_timeout_ms (line 3): '39999' should be at least",
        ),
        (
            "broker:9092",
            "b:1\n  fetch_max_bytes: 2MiB",
            "kafka.max_partition_fetch_bytes (line 1): should be at most fetch_",
        ),
        (
            "broker:9092",
            "b:1\n  sasl_plain_username: u",
            "kafka.sasl_plain_username (line 3): 'u' has no effect with secur",
        ),
        (
            "broker:9092",
            "b:1\n  ssl_cafile: ca.pem",
            "kafka.ssl_cafile (line 3): 'ca.pem' has no effect with security_",
        ),
        (
            "broker:9092",
            SASL + "PLAIN\n  sasl_plain_password: x",
            "kafka.sasl_plain_username (line 1): is missing; sasl_mec",
        ),
        (
            "broker:9092",
            SASL + "PLAIN\n  sasl_plain_username: x",
            "kafka.sasl_plain_password (line 1): should be set, eith",
        ),
        (
            "broker:9092",
            SASL + "OAUTHBEARER",
            "kafka.sasl_oauth_token_file (line 1): is missing; sasl_mechanism OAUTHBEAR",
        ),
        (
            "broker:9092",
            "b:1\n  security_protocol: SSL\n  ssl_keyfile: k.pem",
            "kafka.ssl_certfile (line 1): is missing; ",
        ),
        (
            "broker:9092",
            "b:1\n  security_protocol: SSL\n  ssl_password: ${KEY}\n  ssl_password_file: f",
            "kafka.ssl_password (line 4): is set twice; set it or ssl_password_file",
        ),
        ("${KEY}", "${KEY}\n    write_key_file: f", "destinations.production.write_key (line 5): is set twice"),
        (
            "${KEY}",
            "${KEY}\n    region: us\n    endpoint: http://x:1",
            "destinations.production.region (line 6): 'us' cannot ",
        ),
        (
            "destination: production",
            "destination: prod",
            "integrations.sprig.destination (line 10): 'prod' is not the name ",
        ),
        ("[surveys.sprig]", "[a, b, a]", "integrations.sprig.topics (line 9): lists a more than once"),
        (
            "[surveys.sprig]",
            "[a, a.dlq]",
            "integrations.sprig.dead_letters.topic (line 7): should not be one of the topics",
        ),
        (
            "surveys.sprig]",
            "t]\n    dead_letters: {topic: t}",
            "integrations.sprig.dead_letters.topic (line 10): 't' should not be one of the topics",
        ),
        (
            "surveys.sprig]",
            "t]\n    limits: {max_open_records: 1999}",
            "integrations.sprig.limits.max_parked_per_partition (line 10): should be at most max_open_records (1999)",
        ),
        (
            "surveys.sprig]",
            "t]\n    product_fruits: {traits: true}",
            "integrations.sprig.product_fruits (line 10): has no effect with dialect sprig; remove it",
        ),
        (
            "surveys.sprig]",
            "t]\n    sprig: {enviroment: p}",
            "integrations.sprig.sprig.enviroment (line 10): is not a setting (did you mean environment?)",
        ),
        (
            "surveys.sprig]",
            "t]\n    sprig: {anonymous: drop}",
            "integrations.sprig.sprig.anonymous (line 10): 'drop' should be 'skip' or 'send'",
        ),
        (
            "surveys.sprig]",
            "t]\n    sprig: {event_name: ''}",
            "integrations.sprig.sprig.event_name (line 10): '' String should have at least 1 character",
        ),
        (
            "surveys.sprig]",
            "t]\n    sprig: x",
            "integrations.sprig.sprig (line 10): 'x' should be a mapping of settings",
        ),
        ("surveys.sprig]", "t]\n    canonical: {}", "integrations.sprig.canonical (line 10): is not a setting"),
        ("  sprig:", "  my sprig:", "integrations.my sprig (line 7): should be 1 to 64 letters"),
        ("  sprig:", "  ..:", "integrations... (line 7): should not be . or .., which names another directory"),
        ("  sprig:", "  '.':", "integrations.. (line 7): should not be . or .., which names another directory"),
        ("  production:", f"  {'x' * 65}:", f"destinations.{'x' * 65} (line 4): should be 1 to 64 letters"),
    ],
)
def test_a_fault_is_told_with_path_line_and_remedy(
    faults_of: FaultsOf, good: str, old: str, new: str, fault: str
) -> None:
    assert old in good
    faults = faults_of(good.replace(old, new))
    assert any(found.startswith(fault) for found in faults), faults


def second(name: str = "other", **changes: str) -> str:
    """YAML of a second integration, as the first one but for ``changes``."""
    lines = {"dialect": "sprig", "topics": "[surveys.sprig]", "destination": "production"} | changes
    return f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items())


class TestTwoIntegrations:
    def test_may_not_send_one_topic_to_one_destination(self, faults_of: FaultsOf, good: str) -> None:
        (fault,) = faults_of(good + second())
        assert fault.startswith(
            "integrations.other.topics (line 13): has surveys.sprig in common with sprig, and the same destination"
        )

    def test_may_not_send_equal_ids_to_two_destinations(self, faults_of: FaultsOf, good: str) -> None:
        """Segment's memory of ids spans sources: the second copy would be answered with 200 and dropped."""
        text = good.replace("integrations:", "  europe: {write_key: k, region: eu}\nintegrations:")
        (fault,) = faults_of(text + second(destination="europe"))
        assert fault.startswith(
            "integrations.other.topics (line 14): has surveys.sprig in common with sprig, and the same message_id_"
        )
        assert fault.endswith("give europe a message_id_suffix of its own")

    def test_may_share_a_topic_under_different_suffixes(self, load_text: Callable[..., object], good: str) -> None:
        text = good.replace(
            "integrations:", "  europe: {write_key: k, region: eu, message_id_suffix: -eu}\nintegrations:"
        )
        assert load_text(text + second(destination="europe"))

    def test_may_not_share_a_group(self, faults_of: FaultsOf, good: str) -> None:
        (fault,) = faults_of(good + second(topics="[t]", group_id="streamer.sprig"))
        assert fault.startswith("integrations.other.group_id (line 15): 'streamer.sprig' is also the group of sprig")


@pytest.mark.parametrize("topic", ["surveys.sprig", "surveys.sprig.dlq"])
def test_receipts_need_a_topic_of_their_own(faults_of: FaultsOf, good: str, topic: str) -> None:
    (fault,) = faults_of(f"receipts: {{topic: {topic}}}\n{good}")
    assert fault == f"receipts.topic (line 1): '{topic}' is also a topic of sprig; receipts need a topic of their own"


class TestDeadLettersOfTwoIntegrations:
    def test_may_not_be_records_of_another_one(self, faults_of: FaultsOf, good: str) -> None:
        """Two integrations that read each other's dead letters pass one record to and fro for ever."""
        first, other = faults_of(good + second(topics="[surveys.sprig.dlq, t]", dead_letters="{topic: surveys.sprig}"))
        assert first == (
            "integrations.sprig.dead_letters.topic (line 7): should not be a topic of other, as surveys.sprig.dlq is:"
            " each dead letter would be read again as a record"
        )
        assert other.startswith(
            "integrations.other.dead_letters.topic (line 15): 'surveys.sprig' should not be a topic of sprig"
        )

    def test_may_not_be_records_even_if_they_end_there(self, faults_of: FaultsOf, good: str) -> None:
        (fault,) = faults_of(good + second(topics="[surveys.sprig.dlq]"))
        assert fault.startswith("integrations.sprig.dead_letters.topic (line 7): should not be a topic of other")

    def test_may_share_a_topic_that_nobody_reads(self, load_text: Callable[..., object], good: str) -> None:
        assert load_text(
            good + "    dead_letters: {topic: refused}\n" + second(topics="[t]", dead_letters="{topic: refused}")
        )


def test_all_faults_are_listed_at_once_in_the_order_of_the_file(faults_of: FaultsOf, good: str) -> None:
    """A missing variable, a key that is there twice, an unknown key, a mistyped value and clashes, in one go."""
    text = (
        good.replace("kafka:", "kafka:\n  client_idd: x\n  heartbeat_interval_ms: 20000")
        .replace("${KEY}", "${NONE}\n    timeout: soon\n    timeout: 1s")
        .replace("dialect: sprig", "dialect: sprg")
        + second(topics="[a, a]")
        + second(name="third", topics="[a]")
    )
    assert [fault.split(":")[0] for fault in faults_of(text)] == [
        "kafka.client_idd (line 2)",
        "kafka.heartbeat_interval_ms (line 3)",
        "destinations.production.write_key (line 7)",
        "destinations.production.timeout (line 8)",
        "integrations.sprig.dialect (line 12)",
        "integrations.other.topics (line 17)",
        "integrations.third.topics (line 21)",
    ]


def test_nothing_follows_from_a_fault(faults_of: FaultsOf, good: str) -> None:
    """A value that is put aside must not look missing or clash: each fault is the operator's, none is ours."""
    text = good.replace("broker:9092", "broker:9092\n  session_timeout_ms: long\n  heartbeat_interval_ms: 12000")
    assert [fault.split(" ")[0] for fault in faults_of(text)] == ["kafka.session_timeout_ms"]
    text = good.replace("  production:\n    write_key: ${KEY}", "  production: x")
    assert [fault.split(" ")[0] for fault in faults_of(text)] == ["destinations.production"]


def test_an_empty_file_says_what_is_needed(faults_of: FaultsOf) -> None:
    assert faults_of("") == [
        "destinations: is empty; streamer needs at least one",
        "integrations: is empty; streamer needs at least one",
        "kafka.bootstrap_servers: is missing; write host:port, several separated by commas",
    ]


def test_a_near_destination_is_suggested(faults_of: FaultsOf, good: str) -> None:
    (fault,) = faults_of(good.replace("destination: production", "destination: produktion"))
    assert fault.endswith("'produktion' is not the name of a destination (did you mean production?)")


class TestEnvironment:
    def test_its_numbers_need_units_too(self, faults_of: FaultsOf, good: str) -> None:
        """JSON has numbers, and those of lists are durations as well."""
        environ = {
            "STREAMER_RECEIPTS__WINDOW": "24",
            "STREAMER_DESTINATIONS__PRODUCTION__RETRY__QUICK": "[2]",
            "STREAMER_DESTINATIONS__PRODUCTION__BATCH": '{"linger": 1, "max_calls": 10}',
        }
        assert [fault.partition(": ")[2].split(" (")[0] for fault in faults_of(good, environ)] == ["has no unit"] * 3

    def test_its_faults_name_the_variable_and_not_the_value(self, faults_of: FaultsOf, good: str, secret: str) -> None:
        environ = {
            "STREAMER_KAFKA__SESSION_TIMEOUT_MS": secret,
            "STREAMER_KAFKA__NONSENSE": secret,
            "STREAMER_INTEGRATIONS__SPRIG__TOPICS": f"a,{secret}",
            "STREAMER_LOG": secret,
        }
        assert {fault.split(":")[0] for fault in faults_of(good, environ)} == {
            "kafka.nonsense (environment variable STREAMER_KAFKA__NONSENSE)",
            "kafka.session_timeout_ms (environment variable STREAMER_KAFKA__SESSION_TIMEOUT_MS)",
            "integrations.sprig.topics (environment variable STREAMER_INTEGRATIONS__SPRIG__TOPICS)",
            "log (environment variable STREAMER_LOG)",
        }


@pytest.mark.parametrize(
    "change",
    [
        ("${KEY}", "SECRET SECRET"),
        ("${KEY}", "[SECRET]"),
        ("${KEY}", "{SECRET: 1}"),
        ("${KEY}", "*SECRET"),
        ("${KEY}", "!SECRET x"),
        ("${KEY}", "'SECRET"),
        ("${KEY}", '"SECRET" x'),
        ("write_key: ${KEY}", "write_kee: SECRET"),
        ("write_key: ${KEY}", "write_key: SECRET\n    write_key: SECRET"),
        ("write_key: ${KEY}", "write_key: SECRET\n    write_key_file: f"),
        ("write_key: ${KEY}", "write_key: k\n    region: ${KEY}"),
        ("write_key: ${KEY}", "write_key: k\n    endpoint: http://user:SECRET@host"),
        ("broker:9092", "user:SECRET@broker:9092"),
        ("broker:9092", "b:1\n  sasl_plain_password: SECRET"),
        ("broker:9092", "b:1\n  sasl_plain_password: [SECRET]"),
        ("kafka:", "SECTION: SECRET\nkafka:"),
    ],
)
def test_no_fault_shows_a_secret(faults_of: FaultsOf, good: str, secret: str, change: tuple[str, str]) -> None:
    """Whether it is malformed, misplaced, doubled or broken YAML; `faults_of` asserts it."""
    old, new = change
    assert faults_of(good.replace(old, new.replace("SECRET", secret)))
