"""Calls that leave, without a service."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from streamer.core.records.account import Account
from streamer.core.records.ledger import PartitionLedger
from streamer.core.records.open_record import OpenRecord
from streamer.core.tapping import AnsweredBatch, Tap, TapRequest


class FakeRecord(NamedTuple):
    """A record as far as a tap looks at one."""

    offset: int = 0
    partition: int = 3
    topic: str = "surveys"
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b"{}"
    headers: Sequence[tuple[str, bytes | None]] = ()


def call(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A call of Segment."""
    return {
        "type": "track",
        "event": "Survey Answered",
        "messageId": f"evt_{number}",
        "userId": f"user-{number}",
        "properties": {"surveyId": "s-1", "score": number},
    } | fields


def opened(calls: Sequence[dict[str, Any]]) -> list[OpenRecord]:
    """Records that became these calls, one offset after the other."""
    ledger = PartitionLedger("surveys", 3, 0, Account())
    return [
        OpenRecord(FakeRecord(offset), ledger, str(each.get("messageId", offset)), orjson.dumps(each))
        for offset, each in enumerate(calls)
    ]


def new_tap(request: TapRequest) -> Tap:
    """One that may show as many lines at second 0 as it may in a second."""
    return Tap(request, -1.0)


def batch(*calls: dict[str, Any], integration: str = "sprig", status: int | str = 200) -> AnsweredBatch:
    """A request with these calls, that was answered."""
    return AnsweredBatch(
        records=opened(calls),
        integration=integration,
        destination="production",
        status=status,
        result="delivered" if status == 200 else "retried",
        answered_at=1_770_000_000.1234,
        duration_seconds=0.0412,
    )
