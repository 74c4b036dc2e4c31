"""The story of one event in one integration: what is known of it, what that means, and how it is told."""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamer.core.audit import NOTHING_STORED, Place, Stored
from streamer.core.dead_letters.told import ToldLetter
from streamer.core.model import Outcome
from streamer.core.records.receipt_record import ReceiptBatch


class State(enum.StrEnum):
    """Where an event is. The list is complete."""

    DELIVERED = "delivered"
    FILTERED = "filtered"
    DEAD_LETTERED = "dead_lettered"
    REDRIVEN = "redriven"
    """Its dead letter was written back to its topic; what became of that is not known yet."""
    OPEN = "open"
    """An instance has it in hand, or had it when it last committed."""
    WAITING = "waiting"
    """On Kafka: its group has not come to it."""
    ENDED = "ended"
    """Its group has come past it, and what would tell its outcome is not known here."""
    UNREAD = "unread"
    """Retention deleted it before its group came to it: it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRecord:
    """A record as it stands in its topic."""

    place: Place
    time: float
    """The broker's, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the present configuration makes of a record."""

    outcome: Outcome
    """`delivered`: a call."""
    reason: str | None
    detail: str | None
    call: Mapping[str, Any] | None
    """As it would be sent; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundReceipt:
    """That a messageId was delivered."""

    place: Place
    """Of the record that was."""
    delivered_at: float
    """Seconds since the epoch."""
    instance: str
    batch: ReceiptBatch | None
    """The request; None: only an instance was asked, which does not keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLetter:
    """A dead letter of the event."""

    told: ToldLetter
    place: Place
    """In the dead-letter topic."""
    is_redriven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one event in one integration."""

    integration: str
    message_id: str | None
    place: Place | None
    """Of its record, whether that is still there or not."""
    record: SeenRecord | None = None
    meaning: Meaning | None = None
    receipt: FoundReceipt | None = None
    open: Sequence[Mapping[str, Any]] = ()
    """What instances have in hand, as `/events` says it, each with its ``instance``."""
    letters: Sequence[KnownLetter] = ()
    stored: Stored = NOTHING_STORED
    """What its group has stored for the partition."""
    log_start: int = 0
    """Of the partition."""

    @property
    def state(self) -> State:
        """Where it is, by the best proof that there is."""
        if self.receipt is not None:
            return State.DELIVERED
        if self.open:
            return State.OPEN
        if self.letters:
            is_redriven = all(letter.is_redriven for letter in self.letters)
            return State.REDRIVEN if is_redriven else State.DEAD_LETTERED
        return self._by_position()

    @property
    def behind(self) -> int:
        """How many unsettled records stand before it in its partition."""
        if self.place is None:
            return 0
        offset, position = self.place[2], self.stored.position
        if position is None:
            return max(offset - self.log_start, 0)
        return sum(len(span) for span in self.stored.deleted_unread(offset))

    def _by_position(self) -> State:
        if self.place is None:
            return State.ENDED
        offset = self.place[2]
        if self.stored.is_settled(offset):
            is_filtered = self.meaning is not None and self.meaning.outcome is Outcome.FILTERED
            return State.FILTERED if is_filtered else State.ENDED
        if self.record is None and offset < self.log_start:
            return State.UNREAD
        return State.OPEN if self.stored.is_open(offset) else State.WAITING


def tell(story: Story) -> Iterator[str]:
    """The story in sentences, in the order in which it happened."""
    if story.record is not None:
        yield f"record {_at(story.record.place)} of {utc(story.record.time)}"
    elif story.place is not None:
        yield f"record {_at(story.place)}, which is not in its topic any more"
    if story.meaning is not None:
        yield _meaning(story.meaning)
    for letter in story.letters:
        yield from _letter(letter)
    for known in story.open:
        yield _open(known)
    if story.receipt is not None:
        yield from _receipt(story.receipt, story)
    elif not story.open and not story.letters:
        yield _by_position(story)


def _meaning(meaning: Meaning) -> str:
    if meaning.call is not None:
        names = [f"{key} {meaning.call[key]}" for key in ("event", "userId", "anonymousId") if key in meaning.call]
        return f"maps to a call: {', '.join(names) or 'of another API'}"
    detail = f": {meaning.detail}" if meaning.detail else ""
    verb = "is filtered by the rule" if meaning.outcome is Outcome.FILTERED else "cannot become a call:"
    return f"{verb} {meaning.reason}{detail}"


def _letter(letter: KnownLetter) -> Iterator[str]:
    told = letter.told
    status = f", HTTP status {told.http_status}" if told.http_status else ""
    attempts = f", {told.attempts} attempts since {told.first_failure_time}" if told.first_failure_time else ""
    yield (
        f"dead-lettered {utc(told.letter.set_aside_at)} as {_at(letter.place)}: {told.letter.reason}"
        f"{status}{attempts}{': ' + told.letter.detail if told.letter.detail else ''}"
    )
    yield "redriven: it was written back to its topic" if letter.is_redriven else "not redriven"


def _open(known: Mapping[str, Any]) -> str:
    place = _at((known["topic"], known["partition"], known["offset"]))
    tried = f" after {known['attempts']} failed attempts" if known.get("attempts") else ""
    last = f", the last one with {known['last_error']}" if known.get("last_error") else ""
    match known["state"]:
        case "parked":
            where = f"waits for its next attempt at {known.get('until')}{tried}{last}"
        case "in_request":
            where = f"is in a request now{tried}{last}"
        case "attached":
            where = "waits for the end of another record with the same messageId"
        case "dead_lettering":
            stopped = "; the mass guard has stopped the integration" if known.get("guarded") else ""
            where = f"is being dead-lettered for {known.get('reason')}{stopped}"
        case _:
            destination = known.get("destination") or {}
            state = destination.get("state")
            is_closed = state in {"held", "backing_off"}
            cause = f": its destination {destination.get('name')} is {state} ({destination.get('reason')})"
            where = f"waits to be sent{tried}{last}{cause if is_closed else ''}"
    return f"{place} {where} [{known['instance']}]"


def _receipt(receipt: FoundReceipt, story: Story) -> Iterator[str]:
    batch = receipt.batch
    request = (
        f" to {batch.destination_name}: attempt {batch.attempt}, HTTP status {batch.status},"
        f" a request of {batch.batch_events} calls"
        if batch is not None
        else ""
    )
    yield f"delivered {utc(receipt.delivered_at)}{request} [{receipt.instance}]"
    if story.place is not None and story.place != receipt.place:
        yield f"delivered from {_at(receipt.place)}; this record is a copy with the same messageId"


def _by_position(story: Story) -> str:
    match story.state:
        case State.WAITING:
            return f"waits on Kafka; records before it that its group has to deliver first: {story.behind:,}"
        case State.OPEN:
            stated, place = story.stored.statement, story.place
            attempts = 0 if stated is None or place is None else stated.attempts(place[2])
            return f"open, with {attempts} failed attempts when its position was last stored"
        case State.FILTERED:
            return "filtered: its group has come past it"
        case State.UNREAD:
            return "lost: retention deleted it before its group came to it"
    return "its group has come past it; no receipt and no dead letter of it is known any more"


def document_of(story: Story) -> dict[str, Any]:
    """The story for programs."""
    receipt, record, meaning = story.receipt, story.record, story.meaning
    return {
        "message_id": story.message_id,
        "integration": story.integration,
        "state": story.state,
        "place": None if story.place is None else _at(story.place),
        "time": None if record is None else utc(record.time),
        "maps_to": None
        if meaning is None
        else {"outcome": meaning.outcome, "reason": meaning.reason, "detail": meaning.detail, "call": meaning.call},
        "receipt": None
        if receipt is None
        else {
            "place": _at(receipt.place),
            "delivered_at": utc(receipt.delivered_at),
            "instance": receipt.instance,
            "destination": None if receipt.batch is None else receipt.batch.destination_name,
            "attempt": None if receipt.batch is None else receipt.batch.attempt,
            "http_status": None if receipt.batch is None else receipt.batch.status,
            "batch_events": None if receipt.batch is None else receipt.batch.batch_events,
        },
        "open": list(story.open),
        "dead_letters": [
            {
                "place": _at(letter.place),
                "at": utc(letter.told.letter.set_aside_at),
                "reason": letter.told.letter.reason,
                "detail": letter.told.letter.detail,
                "http_status": letter.told.http_status,
                "attempts": letter.told.attempts,
                "redriven": letter.is_redriven,
            }
            for letter in story.letters
        ],
        "committed": story.stored.position,
        "behind": story.behind if story.state is State.WAITING else None,
    }


def utc(epoch_seconds: float) -> str | None:
    """A time as RFC 3339; None: there is no such time."""
    try:
        instant = datetime.fromtimestamp(epoch_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _at(place: Place) -> str:
    return ":".join(map(str, place))
