"""Questions to the brokers outside of a consumer group: whether we can log in, and about topics."""

import contextlib
from collections.abc import AsyncIterator, Collection

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.closing import close
from streamer.kafka.options import client_options, connection_options, describe_kafka_error, is_set_up_fault
from streamer.kafka.starting import keep_whole
from streamer.settings import KafkaSettings


async def preflight(kafka: KafkaSettings) -> None:
    """Open one connection, to find out why there is none.

    Raises:
        SettingsError: a broker rejects our credentials, certificate or protocol, or we reject its certificate.
        UnavailableError: no broker can be reached.
    """
    options = client_options(kafka)
    servers = options.pop("bootstrap_servers")
    faults: list[str] = []
    reasons: list[str] = []
    for server in servers.split(",") if isinstance(servers, str) else servers:
        host, _, port = server.strip().rpartition(":")
        try:
            connection = await create_conn(host.strip("[]"), int(port), **connection_options(options))
        except (OSError, TimeoutError, KafkaError) as error:
            text = f"{server.strip()}: {describe_kafka_error(error)}"
            (faults if is_set_up_fault(error) else reasons).append(text)
        else:
            connection.close()
            return
    if faults:
        raise SettingsError([f"kafka: {fault}" for fault in faults])
    raise UnavailableError("; ".join(reasons))


async def missing_topics(kafka: KafkaSettings, topics: Collection[str]) -> list[str]:
    """Which of the topics do not exist, sorted.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with _admin(kafka) as admin:
        existing = set(await admin.list_topics())
    return sorted(set(topics) - existing)


async def create_topics(
    kafka: KafkaSettings, topics: Collection[str], *, like: str | None = None, partitions: int = 1
) -> None:
    """Create topics with the cluster's default replication factor; topics that exist stay as they are.

    Args:
        kafka: where the brokers are.
        topics: their names.
        like: a topic that has the number of partitions to use.
        partitions: the number of partitions without ``like``.

    Raises:
        UnavailableError: a broker rejects the request, or cannot be asked.
    """
    async with _admin(kafka) as admin:
        if like is not None:
            [description] = await admin.describe_topics([like])
            partitions = len(description["partitions"]) or partitions
        # -1 is the cluster's default, which the client accepts only together with an (empty) assignment.
        answer = await admin.create_topics(
            [NewTopic(topic, partitions, -1, replica_assignments={}) for topic in topics]
        )
    rejected = {topic: for_code(code) for topic, code, *_ in answer.topic_errors if code}
    reasons = [
        f"{topic}: {error.__name__}" for topic, error in rejected.items() if error is not TopicAlreadyExistsError
    ]
    if reasons:
        raise UnavailableError(f"topics could not be created: {', '.join(reasons)}; create them yourself")


async def retention_seconds(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, float]:
    """How long the brokers keep the records of topics. Topics without a limit, or with an unknown one, are left out.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with _admin(kafka) as admin:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": ""}) for topic in topics]
        )
    return {
        name: int(entry[1]) / 1000
        for answer in answers
        for _, _, _, name, entries in answer.resources
        for entry in entries
        if entry[0] == "retention.ms" and entry[1] is not None and int(entry[1]) >= 0
    }


@contextlib.asynccontextmanager
async def _admin(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(kafka))
    keep_whole(admin)
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise UnavailableError(describe_kafka_error(error)) from error
    finally:
        await close(admin.close)
