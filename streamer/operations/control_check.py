"""What ``streamer check --connect`` checks of the control topic. It may be missing: ``streamer pause`` creates it."""

from typing import Final

from streamer.core.dead_letters.topic_settings import CLEANUP_POLICY
from streamer.kafka import describe_topics, missing_topics
from streamer.kafka.whole_topic import ForbiddenTopicError, WholeTopic
from streamer.operations.findings import Findings
from streamer.settings import KafkaSettings

READ_SECONDS: Final = 1.0
"""A right that is missing shows at the first answer; a topic without records has none to send."""

COMPACT: Final = "compact"


async def ask_brokers_about_control(kafka: KafkaSettings, topic: str, findings: Findings) -> None:
    """Look whether orders on a control topic stay, and whether we may read them.

    Raises:
        SettingsError: a file that the connection needs cannot be used.
        UnavailableError: the brokers cannot be asked.
    """
    if await missing_topics(kafka, [topic]):
        return
    [described] = await describe_topics(kafka, [topic])
    policy = (described.values or {}).get(CLEANUP_POLICY)
    if policy is not None and policy != COMPACT:
        findings.warnings.append(
            f"control.topic: {CLEANUP_POLICY} of {topic} is {policy}, so orders are deleted after a while, and a paused"
            f" integration runs again after a restart; set {CLEANUP_POLICY}={COMPACT}"
        )
    try:
        async with WholeTopic(kafka, topic) as follower:
            if await follower.find():
                await follower.poll(READ_SECONDS)
    except ForbiddenTopicError:
        findings.warnings.append(
            f"control.topic: {topic} may not be read, so streamer pause and streamer resume have no effect; grant READ"
            " and DESCRIBE, or set control: false"
        )
