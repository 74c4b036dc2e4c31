"""The topics of a configuration as an AsyncAPI document."""

from collections.abc import Iterator
from typing import Any, Final

from streamer import __version__
from streamer.core.describing.asyncapi import CALL, DEAD_LETTER, Channel, Server, document, messages_of
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing.pushes import PUSHES
from streamer.settings import KafkaSettings, Settings

_DEAD_LETTERS: Final = (
    "Records that cannot be delivered, with the reason. streamer dlq shows them and writes them back."
)
_SECURITY: Final = {
    "PLAIN": "plain",
    "SCRAM-SHA-256": "scramSha256",
    "SCRAM-SHA-512": "scramSha512",
    "GSSAPI": "gssapi",
    "OAUTHBEARER": "userPassword",
}
"""SASL mechanism -> security scheme of AsyncAPI. Its ``oauth2`` wants addresses that no setting has."""


def document_of(settings: Settings, *, title: str) -> dict[str, Any]:
    """The document of the topics that a configuration names."""
    return document(
        title=title, version=__version__, servers=list(_servers(settings.kafka)), channels=_channels(settings)
    )


def document_of_dialects(*, title: str) -> dict[str, Any]:
    """The document of topics whose names are not known: one for each dialect that producers write."""
    channels = [
        Channel(
            name=name,
            address=None,
            description=f"Topics of integrations with the dialect {name}: {dialect.platform}.",
            messages=dialect.contracts,
            group_ids=(f"streamer.{name}",),
        )
        for name, dialect in DIALECTS.items()
    ]
    letters = Channel(
        name=DEAD_LETTER, address=None, description=_DEAD_LETTERS, messages=(DEAD_LETTER,), is_written=True
    )
    return document(title=title, version=__version__, servers=(), channels=[*channels, letters])


def _servers(kafka: KafkaSettings) -> Iterator[Server]:
    has_login = kafka.security_protocol.startswith("SASL")
    for host in filter(None, kafka.bootstrap_servers.split(",")):
        yield Server(
            host=host.strip(),
            is_encrypted=kafka.security_protocol.endswith("SSL"),
            security=_SECURITY[kafka.sasl_mechanism] if has_login else None,
        )


def _channels(settings: Settings) -> list[Channel]:
    found: dict[str, Channel] = {}
    for channel in (*_outbound(settings), *_inbound(settings)):
        known = found.get(channel.name)
        found[channel.name] = channel if known is None else _joined(known, channel)
    return list(found.values())


def _joined(one: Channel, other: Channel) -> Channel:
    """One topic that several integrations name, or that the way back writes and an integration reads."""
    return Channel(
        name=one.name,
        address=one.address,
        description=" ".join(dict.fromkeys((one.description, other.description))),
        messages=tuple(dict.fromkeys((*one.messages, *other.messages))),
        group_ids=tuple(dict.fromkeys((*one.group_ids, *other.group_ids))),
        is_written=one.is_written or other.is_written,
        is_compacted=one.is_compacted or other.is_compacted,
    )


def _outbound(settings: Settings) -> Iterator[Channel]:
    for name, integration in settings.integrations.items():
        dialect = integration.dialect
        platform = dialect if dialect in PUSHES else DIALECTS[dialect].platform
        for topic in integration.topics:
            yield Channel(
                name=topic,
                address=topic,
                description=f"{platform} records, which the integration {name} delivers.",
                messages=messages_of(dialect),
                group_ids=(integration.group_id,),
            )
            yield _dead_letters(integration.dead_letter_topic(topic))


def _inbound(settings: Settings) -> Iterator[Channel]:
    inbound = settings.inbound
    if inbound is None:
        return
    yield Channel(
        name=inbound.topic,
        address=inbound.topic,
        description="Segment's calls on their way from the webhooks to the directory of users.",
        messages=(CALL,),
        group_ids=() if settings.directory is None else (inbound.group_id,),
        is_written=inbound.listen is not None,
    )
    yield _dead_letters(inbound.dead_letters.topic)
    if settings.directory is None:
        return
    for push, topic, text in (
        ("profiles", inbound.profiles_topic, "Changed users of the directory, the newest state of each."),
        ("triggers", inbound.triggers_topic, "Tracked events of users of the directory."),
    ):
        yield Channel(
            name=topic,
            address=topic,
            description=text,
            messages=messages_of(push),
            is_written=True,
            is_compacted=push == "profiles",
        )


def _dead_letters(topic: str) -> Channel:
    return Channel(name=topic, address=topic, description=_DEAD_LETTERS, messages=(DEAD_LETTER,), is_written=True)
