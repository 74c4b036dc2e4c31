"""What ``streamer check --connect`` checks of the topic of receipts: that it exists, and that it keeps what counts."""

from streamer.core.dead_letters.topic_settings import CLEANUP_POLICY, MAX_MESSAGE_BYTES, RETENTION_MS
from streamer.core.records.receipt_topic import remarks_on
from streamer.kafka import describe_topics, missing_topics
from streamer.operations.findings import Findings
from streamer.settings import KafkaSettings

SETTING = "receipts.topic"


async def ask_brokers_about_receipts(
    kafka: KafkaSettings, topic: str, findings: Findings, *, window_seconds: float
) -> None:
    """Look at the topic of receipts.

    Args:
        kafka: where the brokers are.
        topic: its name.
        findings: what is found is added to it.
        window_seconds: how long receipts count.

    Raises:
        UnavailableError: the brokers cannot be asked.
    """
    if await missing_topics(kafka, [topic]):
        if not kafka.create_topics:
            findings.problems.append(
                f"{SETTING}: {topic} does not exist, or the right to DESCRIBE it is missing; create it with"
                f" {RETENTION_MS}={int(window_seconds * 1000)} and {CLEANUP_POLICY}=delete, grant the right, or set"
                " kafka.create_topics: true"
            )
        return
    [described] = await describe_topics(kafka, [topic])
    if described.values is None:
        findings.warnings.append(
            f"{SETTING}: the settings of {topic} could not be looked at: the right DESCRIBE_CONFIGS is missing; grant"
            f" it, or compare {RETENTION_MS} with receipts.window yourself"
        )
        return
    remarks = remarks_on(
        topic,
        window_seconds,
        is_compacted=described.is_compacted,
        retention_ms=described.retention_ms,
        max_message_bytes=described.number(MAX_MESSAGE_BYTES),
    )
    findings.warnings.extend(f"{SETTING}: {remark}" for remark in remarks)
