"""What ``streamer check --connect`` finds on a real broker."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from streamer.devkit.sandbox.server import Sandbox
from streamer.kafka.rights import forbidden_groups
from streamer.operations.connection_check import problems
from streamer.settings import KafkaSettings, Settings

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
    assert await problems(configure(await make_topic("answers"), await make_topic("refused"))) == []


async def test_missing_topics_are_told_and_not_made(configure: Configure) -> None:
    """Asking for a topic's metadata by name would make it, where brokers make topics on demand."""
    settings = configure("streamer-test.absent")
    for _ in range(2):
        source, dead_letters = await problems(settings)
        assert source.startswith("integrations.sprig.topics: streamer-test.absent does not exist")
        assert dead_letters.startswith("integrations.sprig.dead_letters.topic: streamer-test.absent.dlq does not exist")


async def test_a_dead_letter_topic_that_will_be_made_is_not_missing(
    configure: Configure, make_topic: MakeTopic
) -> None:
    assert await problems(configure(await make_topic("answers"), create_topics=True)) == []


async def test_sasl_on_a_listener_without_it_is_told(configure: Configure, make_topic: MakeTopic) -> None:
    settings = configure(
        await make_topic("answers"),
        security_protocol="SASL_PLAINTEXT",
        sasl_plain_username="user",
        sasl_plain_password="hidden-password",
    )
    (problem,) = await problems(settings)
    assert "the broker does not use SASL on this listener" in problem
    assert "hidden-password" not in problem


async def test_tls_on_a_listener_without_it_is_told(configure: Configure, make_topic: MakeTopic) -> None:
    (problem,) = await problems(configure(await make_topic("answers"), security_protocol="SSL"))
    assert "check that the broker runs, and that kafka.security_protocol is that of its listener" in problem


async def test_no_group_is_forbidden_where_nobody_forbids_it(broker: Cluster) -> None:
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    assert await forbidden_groups(kafka, ["streamer.one", "streamer.two"]) == []
