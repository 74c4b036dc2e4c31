"""Checks of settings against each other: each value is valid alone, and together they cannot work.

Each check yields `Clash`es. Values of a wrong type are removed before, so that all faults are listed at once.
"""

import re
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import combinations
from typing import Final

from streamer import DISTRIBUTION
from streamer.core.mapping.dialects import DIALECTS
from streamer.core.pushing import PUSHES
from streamer.settings.clash import Clash
from streamer.settings.destination_checks import of_destination, of_kind
from streamer.settings.document import KeyPath
from streamer.settings.inbound import INBOUND, DirectorySettings, InboundSettings, WebhookSettings
from streamer.settings.model import IntegrationSettings, Settings
from streamer.settings.sections import KafkaSettings

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BAD_NAME: Final = "should be 1 to 64 letters, digits, dots, underscores and hyphens"
_EXTRA: Final = ("sqlalchemy", "alembic", "aiosqlite", "asyncpg")
"""The packages of the extra ``inbound``."""
_NO_DIRECTORY_OF_ITS_OWN: Final = frozenset({".", ".."})


def clashes(settings: Settings) -> Iterator[Clash]:
    """All clashes."""
    yield from _kafka(settings.kafka)
    for section in ("destinations", "integrations"):
        names = getattr(settings, section)
        if not names and (settings.inbound is None or settings.destinations):
            yield Clash((section,), "is empty; streamer needs at least one")
        for name in names:
            if not _NAME.fullmatch(name):
                yield Clash((section, name), _BAD_NAME)
            elif name in _NO_DIRECTORY_OF_ITS_OWN:
                yield Clash((section, name), "should not be . or .., which names another directory than one of its own")
    if settings.inbound is not None:
        yield from _inbound(settings.inbound, settings)
    yield from _users_of_directory(settings)
    for name, destination in settings.destinations.items():
        yield from of_destination(("destinations", name), destination)
    for name, integration in settings.integrations.items():
        path: KeyPath = ("integrations", name)
        yield from _integration(path, integration)
        yield from _unknown_destination(path, integration, settings)
        yield from of_kind(path, integration, settings.destinations)
    yield from _receipts(settings)
    for one, other in combinations(settings.integrations, 2):
        yield from _pair(one, other, settings)
        yield from _read_again(one, other, settings)
        yield from _read_again(other, one, settings)


def _kafka(kafka: KafkaSettings) -> Iterator[Clash]:
    def path(key: str) -> KeyPath:
        return ("kafka", key)

    if not kafka.bootstrap_servers:
        yield Clash(path("bootstrap_servers"), "is missing; write host:port, several separated by commas")
    if kafka.heartbeat_interval_ms * 3 > kafka.session_timeout_ms:
        yield Clash(
            path("heartbeat_interval_ms"),
            f"should be at most a third of session_timeout_ms ({kafka.session_timeout_ms}), because one late heartbeat"
            " would end the session",
            (path("session_timeout_ms"),),
        )
    if kafka.request_timeout_ms < kafka.rebalance_timeout_ms + 10_000:
        yield Clash(
            path("request_timeout_ms"),
            f"should be at least rebalance_timeout_ms + 10000 ({kafka.rebalance_timeout_ms + 10_000}),"
            " because joining the group would time out while another member drains",
            (path("rebalance_timeout_ms"),),
        )
    if kafka.max_partition_fetch_bytes > kafka.fetch_max_bytes:
        yield Clash(
            path("max_partition_fetch_bytes"),
            f"should be at most fetch_max_bytes ({kafka.fetch_max_bytes})",
            (path("fetch_max_bytes"),),
        )
    for key, text in (*_sasl(kafka), *_tls(kafka)):
        yield Clash(path(key), text, (path("security_protocol"), path("sasl_mechanism")))


def _sasl(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    if not kafka.security_protocol.startswith("SASL_"):
        for key in sorted(kafka.model_fields_set):
            if key.startswith("sasl_"):
                yield key, f"has no effect with security_protocol {kafka.security_protocol}; remove it, or use SASL_SSL"
    elif kafka.sasl_mechanism == "OAUTHBEARER":
        if kafka.sasl_oauth_token_file is None:
            yield "sasl_oauth_token_file", "is missing; sasl_mechanism OAUTHBEARER needs it"
    elif kafka.sasl_mechanism != "GSSAPI":
        if kafka.sasl_plain_username is None:
            yield "sasl_plain_username", f"is missing; sasl_mechanism {kafka.sasl_mechanism} needs it"
        if (kafka.sasl_plain_password is None) == (kafka.sasl_plain_password_file is None):
            yield "sasl_plain_password", "should be set, either here or in sasl_plain_password_file, and not in both"


def _tls(kafka: KafkaSettings) -> Iterator[tuple[str, str]]:
    if not kafka.security_protocol.endswith("SSL"):
        for key in sorted(kafka.model_fields_set):
            if key.startswith("ssl_"):
                yield key, f"has no effect with security_protocol {kafka.security_protocol}; remove it, or use SSL"
        return
    if kafka.ssl_keyfile is not None and kafka.ssl_certfile is None:
        yield "ssl_certfile", "is missing; ssl_keyfile needs the certificate that belongs to it"
    if kafka.ssl_password is not None and kafka.ssl_password_file is not None:
        yield "ssl_password", "is set twice; set it or ssl_password_file"


def _inbound(inbound: InboundSettings, settings: Settings) -> Iterator[Clash]:
    if inbound.listen is not None and not inbound.webhooks:
        yield Clash(("inbound", "webhooks"), "is empty; name at least one webhook, or set listen: false")
    if inbound.listen is None and settings.directory is None:
        yield Clash(
            ("inbound", "listen"), "and directory are both false: nothing is left to do; set one, or leave out inbound"
        )
    for name, webhook in inbound.webhooks.items():
        yield from _webhook(name, webhook, is_received=inbound.listen is not None)
    if INBOUND in settings.integrations:
        yield Clash(("integrations", INBOUND), "is how metrics and dead letters name the way back; choose another name")
    yield from _inbound_topics(inbound)
    for name, integration in settings.integrations.items():
        if integration.group_id == inbound.group_id:
            yield Clash(("inbound", "group_id"), f"is also the group of {name}; their commits would mix")


def _users_of_directory(settings: Settings) -> Iterator[Clash]:
    """Who needs the directory, and does not have it."""
    users: dict[KeyPath, str] = {
        ("integrations", name, "identify_devices"): "remove this setting"
        for name, integration in settings.integrations.items()
        if integration.identify_devices
    }
    if settings.directory is None:
        for path, otherwise in users.items():
            yield Clash(path, f"needs the directory of users; set directory.url, or {otherwise}", (("directory",),))
        return
    if settings.inbound is not None:
        users["inbound",] = "set directory: false where another process applies the calls"
    if users:
        yield from _directory(settings.directory)
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        for path, otherwise in users.items():
            yield Clash(
                path,
                f"needs packages that are not installed ({', '.join(missing)}); run:"
                f" pip install '{DISTRIBUTION}[inbound]', or {otherwise}",
            )


def _directory(directory: DirectorySettings) -> Iterator[Clash]:
    if directory.url is None:
        return
    if directory.url_file is not None:
        yield Clash(("directory", "url"), "is set twice; set it or url_file")
    if not directory.url.get_secret_value().startswith(("sqlite:///", "postgresql://")):
        yield Clash(("directory", "url"), "should be sqlite:///<path> or postgresql://user:password@host:port/database")


def _webhook(name: str, webhook: WebhookSettings, *, is_received: bool) -> Iterator[Clash]:
    path: KeyPath = ("inbound", "webhooks", name)
    if not _NAME.fullmatch(name):
        yield Clash(path, _BAD_NAME)
    if is_received and not webhook.secrets and webhook.secrets_file is None:
        yield Clash((*path, "secrets"), "is missing; write the shared secret of the webhook, or set secrets_file")
    for key in ("secrets", "bearer_token"):
        if getattr(webhook, key) and getattr(webhook, f"{key}_file") is not None:
            yield Clash((*path, key), f"is set twice; set it or {key}_file")


def _inbound_topics(inbound: InboundSettings) -> Iterator[Clash]:
    seen: dict[str, str] = {}
    for key, topic in {
        "topic": inbound.topic,
        "dead_letters.topic": inbound.dead_letters.topic,
        "profiles_topic": inbound.profiles_topic,
        "triggers_topic": inbound.triggers_topic,
    }.items():
        if topic in seen:
            yield Clash(
                ("inbound", *key.split(".")), f"is {topic}, as {seen[topic]} is; each of them needs its own topic"
            )
        seen.setdefault(topic, key)


def _integration(path: KeyPath, integration: IntegrationSettings) -> Iterator[Clash]:
    for topic, times in Counter(integration.topics).items():
        if times > 1:
            yield Clash((*path, "topics"), f"lists {topic} more than once")
    if any(integration.dead_letter_topic(topic) in integration.topics for topic in integration.topics):
        yield Clash(
            (*path, "dead_letters", "topic"),
            "should not be one of the topics: each dead letter would be read again as a record",
            ((*path, "topics"),),
        )
    push = PUSHES.get(integration.dialect)
    if push is not None and integration.identify_devices:
        text = f"has no effect with dialect {integration.dialect}, whose records name their users; remove it"
        yield Clash((*path, "identify_devices"), text, ((*path, "dialect"),))
    writes_as_others = push is None and DIALECTS[integration.dialect].write is None
    if push is not None and not push.has_events and "events" in integration.model_fields_set:
        text = f"has no effect with dialect {integration.dialect}, whose calls have no event name; remove it"
        yield Clash((*path, "events"), text, ((*path, "dialect"),))
    for name in (*DIALECTS, *PUSHES):
        is_used = name == integration.dialect or (writes_as_others and name in DIALECTS)
        if name in integration.model_fields_set and not is_used:
            yield Clash(
                (*path, name), f"has no effect with dialect {integration.dialect}; remove it", ((*path, "dialect"),)
            )
    limits = integration.limits
    if limits.max_parked_per_partition > limits.max_open_records:
        yield Clash(
            (*path, "limits", "max_parked_per_partition"),
            f"should be at most max_open_records ({limits.max_open_records}), because parked records are open",
            ((*path, "limits", "max_open_records"),),
        )


def _receipts(settings: Settings) -> Iterator[Clash]:
    """Receipts among records would become dead letters, and records among receipts would be read by every instance."""
    receipts = settings.receipts.topic
    for name, one in settings.integrations.items():
        if receipts in {*one.topics, *(one.dead_letter_topic(topic) for topic in one.topics)}:
            yield Clash(("receipts", "topic"), f"is also a topic of {name}; receipts need a topic of their own")


def _read_again(writer: str, reader: str, settings: Settings) -> Iterator[Clash]:
    """Dead letters of one integration that are records of another one, which may write them back."""
    integration, topics = settings.integrations[writer], settings.integrations[reader].topics
    path: KeyPath = ("integrations", writer)
    for topic in dict.fromkeys(integration.dead_letter_topic(topic) for topic in integration.topics):
        if topic in topics:
            yield Clash(
                (*path, "dead_letters", "topic"),
                f"should not be a topic of {reader}, as {topic} is: each dead letter would be read again as a record",
                ((*path, "topics"), ("integrations", reader, "topics")),
            )


def _unknown_destination(path: KeyPath, integration: IntegrationSettings, settings: Settings) -> Iterator[Clash]:
    if integration.destination in settings.destinations:
        return
    near = get_close_matches(integration.destination, settings.destinations, n=1)
    hint = f" (did you mean {near[0]}?)" if near else f"; known: {', '.join(settings.destinations) or 'none'}"
    yield Clash(
        (*path, "destination"), f"is not the name of a destination{hint}", (("destinations", integration.destination),)
    )


def _pair(one: str, other: str, settings: Settings) -> Iterator[Clash]:
    """Clashes between two integrations."""
    first, second = settings.integrations[one], settings.integrations[other]
    if first.group_id == second.group_id:
        yield Clash(
            ("integrations", other, "group_id"),
            f"is also the group of {one}; each integration needs its own, or their commits mix",
        )
    shared = sorted(set(first.topics) & set(second.topics))
    destinations = first.destination, second.destination
    if not shared or any(name not in settings.destinations for name in destinations):
        return
    others: tuple[KeyPath, ...] = (
        ("integrations", other, "destination"),
        ("integrations", one, "topics"),
        ("integrations", one, "destination"),
    )
    topics = ", ".join(shared)
    path: KeyPath = ("integrations", other, "topics")
    if first.destination == second.destination:
        yield Clash(
            path, f"has {topics} in common with {one}, and the same destination: each call would be sent twice", others
        )
    elif (
        len(
            {(settings.destinations[name].kind, settings.destinations[name].message_id_suffix) for name in destinations}
        )
        == 1
        and first.dialect in DIALECTS
    ):
        yield Clash(
            path,
            f"has {topics} in common with {one}, and the same message_id_suffix: Segment compares messageIds across"
            f" sources and would drop the second copy; give {second.destination} a message_id_suffix of its own",
            (*others, *(("destinations", name, "message_id_suffix") for name in destinations)),
        )
