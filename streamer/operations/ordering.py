"""Gives an order to the instances of an integration: writes it to the control topic, and asks whether it is obeyed."""

import asyncio
import getpass
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from streamer.core.dead_letters.topic_settings import CLEANUP_POLICY
from streamer.core.errors import SettingsError, UnavailableError
from streamer.core.steering.order import Order, encode
from streamer.core.steering.orders import Orders
from streamer.kafka import Sender, create_topics, preflight
from streamer.kafka.producer import RefusedWriteError
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.instances import Answer, Instances
from streamer.settings import Settings
from streamer.settings.inbound import INBOUND
from streamer.status.consumer_document import time_of

CONFIRM_SECONDS: Final = 15.0
"""Longest wait for the brokers' confirmation of an order."""

OBEY_SECONDS: Final = 5.0
"""So long an instance may take to obey."""

ASK_SECONDS: Final = 0.5
"""Wait between two questions whether it does."""

COMPACTED: Final = {CLEANUP_POLICY: "compact"}
"""How the control topic is created: the newest order of each integration stays for ever."""


class Heard(NamedTuple):
    """What is known of one instance that may have to obey."""

    instance: str
    obeys: bool
    error: str
    """Why it is not known whether it obeys; "": it is known."""


def control_topic(settings: Settings) -> str:
    """The topic of the orders.

    Raises:
        SettingsError: the configuration has none.
    """
    if settings.control is None:
        raise SettingsError(["control: false, so running instances take no orders; give control.topic a name"])
    return settings.control.topic


def who() -> str:
    """Who gives the order: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


async def give(settings: Settings, name: str, make: Callable[[Order, float], Order]) -> Order:
    """Write an order, confirmed by all in-sync replicas. The topic is created if it is missing.

    Args:
        settings: the whole configuration.
        name: of the integration.
        make: makes it from the order before and the present time, in seconds since the epoch.

    Raises:
        SettingsError: the configuration has no control topic, or the brokers refuse our credentials.
        UnavailableError: the order is not confirmed.
    """
    topic, kafka = control_topic(settings), settings.kafka
    await preflight(kafka)
    orders = await _present(settings, topic)
    if orders is None:
        await create_topics(kafka, [topic], values=COMPACTED)
    before = None if orders is None else orders.of(name)
    order = make(before or Order(at=0.0), round(time.time(), 3))
    async with Sender(kafka) as sender:
        try:
            confirmation = await sender.send(topic, encode(order), key=name.encode(), headers=[])
            await sender.confirmed(confirmation, timeout_seconds=CONFIRM_SECONDS)
        except RefusedWriteError as error:
            raise UnavailableError(f"{topic}: the broker refuses the order: {error}") from error
    return order


async def _present(settings: Settings, topic: str) -> Orders | None:
    """The orders in force; None: the topic does not exist."""
    async with TopicReader(settings.kafka, max_stall_seconds=CONFIRM_SECONDS) as reader:
        bounds = await reader.bounds([topic])
        if not bounds:
            return None
        orders = Orders()
        async for records in reader.read(bounds):
            for record in records:
                orders.take(record.key, record.value)
        return orders


async def ask_whether_obeyed(
    settings: Settings, name: str, order: Order, *, addresses: Sequence[str] = (), token_file: Path | None = None
) -> tuple[list[Heard], Sequence[str]]:
    """Ask running instances whether they obey, until all do or `OBEY_SECONDS` have passed.

    Args:
        settings: the whole configuration.
        name: of the integration.
        order: that was written.
        addresses: of instances; none: those that belong to the configuration.
        token_file: see `Instances.open`.

    Returns:
        What is known of each instance that has the integration, and why there may be more of them.
    """
    async with Instances.open(settings, addresses, token_file) as instances:
        end = time.monotonic() + OBEY_SECONDS
        while True:
            answers = await instances.get("/status")
            heard = [one for answer in answers if (one := _heard(answer, name, order)) is not None]
            if all(one.obeys or one.error for one in heard) or time.monotonic() >= end:
                return heard, instances.problems
            await asyncio.sleep(ASK_SECONDS)


def _heard(answer: Answer, name: str, order: Order) -> Heard | None:
    """What an answer says; None: that instance does not run the integration."""
    if answer.document is None:
        return Heard(answer.instance, obeys=False, error=answer.error)
    found = _integration(answer.document, name)
    if found is None:
        return None
    return Heard(answer.instance, obeys=found.get("order_at") == time_of(order.at), error="")


def _integration(document: Any, name: str) -> dict[str, Any] | None:
    try:
        found = document["inbound"] if name == INBOUND else document["integrations"].get(name)
    except (TypeError, KeyError, AttributeError):
        return None
    return found if isinstance(found, dict) and "order_at" in found else None
