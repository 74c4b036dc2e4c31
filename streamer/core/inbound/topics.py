"""The settings that the topics of the way back need, and what harms them."""

from collections.abc import Iterator

from streamer.core.dead_letters.topic_settings import CLEANUP_POLICY, MIN_INSYNC_REPLICAS, TopicSettings


def faults_of(topic: TopicSettings, *, must_be_compacted: bool) -> Iterator[str]:
    """Why a topic of the way back cannot do its work. A setting that is not known causes no fault.

    Args:
        topic: as its brokers describe it.
        must_be_compacted: whether it holds the newest state of each key; the others hold events, none of which replaces
            another one.
    """
    if topic.values is not None and topic.is_compacted is not must_be_compacted:
        if must_be_compacted:
            yield (
                f"{topic.topic} is not compacted: profiles that do not change for longer than its retention would be"
                f" deleted; set {CLEANUP_POLICY} of {topic.topic} to compact"
            )
        else:
            yield (
                f"{topic.topic} is compacted: of several calls with the same key, all but the newest would be deleted;"
                f" set {CLEANUP_POLICY} of {topic.topic} to delete"
            )
    if topic.lacks_replicas:
        yield (
            f"{topic.topic} has a replication factor of {topic.replicas}, and {MIN_INSYNC_REPLICAS} is"
            f" {topic.number(MIN_INSYNC_REPLICAS)}: the brokers confirm no record; lower"
            f" {MIN_INSYNC_REPLICAS} or add replicas"
        )
