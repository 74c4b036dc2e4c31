"""Writes the calls of a request to Kafka, all of them or so that the sender tries again."""

import os
import time
from collections.abc import Sequence
from typing import Protocol

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import UnavailableError
from streamer.core.inbound.incoming import Incoming
from streamer.inbound.refused import RETRY_AFTER, RefusedError
from streamer.inbound.webhook_counts import Result
from streamer.logs import Event, logger
from streamer.settings.inbound import InboundSettings


class RecordPublisher(Protocol):
    """Writes records, each one confirmed; see `streamer.kafka.Publisher`."""

    async def publish(self, records: Sequence[OutgoingRecord], *, timeout_seconds: float) -> list[OutgoingRecord]:
        """Write all of them; returns those that are too large for their topic."""


class CallWriter:
    """One record for each call, or a dead letter where the record does not fit."""

    def __init__(self, settings: InboundSettings, publisher: RecordPublisher, *, timeout_seconds: float) -> None:
        """Prepare.

        Args:
            settings: names the topics, and the largest call.
            publisher: writes.
            timeout_seconds: longest wait for all confirmations of a request.
        """
        self._topic = settings.topic
        self._dead_letter_topic = settings.dead_letters.topic
        self._max_call_bytes = settings.limits.max_call_bytes
        self._publisher = publisher
        self._timeout_seconds = timeout_seconds
        self._over_setting = f"the call is larger than {self._max_call_bytes} bytes (inbound.limits.max_call_bytes)"
        self._over_topic = f"{self._topic} takes no record of this size; see its max.message.bytes"

    async def write(self, calls: Sequence[Incoming]) -> None:
        """Return once everything is confirmed.

        Raises:
            RefusedError: not all of it is.
        """
        try:
            await self._write(calls)
        except UnavailableError as error:
            raise RefusedError(
                Result.KAFKA_UNAVAILABLE,
                503,
                "the calls could not be stored; send the request again",
                headers=RETRY_AFTER,
                detail=str(error),
            ) from error

    async def _write(self, calls: Sequence[Incoming]) -> None:
        ends_at = time.monotonic() + self._timeout_seconds
        letters = {call.index: self._letter(call, self._over_setting) for call in calls if self._is_over_setting(call)}
        records = {call.index: call.record(self._topic) for call in calls if call.index not in letters}
        refused = await self._publisher.publish(
            [*records.values(), *letters.values()], timeout_seconds=self._timeout_seconds
        )
        late = {}
        if refused:
            refused_ids = {id(record) for record in refused}  # two calls may be equal
            oversize = [call for call in calls if id(records.get(call.index)) in refused_ids]
            late = {call.index: self._letter(call, self._over_topic) for call in oversize}
            left_seconds = max(ends_at - time.monotonic(), 0.0)
            still = await self._publisher.publish(list(late.values()), timeout_seconds=left_seconds)
            if still or len(late) < len(refused):
                raise UnavailableError(f"{self._dead_letter_topic} takes no dead letter; see its max.message.bytes")
        for call in calls:
            if call.index in letters or call.index in late:
                self._tell(call, self._over_setting if call.index in letters else self._over_topic)

    def _is_over_setting(self, call: Incoming) -> bool:
        return len(call.value) > self._max_call_bytes

    def _letter(self, call: Incoming, detail: str) -> OutgoingRecord:
        return call.too_large_letter(self._dead_letter_topic, self._topic, detail, instance=os.getpid())

    def _tell(self, call: Incoming, detail: str) -> None:
        logger().emit(
            Event.CALL_TOO_LARGE,
            webhook=call.webhook,
            dead_letter_topic=self._dead_letter_topic,
            detail=f"{detail}; it has {len(call.value)} bytes",
        )
