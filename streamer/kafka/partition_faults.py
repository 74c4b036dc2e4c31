"""What the brokers' answers say about single partitions, in the words of `streamer.core.records.obstacles`."""

from typing import Final

from aiokafka import TopicPartition, errors
from aiokafka.cluster import ClusterMetadata

from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.kafka.options import describe_kafka_error

NOBODY: Final = -1
"""What the client has in the place of a leader's number where there is no leader."""

_OBSTACLES: Final = (
    (errors.TopicAuthorizationFailedError, Obstacle.NOT_AUTHORISED),
    (errors.UnknownTopicOrPartitionError, Obstacle.TOPIC_MISSING),
    (
        (errors.LeaderNotAvailableError, errors.NotLeaderForPartitionError, errors.ReplicaNotAvailableError),
        Obstacle.NO_LEADER,
    ),
    # The broker was not reached, or did not answer in time.
    (
        (
            errors.KafkaConnectionError,
            errors.NodeNotReadyError,
            errors.StaleMetadata,
            errors.RequestTimedOutError,
            errors.KafkaTimeoutError,
            TimeoutError,
        ),
        Obstacle.NO_LEADER,
    ),
)
"""The first row that matches wins; any other error means that the partition cannot be used as the brokers have it."""


def fault_of(error: BaseException) -> PartitionFault:
    """What an error that concerns a partition says about it."""
    obstacle = next((obstacle for kinds, obstacle in _OBSTACLES if isinstance(error, kinds)), Obstacle.READ_FAILED)
    return PartitionFault(obstacle, describe_kafka_error(error) or type(error).__name__)


def leader_of(cluster: ClusterMetadata, partition: TopicPartition) -> int | None:
    """The number of the broker that leads a partition, as far as the client has heard; None: nobody, or not known."""
    leader: int | None = cluster.leader_for_partition(partition)
    return None if leader == NOBODY else leader


def fault_in_metadata(cluster: ClusterMetadata, partition: TopicPartition) -> PartitionFault | None:
    """Why a partition cannot be read, as far as the client has heard; None: nothing is known against it."""
    if leader_of(cluster, partition) is not None:
        return None
    if partition.topic in cluster.unauthorized_topics:
        return fault_of(errors.TopicAuthorizationFailedError())
    if cluster.leader_for_partition(partition) is None:
        return fault_of(errors.UnknownTopicOrPartitionError())
    return PartitionFault(Obstacle.NO_LEADER, "no broker leads the partition; start the brokers that have its replicas")
