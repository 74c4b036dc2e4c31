"""What ``streamer check --connect`` checks of the way back: its topics and their settings, its group, the directory."""

from collections.abc import Mapping

from streamer.core.dead_letters.topic_settings import CLEANUP_POLICY
from streamer.core.inbound.topics import faults_of
from streamer.kafka import describe_topics, missing_topics
from streamer.kafka.rights import forbidden_groups
from streamer.operations.findings import Findings
from streamer.settings import KafkaSettings
from streamer.settings.inbound import DirectorySettings, InboundSettings


async def ask_brokers_about_inbound(
    kafka: KafkaSettings, inbound: InboundSettings, findings: Findings, *, applies: bool
) -> None:
    """Look at the topics and the group of the way back.

    Args:
        kafka: where the brokers are.
        inbound: the settings of the way back.
        findings: what is found is added to it.
        applies: whether this configuration applies calls, and does not only receive them.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    topics = _topics(inbound, applies=applies)
    missing = set(await missing_topics(kafka, topics))
    findings.problems.extend(
        f"{topics[topic]}: {topic} does not exist, or the right to DESCRIBE it is missing; create the topic"
        f"{' with ' + CLEANUP_POLICY + '=compact' if topic == inbound.profiles_topic else ''} or grant the right"
        for topic in topics
        if topic in missing
    )
    described = await describe_topics(kafka, sorted(set(topics) - missing))
    for topic in described:
        faults = faults_of(topic, must_be_compacted=topic.topic == inbound.profiles_topic)
        findings.problems.extend(f"{topics[topic.topic]}: {fault}" for fault in faults)
    hidden = [topic.topic for topic in described if topic.values is None]
    if hidden:
        findings.warnings.append(
            f"inbound: the settings of {', '.join(hidden)} could not be looked at: the right DESCRIBE_CONFIGS is"
            f" missing; grant it, or compare {CLEANUP_POLICY} yourself: compact for {inbound.profiles_topic}, and"
            " delete for the others"
        )
    if applies and await forbidden_groups(kafka, [inbound.group_id]):
        findings.problems.append(
            f"inbound.group_id: a right on the consumer group {inbound.group_id} is missing; grant READ"
        )


async def ask_directory(directory: DirectorySettings, findings: Findings) -> None:
    """Look whether the database can be used; what the next start will do to its tables is a warning.

    Raises:
        UnavailableError: it cannot be used.
    """
    from streamer.directory.looking import look  # noqa: PLC0415 - it needs the extra ``inbound``

    found = await look(directory)
    if found is not None:
        findings.warnings.append(f"directory: {found}")


def _topics(inbound: InboundSettings, *, applies: bool) -> Mapping[str, str]:
    """Topic -> the setting that names it, of those that this configuration uses."""
    used = {inbound.topic: "inbound.topic", inbound.dead_letters.topic: "inbound.dead_letters.topic"}
    if applies:
        used |= {inbound.profiles_topic: "inbound.profiles_topic", inbound.triggers_topic: "inbound.triggers_topic"}
    return used
