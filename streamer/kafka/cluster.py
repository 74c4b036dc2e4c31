"""Questions to the brokers outside of a consumer group: whether we can log in, and about topics."""

from collections.abc import Collection, Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAlreadyExistsError, for_code

from streamer.core.dead_letters.topic_settings import NAMES, RETENTION_MS, TopicSettings, settings_for
from streamer.core.errors import SettingsError, UnavailableError
from streamer.kafka.administration import administration
from streamer.kafka.options import client_options, connection_options, describe_kafka_error, is_set_up_fault
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
    async with administration(kafka) as admin:
        existing = set(await admin.list_topics())
    return sorted(set(topics) - existing)


async def create_topics(
    kafka: KafkaSettings, topics: Collection[str], *, partitions: int = 1, values: Mapping[str, str] | None = None
) -> None:
    """Create topics with the cluster's default replication factor; topics that exist stay as they are.

    Args:
        kafka: where the brokers are.
        topics: their names.
        partitions: how many each gets.
        values: their settings, such as ``cleanup.policy``; what is left out is the cluster's default.

    Raises:
        UnavailableError: a broker rejects the request, or cannot be asked.
    """
    async with administration(kafka) as admin:
        for topic in topics:
            await _create(admin, TopicSettings(topic=topic, partitions=partitions, replicas=0, values=values or {}))


async def create_dead_letter_topic(
    kafka: KafkaSettings, topic: str, *, sources: Collection[str]
) -> TopicSettings | None:
    """Create a dead-letter topic with the settings that `streamer.core.dead_letters.topic_settings` decides on.

    Args:
        kafka: where the brokers are.
        topic: its name.
        sources: the topics whose dead letters it gets; they exist.

    Returns:
        What it was created with; None: it exists already and stays as it is.

    Raises:
        UnavailableError: a broker rejects the request, or cannot be asked.
    """
    async with administration(kafka) as admin:
        settings = settings_for(topic, await _describe(admin, sources))
        return settings if await _create(admin, settings) else None


async def _create(admin: AIOKafkaAdminClient, topic: TopicSettings) -> bool:
    """Create a topic; false: it exists already."""
    # -1 is the cluster's default, which the client accepts only together with an (empty) assignment.
    new = NewTopic(
        topic.topic,
        topic.partitions,
        topic.replicas or -1,
        replica_assignments=None if topic.replicas else {},
        topic_configs=dict(topic.values or {}),
    )
    answer = await admin.create_topics([new])
    for _, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            reason = ": ".join([error.__name__, *filter(None, message)])
            raise UnavailableError(
                f"the topic {topic.topic} could not be created with {topic} ({reason});"
                " grant the right CREATE if that is missing, or create the topic yourself"
            )
        if code:
            return False
    return True


async def describe_topics(kafka: KafkaSettings, topics: Collection[str]) -> list[TopicSettings]:
    """How topics are set up, in their order.

    Args:
        kafka: where the brokers are.
        topics: names of topics that exist. Brokers may create one that does not, because it was asked about.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with administration(kafka) as admin:
        return await _describe(admin, topics)


async def _describe(admin: AIOKafkaAdminClient, topics: Collection[str]) -> list[TopicSettings]:
    values = await _values(admin, topics, NAMES)
    replicas_of = {
        description["topic"]: [len(partition["replicas"]) for partition in description["partitions"]]
        for description in await admin.describe_topics(list(topics))
    }
    return [
        TopicSettings(
            topic=topic,
            partitions=len(replicas_of.get(topic, ())),
            replicas=min(replicas_of.get(topic, ()), default=0),
            values=values.get(topic),
        )
        for topic in topics
    ]


async def retention_seconds(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, float]:
    """How long the brokers keep the records of topics. Topics without a limit, or with an unknown one, are left out.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    async with administration(kafka) as admin:
        values = await _values(admin, topics, [RETENTION_MS])
    return {
        topic: int(retention) / 1000
        for topic, of_topic in values.items()
        if (retention := of_topic.get(RETENTION_MS)) is not None and int(retention) >= 0
    }


async def _values(
    admin: AIOKafkaAdminClient, topics: Collection[str], names: Collection[str]
) -> dict[str, dict[str, str]]:
    """Settings of topics. Topics whose settings we have no right to see are left out, all if the broker tells none."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(names, "")) for topic in topics]
    try:
        answers = await admin.describe_configs(resources)
    except IncompatibleBrokerVersion:
        return {}
    return {
        topic: {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        for answer in answers
        for code, _, _, topic, entries in answer.resources
        if not code
    }
