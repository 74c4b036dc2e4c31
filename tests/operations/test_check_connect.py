"""What ``streamer check --connect`` finds on a real broker."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from unittest.mock import AsyncMock

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.errors import IncompatibleBrokerVersion, TopicAuthorizationFailedError

from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka.rights import forbidden_groups
from streamer.operations.connection_check import look
from streamer.operations.findings import Findings
from streamer.settings import KafkaSettings, Settings
from streamer.settings.inbound import InboundSettings

pytestmark = pytest.mark.kafka

MakeTopic = Callable[..., Awaitable[str]]
Configure = Callable[..., Settings]


class Cluster(Protocol):
    bootstrap_servers: str


@pytest.fixture
def configure(broker: Cluster, sandbox: Sandbox, tmp_path: Path) -> Configure:
    """A function that returns a configuration of one integration, which reads the given topic from the broker."""
    (tmp_path / "key").write_text("key")

    def configure(topic: str, dead_letter_topic: str | None = None, **kafka: Any) -> Settings:
        return Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": broker.bootstrap_servers, **kafka},
                "destinations": {"local": {"write_key_file": tmp_path / "key", "endpoint": sandbox.url}},
                "integrations": {
                    "sprig": {
                        "dialect": "sprig",
                        "topics": [topic],
                        "destination": "local",
                        "dead_letters": {"topic": dead_letter_topic},
                    }
                },
            }
        )

    return configure


async def test_nothing_is_found_where_all_is_there(configure: Configure, make_topic: MakeTopic) -> None:
    assert await look(configure(await make_topic("answers"), await make_topic("refused"))) == Findings()


async def test_missing_topics_are_told_and_not_made(configure: Configure) -> None:
    """Asking for a topic's metadata by name would make it, where brokers make topics on demand."""
    settings = configure("streamer-test.absent")
    for _ in range(2):
        source, dead_letters = (await look(settings)).problems
        assert source.startswith("integrations.sprig.topics: streamer-test.absent does not exist")
        assert dead_letters.startswith("integrations.sprig.dead_letters.topic: streamer-test.absent.dlq does not exist")


async def test_a_dead_letter_topic_that_will_be_made_is_not_missing(
    configure: Configure, make_topic: MakeTopic
) -> None:
    assert await look(configure(await make_topic("answers"), create_topics=True)) == Findings()


async def test_settings_that_harm_dead_letters_are_warnings(configure: Configure, make_topic: MakeTopic) -> None:
    harmful = {
        "retention.ms": "3600000",
        "retention.bytes": "1000",
        "cleanup.policy": "compact,delete",
        "max.message.bytes": "1000",
        "message.timestamp.before.max.ms": "1000",
    }
    refused = await make_topic("refused", config=harmful)
    findings = await look(configure(await make_topic("answers"), refused))
    assert findings.problems == []
    assert all(line.startswith(f"integrations.sprig.dead_letters.topic: {refused} ") for line in findings.warnings)
    assert [next(name for name in harmful if f"{name} of" in line or name in line) for line in findings.warnings] == [
        "cleanup.policy",
        "retention.ms",
        "retention.bytes",
        "max.message.bytes",
        "message.timestamp.before.max.ms",
    ]


async def test_a_topic_that_can_take_no_dead_letter_is_a_problem(configure: Configure, make_topic: MakeTopic) -> None:
    refused = await make_topic("refused", config={"min.insync.replicas": "99"})
    [problem] = (await look(configure(await make_topic("answers"), refused))).problems
    assert problem.startswith(f"integrations.sprig.dead_letters.topic: {refused} has a replication factor of ")


async def test_settings_that_may_not_be_looked_at_are_a_warning(
    configure: Configure, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker answers so to a user without the right DESCRIBE_CONFIGS."""

    async def refuse(_admin: AIOKafkaAdminClient, resources: list[ConfigResource]) -> list[SimpleNamespace]:
        denied = TopicAuthorizationFailedError.errno
        return [
            SimpleNamespace(resources=[(denied, "Authorization failed.", resource.resource_type, resource.name, ())])
            for resource in resources
        ]

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", refuse)
    topic, refused = await make_topic("answers"), await make_topic("refused")
    findings = await look(configure(topic, refused))
    assert findings.problems == []
    [warning] = findings.warnings
    assert warning.startswith(f"kafka: the settings of {topic}, {refused} could not be looked at")
    assert "the right DESCRIBE_CONFIGS is missing; grant it" in warning


async def test_brokers_that_tell_no_settings_are_a_warning(
    configure: Configure, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some systems that speak Kafka's protocol do not have the question."""
    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", AsyncMock(side_effect=IncompatibleBrokerVersion))
    findings = await look(configure(await make_topic("answers"), await make_topic("refused")))
    assert (findings.problems, len(findings.warnings)) == ([], 1)


async def test_sasl_on_a_listener_without_it_is_told(configure: Configure, make_topic: MakeTopic) -> None:
    settings = configure(
        await make_topic("answers"),
        security_protocol="SASL_PLAINTEXT",
        sasl_plain_username="user",
        sasl_plain_password="hidden-password",
    )
    (problem,) = (await look(settings)).problems
    assert "the broker does not use SASL on this listener" in problem
    assert "hidden-password" not in problem


async def test_tls_on_a_listener_without_it_is_told(configure: Configure, make_topic: MakeTopic) -> None:
    (problem,) = (await look(configure(await make_topic("answers"), security_protocol="SSL"))).problems
    assert "check that the broker runs, and that kafka.security_protocol is that of its listener" in problem


async def test_no_group_is_forbidden_where_nobody_forbids_it(broker: Cluster) -> None:
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    assert await forbidden_groups(kafka, ["streamer.one", "streamer.two"]) == []


async def test_the_topics_of_the_way_back_are_looked_at(
    configure: Configure, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Profiles must be compacted, and the others must not be."""
    used = {"topic": "calls", "triggers_topic": "triggers", "profiles_topic": "profiles"}
    topics = {setting: await make_topic(name) for setting, name in used.items()}
    topics["triggers_topic"] = await make_topic("compacted", config={"cleanup.policy": "compact"})
    kafka = configure("unused").kafka
    settings = Settings.model_validate(
        {
            "kafka": kafka.model_dump(),
            "inbound": {**topics, "listen": None, "dead_letters": {"topic": "streamer-test.absent"}},
            "directory": {"url": f"sqlite:///{tmp_path}/directory.db"},
        }
    )

    findings = await look(settings)
    problems = sorted(findings.problems)

    assert findings.warnings == [
        f"directory: there is no file {tmp_path}/directory.db yet; `streamer run` and `streamer users import` create it"
    ]
    assert [problem.split(": ")[0] for problem in problems] == [
        "inbound.dead_letters.topic",
        "inbound.profiles_topic",
        "inbound.triggers_topic",
    ]
    assert "streamer-test.absent does not exist" in problems[0]
    assert "is not compacted" in problems[1]
    assert "is compacted" in problems[2]


async def test_the_topic_of_receipts_has_to_keep_what_counts(configure: Configure, make_topic: MakeTopic) -> None:
    topic, refused = await make_topic("answers"), await make_topic("refused")
    short = await make_topic("receipts", config={"retention.ms": "3600000"})

    async def of(receipts: str, **kafka: bool) -> Findings:
        settings = configure(topic, refused, **kafka)
        shared = settings.receipts.model_copy(update={"topic": receipts})
        return await look(settings.model_copy(update={"receipts": shared}))

    [warning] = (await of(short)).warnings
    assert warning.startswith(f"receipts.topic: {short} keeps receipts for 3600000 ms")
    [problem] = (await of("streamer-test.absent")).problems
    assert problem.startswith("receipts.topic: streamer-test.absent does not exist")
    assert await of("streamer-test.absent", create_topics=True) == Findings()


async def test_a_directory_that_cannot_be_used_is_a_problem(configure: Configure, tmp_path: Path) -> None:
    """Whatever the brokers say, and without its password."""
    (tmp_path / "url").write_text("postgresql://streamer:s3cr3t@127.0.0.1:1/x")
    settings = Settings.model_validate(
        {
            "kafka": configure("unused").kafka.model_dump(),
            "inbound": {"listen": False},
            "directory": {"url_file": tmp_path / "url"},
        }
    )
    [problem] = [one for one in (await look(settings)).problems if one.startswith("directory")]
    assert problem.startswith("directory: the directory cannot be used (unreachable): ")
    assert problem.endswith("; check that the database runs, directory.url, and the network")
    assert "s3cr3t" not in problem


async def test_who_only_receives_needs_no_profiles(configure: Configure, make_topic: MakeTopic) -> None:
    topics = {"topic": await make_topic("calls"), "dead_letters": {"topic": await make_topic("refused")}}
    settings = configure("unused").model_copy(
        update={"inbound": InboundSettings.model_validate(topics), "directory": None, "integrations": {}}
    )
    assert await look(settings) == Findings()
