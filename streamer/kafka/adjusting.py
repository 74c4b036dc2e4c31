"""What we change in a consumer of the client: each change is made in one object, and for one trap."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition


def join_without_all_topics(consumer: AIOKafkaConsumer) -> None:
    """Have a start not wait for topics: the client gives up when one of several is missing or may not be read."""

    async def do_not_wait() -> None:
        pass

    consumer._wait_topics = do_not_wait  # noqa: SLF001 - there is no setting for it


def hold_until_sought(consumer: AIOKafkaConsumer) -> None:
    """Have each partition wait for our first `Source.seek` once it is assigned.

    Otherwise the client asks by itself for its committed position. If that may not be asked for one topic, it neither
    fetches anything from that partition's broker any more nor does it let anybody poll.
    """
    subscription = consumer._subscription  # noqa: SLF001 - the only place where this can be done in time
    assign = subscription.assign_from_subscribed

    def assign_held(partitions: Collection[TopicPartition]) -> None:
        assign(partitions)
        for partition in partitions:
            subscription.seek(partition, 0)
            subscription.pause(partition)

    subscription.assign_from_subscribed = assign_held
