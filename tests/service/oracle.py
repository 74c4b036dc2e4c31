"""The oracle: says of a whole run whether every promise was kept. Pure: evidence in, faults out.

It knows nothing of how streamer works. It is told what went in (the records of the input topics), what came out (what
the sandbox took, what stands in the dead-letter topics, what is committed) and what the service says about itself (its
accounts), and compares them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamer.core.model import DeadLetterReason, Filtered, Record
from streamer.core.records.account import Account

Place = tuple[str, int, int]
"""Topic, partition and offset."""

Fate = str | Filtered | DeadLetterReason
"""What a record must become: a call with this messageId, nothing, or a dead letter for this reason."""

AT_DELIVERY: Final = frozenset(
    {DeadLetterReason.REJECTED_400, DeadLetterReason.REJECTED_4XX, DeadLetterReason.RETRIES_EXHAUSTED}
)
"""Reasons for which a record with a good call can be set aside."""

OUR_HEADERS: Final = ("streamer.", "__connect.errors.")

LOG_APPEND_TIME: Final = 1
"""Kafka's number for a timestamp that the broker has set."""


@dataclass(slots=True, kw_only=True)
class Evidence:
    """All that is known about the run of one integration."""

    integration: str
    records: Sequence[Record]
    """Of its topics, all of them."""
    fate_of: Callable[[Record], Fate]
    taken: Mapping[str, int]
    """messageId -> how often the sandbox took it with a 2xx, before its own de-duplication."""
    swallowed: int = 0
    """Calls that the sandbox answered with 2xx and dropped."""
    dead_letters: Sequence[Record] = ()
    committed: Mapping[tuple[str, int], int] = field(default_factory=dict)
    accounts: Sequence[tuple[Account, int]] = ()
    """Of every partition and process, each with the number of records open now. Empty: the process was killed."""


@dataclass(slots=True)
class _Ends:
    """How the records ended, by what came out."""

    delivered: set[str] = field(default_factory=set)
    set_aside: set[str] = field(default_factory=set)
    duplicate: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    dead_lettered: Counter[str] = field(default_factory=Counter)


def faults(evidence: Evidence, *, max_times: int = 1, is_over: bool = True, settled_once: bool = True) -> list[str]:
    """Everything that is wrong with a run; empty when all promises were kept.

    Args:
        evidence: what is known about it.
        max_times: how often one messageId, or one dead letter, may have been sent.
        is_over: False: it still goes on, so only records below the committed positions must have ended.
        settled_once: False: records may have been settled more than once, or in a process that was killed, so the
            accounts need to add up but not to equal what came out.
    """
    by_place: dict[Place, list[Record]] = {}
    for letter in evidence.dead_letters:
        by_place.setdefault(source_of(letter), []).append(letter)
    ends = _Ends()
    found = list(_faults_of_records(evidence, by_place, ends, is_over=is_over))
    found += _faults_of_letters(evidence, by_place, max_times)
    found += [f"{number} calls were swallowed" for number in [evidence.swallowed] if number]
    found += [f"{id_} was sent {times} times" for id_, times in evidence.taken.items() if times > max_times]
    found += _faults_of_accounts(evidence.accounts)
    if is_over:
        found += _faults_of_positions(evidence)
        if settled_once:
            twice = (ends.set_aside - ends.delivered) & evidence.taken.keys()
            found += [f"{message_id} was both delivered and dead-lettered" for message_id in twice]
            found += [] if found else _differences(evidence.accounts, ends)
    return found


def _faults_of_records(
    evidence: Evidence, letters: Mapping[Place, Sequence[Record]], ends: _Ends, *, is_over: bool
) -> Iterator[str]:
    expected_ids = set()
    for record in evidence.records:
        place = (record.topic, record.partition, record.offset)
        fate = evidence.fate_of(record)
        reasons = {_header(letter, "streamer.reason") for letter in letters.get(place, ())}
        if isinstance(fate, str) and not isinstance(fate, DeadLetterReason):
            expected_ids.add(fate)
        must_have_ended = is_over or record.offset < evidence.committed.get((record.topic, record.partition), 0)
        yield from _end(place, fate, reasons, evidence.taken, ends, must_have_ended=must_have_ended)
    for message_id in evidence.taken.keys() - expected_ids:
        yield f"{message_id} was sent and is in no record"


def _end(
    place: Place, fate: Fate, reasons: set[str], taken: Mapping[str, int], ends: _Ends, *, must_have_ended: bool
) -> Iterator[str]:
    """Note how one record ended, and tell what is wrong with that."""
    if isinstance(fate, Filtered):
        ends.filtered[fate.reason] += 1
        if reasons:
            yield f"{place} should be filtered, and is a dead letter: {reasons}"
    elif isinstance(fate, DeadLetterReason):
        ends.dead_lettered[fate] += 1
        if reasons != {fate} and (reasons or must_have_ended):
            yield f"{place} should be a dead letter for {fate}, not for {reasons or 'nothing: it is none'}"
    elif reasons:
        ends.dead_lettered[min(reasons)] += 1
        ends.set_aside.add(fate)
        if not reasons <= AT_DELIVERY or len(reasons) > 1:
            yield f"{place} should be the call {fate}, and is a dead letter: {reasons}"
    elif taken.get(fate):
        ends.duplicate += fate in ends.delivered
        ends.delivered.add(fate)
    elif must_have_ended:
        yield f"{place} is LOST: its call {fate} was never received, and it is no dead letter"


def _faults_of_letters(evidence: Evidence, letters: Mapping[Place, Sequence[Record]], max_times: int) -> Iterator[str]:
    originals = {(record.topic, record.partition, record.offset): record for record in evidence.records}
    for place, copies in letters.items():
        if place not in originals:
            yield f"a dead letter names {place}, where no record is"
            continue
        if len(copies) > max_times:
            yield f"{place} was dead-lettered {len(copies)} times"
        if not all(_is_copy(letter, originals[place]) for letter in copies):
            yield f"the dead letter of {place} differs from the record in key, value, headers or timestamp"


def _faults_of_positions(evidence: Evidence) -> Iterator[str]:
    ends: dict[tuple[str, int], int] = {}
    for record in evidence.records:
        partition = (record.topic, record.partition)
        ends[partition] = max(ends.get(partition, 0), record.offset + 1)
    for partition, end in ends.items():
        if (committed := evidence.committed.get(partition, 0)) != end:
            yield f"{partition} is committed to {committed}, and ends at {end}"


def _faults_of_accounts(accounts: Iterable[tuple[Account, int]]) -> Iterator[str]:
    for account, open_records in accounts:
        if unaccounted := account.unaccounted(open_records):
            yield f"an account is out by {unaccounted}: {account.consumed} consumed, {open_records} open"


def _differences(accounts: Sequence[tuple[Account, int]], ends: _Ends) -> Iterator[str]:
    """What the service says, where it is not what came out."""
    filtered: Counter[str] = Counter()
    dead_lettered: Counter[str] = Counter()
    for account, _ in accounts:
        filtered.update(account.filtered)
        dead_lettered.update(account.dead_lettered)
    said = {
        "delivered": sum(account.delivered for account, _ in accounts),
        "duplicate": sum(account.duplicate for account, _ in accounts),
        "filtered": dict(filtered),
        "dead_lettered": dict(dead_lettered),
    }
    seen = {
        "delivered": len(ends.delivered),
        "duplicate": ends.duplicate,
        "filtered": dict(ends.filtered),
        "dead_lettered": dict(ends.dead_lettered),
    }
    for term, number in said.items():
        if number != seen[term]:
            yield f"the accounts say {term} {number}, and it is {seen[term]}"


def source_of(letter: Record) -> Place:
    """Where the record was that became this dead letter."""
    topic, partition, offset = (
        _header(letter, f"__connect.errors.{part}") for part in ("topic", "partition", "offset")
    )
    return topic, int(partition or -1), int(offset or -1)


def _header(record: Record, name: str) -> str:
    return next(((value or b"").decode() for key, value in record.headers if key == name), "")


def _is_copy(letter: Record, original: Record) -> bool:
    """Whether a dead letter is what it was made from. One that the broker did not take whole has only coordinates."""
    headers = dict(letter.headers)
    if "streamer.value.omitted" in headers:
        return not letter.value
    is_time_kept = headers.get("streamer.original_timestamp") == str(original.timestamp).encode()
    # A null value cannot always be written. The header that says so is ours in a dead letter only.
    value = None if "streamer.value.null" in headers else letter.value
    is_value_kept = value == original.value
    return letter.key == original.key and is_value_kept and _others(letter) == _others(original) and is_time_kept


def _others(record: Record) -> list[tuple[str, bytes | None]]:
    """The headers of everybody else."""
    return [header for header in record.headers if not header[0].startswith(OUR_HEADERS)]
