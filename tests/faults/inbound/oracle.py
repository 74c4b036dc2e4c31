"""The oracle of the way back: says whether each accepted call was applied exactly once. Pure: evidence in, faults out.

It is told what was sent and accepted, what stands on the topics, what the database was told to store (`audit.py`), what
the directory holds, and what is committed. It compares them with each other and with the model.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streamer.core.model import Record
from tests.faults.inbound.model import Expected, expected_of
from tests.service.oracle import Place, source_of

MAX_SHOWN: Final = 10
"""Most faults of one kind that are spelt out."""

MAX_REPUBLISHED: Final = 500
"""Records that one end of a relay can cause to be published again."""

BESIDE_THE_LINE: Final = frozenset({"environment", "revision", "updatedAt"})
"""What a profile has and a directory line has not."""


class Stored(NamedTuple):
    """A record that was stored in the outbox at some time."""

    number: int
    topic: str
    key: str
    value: bytes | None


@dataclass(slots=True, kw_only=True)
class Evidence:
    """All that is known about the run of a directory."""

    records: Sequence[Record]
    """Of the inbound topic, all of them."""
    accepted: Mapping[bytes, int]
    """Bytes of a call -> how often a request with it was answered with 200."""
    sent: frozenset[bytes]
    """Bytes of all calls that were sent, whatever the answer."""
    messages: Sequence[bytes]
    """Digests of messageIds, one for each time that one was stored."""
    outbox: Sequence[Stored]
    """Every record that was ever stored in it, by number."""
    waiting: int = 0
    """Records that are in the outbox now."""
    lines: Sequence[Mapping[str, Any]]
    """The directory, exported."""
    profiles: Sequence[Record]
    triggers: Sequence[Record]
    dead_letters: Sequence[Record]
    committed: Mapping[int, int]
    """Partition of the inbound topic -> committed position."""
    ends: Mapping[int, int]
    """Partition of the inbound topic -> offset after the last one."""
    accounts: Sequence[Mapping[str, Any]] = ()
    """What the last instances say of themselves: terms of the account, by name."""
    relays: int = 0
    """How often another relay may have begun: each may publish again what the one before had not deleted."""
    expected: Expected = field(init=False)

    def __post_init__(self) -> None:
        """Apply the model."""
        self.expected = expected_of(self.records)


def faults(evidence: Evidence) -> list[str]:
    """Every promise that was broken; empty when there was none."""
    checks = (_accepted, _applied, _directory, _stored, _profiles, _published, _dead_letters, _positions, _accounts)
    return [fault for check in checks for fault in _shortened(list(check(evidence)))]


def _accepted(evidence: Evidence) -> Iterator[str]:
    written = Counter(record.value or b"" for record in evidence.records)
    for value, times in evidence.accepted.items():
        if written[value] < times:
            yield f"accepted {times} times, {written[value]} times on the inbound topic: {value[:200]!r}"
    for value in written:
        if value not in evidence.sent:
            yield f"on the inbound topic and never sent: {value[:200]!r}"


def _applied(evidence: Evidence) -> Iterator[str]:
    for digest, times in Counter(evidence.messages).items():
        if times > 1:
            yield f"messageId with digest {digest.hex()} was applied {times} times"
    applied, expected = len(set(evidence.messages)), len(evidence.expected.message_ids)
    if applied != expected:
        yield f"{applied} messageIds were applied, and {expected} are on the inbound topic"


def _directory(evidence: Evidence) -> Iterator[str]:
    found = {_name_of(line): line for line in evidence.lines}
    wanted = {_name_of(line): line for line in evidence.expected.lines()}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            yield f"the directory has {found.get(name)}, and the calls say {wanted.get(name)}"
    if list(found) != list(wanted) and found.keys() == wanted.keys():
        yield "the lines of the directory are not in order"


def _stored(evidence: Evidence) -> Iterator[str]:
    """Each tracked event was stored for publishing once: what is applied twice stores it twice."""
    triggers = [_json(one.value) for one in evidence.outbox if _is_trigger(one.value)]
    times = Counter(trigger["messageId"] for trigger in triggers)
    for message_id in sorted(times.keys() | evidence.expected.triggers.keys()):
        if times[message_id] != (message_id in evidence.expected.triggers):
            yield f"the trigger of {message_id} was stored {times[message_id]} times"
    for trigger in triggers:
        wanted = evidence.expected.triggers.get(trigger["messageId"], trigger)
        if trigger != wanted:
            yield f"the trigger is {trigger}, and the call says {wanted}"
    numbers = [one.number for one in evidence.outbox]
    if len(set(numbers)) != len(numbers):
        yield "numbers of the outbox were given twice"
    if evidence.waiting:
        yield f"{evidence.waiting} records were never published"


def _profiles(evidence: Evidence) -> Iterator[str]:
    """The last record of every user is their directory line, and nobody else has one."""
    last = {_text(record.key): record.value for record in evidence.profiles}
    lines = {line["username"]: line for line in evidence.lines if "username" in line}
    for name in sorted(last.keys() | lines.keys()):
        value = last.get(name)
        profile = None if value is None else {k: v for k, v in _json(value).items() if k not in BESIDE_THE_LINE}
        if profile != lines.get(name):
            yield f"the last profile of {name} is {profile}, and the directory has {lines.get(name)}"


def _published(evidence: Evidence) -> Iterator[str]:
    for what, records in (("profile", evidence.profiles), ("trigger", evidence.triggers)):
        yield from _published_in_order(what, records, evidence)


def _published_in_order(what: str, records: Sequence[Record], evidence: Evidence) -> Iterator[str]:
    """Everything that was stored was published, in its order; a new relay may start again with what was not deleted."""
    is_trigger = what == "trigger"
    numbers: dict[tuple[str, bytes | None], list[int]] = defaultdict(list)
    for one in evidence.outbox:
        if _is_trigger(one.value) is is_trigger:
            numbers[one.key, one.value].append(one.number)
    latest: dict[int, int] = {}
    backwards = Counter[int]()
    published: set[int] = set()
    for record in records:
        known = numbers.get((_text(record.key), record.value))
        if known is None:
            yield f"a {what} was published that was never stored: {(record.value or b'')[:200]!r}"
            continue
        before = latest.get(record.partition, 0)
        number = next((one for one in known if one > before), known[0])
        backwards[record.partition] += number <= before
        latest[record.partition] = number
        published.add(number)
    for partition, times in backwards.items():
        if times > evidence.relays:
            yield f"{what}s of partition {partition} go back {times} times, with {evidence.relays} new relays"
    # Records with the same key and value, as the tombstones of a name, cannot be told apart.
    for (key, value), listed in numbers.items():
        if published.isdisjoint(listed):
            yield f"a {what} of {key} was stored and never published: {(value or b'')[:200]!r}"
    most = sum(map(len, numbers.values())) + evidence.relays * MAX_REPUBLISHED
    if len(records) > most:
        yield f"{len(records)} {what}s were published, which is more than {most}"


def _dead_letters(evidence: Evidence) -> Iterator[str]:
    set_aside = {source_of(letter) for letter in evidence.dead_letters}
    yield from _differing("was set aside", set_aside - evidence.expected.unusable)
    yield from _differing("has no dead letter", evidence.expected.unusable - set_aside)


def _differing(what: str, places: Iterable[Place]) -> Iterator[str]:
    for place in sorted(places):
        yield f"the record at {place} {what}"


def _positions(evidence: Evidence) -> Iterator[str]:
    for partition, end in evidence.ends.items():
        if (position := evidence.committed.get(partition, 0)) != end:
            yield f"partition {partition} is committed up to {position} of {end}"


def _accounts(evidence: Evidence) -> Iterator[str]:
    for account in evidence.accounts:
        ends = sum(number for term, number in account.items() if term != "consumed")
        if account["consumed"] != ends:
            yield f"the account does not add up: {dict(account)}"


def _name_of(line: Mapping[str, Any]) -> tuple[str, str]:
    return ("user", line["username"]) if "username" in line else ("device", line["anonymousId"])


def _is_trigger(value: bytes | None) -> bool:
    return value is not None and "event" in _json(value)


def _json(value: bytes | None) -> Any:
    return json.loads(value or b"")


def _text(key: bytes | None) -> str:
    return (key or b"").decode()


def _shortened(found: Sequence[str]) -> list[str]:
    rest = len(found) - MAX_SHOWN
    return [*found[:MAX_SHOWN], *([f"and {rest} more like these"] if rest > 0 else [])]
