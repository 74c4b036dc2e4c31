"""What the demo needs so that calls come back: a part of its configuration, and topics."""

from importlib.util import find_spec
from typing import Any, Final

from streamer.kafka import create_topics
from streamer.settings import Settings

WEBHOOK: Final = "demo"
SECRET: Final = "the shared secret of the demo"  # noqa: S105 - it protects nothing


def is_installed() -> bool:
    """Whether the extra ``inbound`` is there, which the directory needs."""
    return find_spec("sqlalchemy") is not None


def sections(directory: str, port: int) -> dict[str, Any]:
    """What the way back adds to the configuration of the demo.

    Args:
        directory: path of the file for the users.
        port: where the webhooks are received.
    """
    return {
        "inbound": {
            "listen": {"port": port},
            "webhooks": {WEBHOOK: {"secrets": [SECRET]}},
            "dead_letters": {"topic": "segment.inbound.dlq"},
        },
        "directory": {"url": f"sqlite:///{directory}"},
    }


async def make_topics(settings: Settings, *, partitions: int) -> None:
    """Create the topics of the way back; the one for profiles is compacted.

    Raises:
        UnavailableError: the brokers refuse, or cannot be asked.
    """
    inbound = settings.inbound
    assert inbound is not None, "the demo's configuration has it"
    calls = [inbound.topic, inbound.triggers_topic, inbound.dead_letters.topic]
    await create_topics(settings.kafka, calls, partitions=partitions)
    compacted = {"cleanup.policy": "compact"}
    await create_topics(settings.kafka, [inbound.profiles_topic], partitions=partitions, values=compacted)
