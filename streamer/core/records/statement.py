"""What a commit states beside its position: which records above it are settled already.

A position can only say "everything below". When one record waits for hours and 100,000 records above it have been
delivered, a restart would send all of them again. So the metadata of a commit carries a `Statement`: from the
position up to a horizon, the offsets that are still open; every other one there is settled, and nothing is known from
the horizon on. A statement holds facts that were true when it was written and cannot become untrue, so an old one that
is read late costs repeats, never a record. Repeats are cheap and skips are not: one that is damaged, foreign or of
another version is ignored, and one that is too long for the broker is cut by lowering its horizon.

The text is ASCII: ``s1:`` and base64url without padding of

    varint horizon - position | varint fingerprint + 1, 0: none | varint replay_until - position, 0: none
    | open offsets, ascending | CRC-32, 4 bytes

or, while records are wanted again, ``s2:`` and the same with ``varint replay_id`` before the open offsets, and with a
checksum that covers the prefix.

The open offsets are entries ``varint gap * 4 + kind``: the gap is counted from the end of the entry before (the first
one's from the position), and the kind says what follows: nothing (0: one offset), or a varint (1: one offset with so
many failed attempts; 2: so many consecutive offsets). The checksum covers the position too: metadata that a tool has
carried over to another position is foreign.
"""

import binascii
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

PREFIX: Final = "s1:"
"""Begins the metadata of every position that streamer commits; the digit is the version of what follows."""

REPLAY_PREFIX: Final = "s2:"
"""Begins that of a position in a replay."""

MAX_CHARACTERS: Final = 4_096
"""Longest metadata written or read. Source: default of Kafka's ``offset.metadata.max.bytes``."""

MAX_ATTEMPTS: Final = 255
"""Most failed attempts that are remembered for one record."""

MAX_REPLAY_IDS: Final = 1 << 32
"""Names of replays are below this."""

_CRC_BYTES: Final = 4
_MAX_VARINT_BITS: Final = 63
_VARINT_BITS: Final = 7
_LOW_BITS: Final = 0x7F
_MORE_FOLLOWS: Final = 0x80
_ONE, _CHARGED, _SEVERAL = range(3)


class Run(NamedTuple):
    """Consecutive open offsets, from ``first`` to below ``end``, all with the same number of failed attempts."""

    first: int
    end: int
    attempts: int
    """0 to 255; runs of more than one offset have 0."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a commit states about the records from its position on."""

    position: int
    horizon: int
    """From the position to below the horizon, an offset is open or settled; from the horizon on, nothing is known."""
    open: tuple[Run, ...]
    """The open ones, ascending: at most a few thousand runs, however many offsets they span."""
    fingerprint: int | None
    """The broker's timestamp of the record at the position, in ms since the epoch; None: that record was not read."""
    replay_until: int = 0
    """Below this offset somebody who reset the positions wants the records again: older receipts do not stop them."""
    replay_id: int = 0
    """Names that replay. Receipts that carry it were written since the reset. 0: there is none, or it has no name."""

    def is_settled(self, offset: int) -> bool:
        """Whether the record at ``offset`` had its outcome when this was stated; False when nothing is known."""
        return self.position <= offset < self.horizon and self._run_of(offset) is None

    def attempts(self, offset: int) -> int:
        """Failed attempts charged to the record at ``offset``; 0 when nothing is known, 255 stands for more."""
        run = self._run_of(offset)
        return run.attempts if run is not None else 0

    def open_from(self, offset: int) -> Iterator[Run]:
        """The open offsets at and above ``offset``."""
        for run in self.open:
            if run.end > offset:
                yield run._replace(first=max(run.first, offset))

    def _run_of(self, offset: int) -> Run | None:
        index = bisect_right(self.open, (offset, math.inf)) - 1
        return self.open[index] if index >= 0 and offset < self.open[index].end else None


def is_ours(metadata: str) -> bool:
    """Whether a stored position looks committed by this version of streamer; `decode` says whether it was."""
    return metadata.startswith((PREFIX, REPLAY_PREFIX))


def encode(
    position: int,
    horizon: int,
    runs: Iterable[Run],
    fingerprint: int | None,
    limit: int = MAX_CHARACTERS,
    *,
    replay_until: int = 0,
    replay_id: int = 0,
) -> str:
    """The metadata of a commit.

    Args:
        position: what is committed.
        horizon: every record from the position to below it is settled or among ``runs``.
        runs: the open offsets from the position on, ascending; read only as far as there is room.
        fingerprint: timestamp of the record at the position, in ms since the epoch; None when it was not read,
            negative when it has none. Without it nothing is stated above the position, because nobody could check
            that the topic is still the same.
        limit: most characters; the horizon is lowered until the rest fits.
        replay_until: below this offset, records are wanted again.
        replay_id: names that replay; below 2 to the power of 32.

    Returns:
        ASCII text; empty when not even the shortest statement fits.
    """
    if fingerprint is None or fingerprint < 0:
        horizon, runs, fingerprint = position, (), None
    replay = max(replay_until - position, 0)
    prefix, tail = PREFIX, _varint(replay)
    if replay and replay_id:
        prefix, tail = REPLAY_PREFIX, tail + _varint(replay_id)
    head_bytes = len(_head(position, horizon, fingerprint) + tail)
    room = (min(limit, MAX_CHARACTERS) - len(prefix)) * 3 // 4 - _CRC_BYTES - head_bytes
    if room < 0:
        return ""
    horizon, entries = _entries(position, horizon, runs, room)
    payload = _head(position, horizon, fingerprint) + tail + entries
    payload += _checksum(payload, position, prefix)
    return prefix + binascii.b2a_base64(payload, newline=False).decode().rstrip("=").translate(_TO_URL)


def decode(metadata: str | None, position: int) -> Statement | None:
    """What a stored position states; None when it states nothing that we can rely on. Never raises.

    Args:
        metadata: text from the broker: absent, empty, damaged or written by others as may be.
        position: the position it is stored with.
    """
    payload = _payload(metadata, position) if metadata is not None else None
    if payload is None:
        return None
    try:
        return _statement(payload, position, has_replay_id=str(metadata).startswith(REPLAY_PREFIX))
    except ValueError:  # intact, yet not of our making
        return None


def runs_of(offsets: Sequence[int], attempts: Mapping[int, int]) -> Iterator[Run]:
    """Ascending offsets as runs; what is not read costs nothing, and a long run costs a binary search.

    Args:
        offsets: open offsets, ascending.
        attempts: failed attempts of those among them that were charged any.
    """
    charged = sorted(offset for offset, number in attempts.items() if number > 0)
    index, count = 0, len(offsets)
    while index < count:
        first = offsets[index]
        if attempts.get(first):
            yield Run(first, first + 1, min(attempts[first], MAX_ATTEMPTS))
            index += 1
            continue
        later = bisect_right(charged, first)
        stop = bisect_left(offsets, charged[later], index) if later < len(charged) else count
        index = _end_of_row(offsets, index, stop)
        yield Run(first, offsets[index - 1] + 1, 0)


def _end_of_row(offsets: Sequence[int], start: int, stop: int) -> int:
    """Index after the last of the offsets from ``start`` on that follow each other without a gap, at most ``stop``."""
    after = start + 1
    if after >= stop or offsets[after] != offsets[start] + 1:
        return after
    return bisect_right(range(stop), offsets[start] - start, lo=after, key=lambda index: offsets[index] - index)


def _entries(position: int, horizon: int, runs: Iterable[Run], room: int) -> tuple[int, bytes]:
    """The horizon that can be stated in ``room`` bytes, and the open offsets below it."""
    entries = bytearray()
    last, last_bytes = Run(position, position, 0), 0
    for run in runs:
        entry = _entry(run, run.first - last.end)
        if len(entries) + len(entry) > room:
            horizon = run.first
            break
        entries += entry
        last, last_bytes = run, len(entry)
    if last.end == horizon and not last.attempts:
        # Open up to the horizon is what everybody assumes about records above the horizon, too.
        horizon = last.first
        del entries[len(entries) - last_bytes :]
    return horizon, bytes(entries)


def _entry(run: Run, gap: int) -> bytes:
    length = run.end - run.first
    if run.attempts:
        assert length == 1, "a charged offset is a run of its own"
        return _varint(gap * 4 + _CHARGED) + _varint(run.attempts)
    return _varint(gap * 4 + _ONE) if length == 1 else _varint(gap * 4 + _SEVERAL) + _varint(length)


def _head(position: int, horizon: int, fingerprint: int | None) -> bytes:
    return _varint(horizon - position) + _varint(0 if fingerprint is None else fingerprint + 1)


def _statement(payload: bytes, position: int, *, has_replay_id: bool) -> Statement:
    """Read a payload without its checksum. ValueError: it is malformed."""
    reach, fingerprint, replay, *entries = _read_varints(payload)
    if reach and not fingerprint:
        raise ValueError("a statement that nobody can check")
    replay_id = entries.pop(0) if has_replay_id and entries else 0
    if has_replay_id and not (replay and 0 < replay_id < MAX_REPLAY_IDS):
        raise ValueError("a replay without a name")
    horizon, end = position + reach, position
    runs: list[Run] = []
    numbers = iter(entries)
    for number in numbers:
        gap, kind = divmod(number, 4)
        length, attempts = 1, 0
        if kind == _CHARGED:
            attempts = next(numbers, 0)
        elif kind == _SEVERAL:
            length = next(numbers, 0)
        run = Run(end + gap, end + gap + length, attempts)
        end = run.end
        is_possible = kind <= _SEVERAL and length >= 1 and (attempts >= 1) == (kind == _CHARGED)
        if not is_possible or attempts > MAX_ATTEMPTS or end > horizon:
            raise ValueError("open offsets that cannot be")
        runs.append(run)
    replay_until = position + replay if replay else 0
    shown = fingerprint - 1 if fingerprint else None
    return Statement(position, horizon, tuple(runs), shown, replay_until, replay_id)


def _payload(metadata: str, position: int) -> bytes | None:
    """The bytes between prefix and checksum, if they are intact."""
    if not is_ours(metadata) or len(metadata) > MAX_CHARACTERS:
        return None
    text = metadata[len(PREFIX) :].translate(_FROM_URL)
    try:
        payload = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        return None
    payload, checksum = payload[:-_CRC_BYTES], payload[-_CRC_BYTES:]
    return payload if checksum == _checksum(payload, position, metadata[: len(PREFIX)]) else None


_TO_URL: Final = str.maketrans("+/", "-_")
_FROM_URL: Final = str.maketrans("-_+/=", "+/***")
"""The characters that base64url does not use become one that is refused."""


def _checksum(payload: bytes, position: int, prefix: str) -> bytes:
    """Covers the prefix too, since there are two: read as ``s1:``, the name of a replay would be an open offset."""
    covered = b"%d" % position if prefix == PREFIX else b"%d%s" % (position, prefix.encode())
    return binascii.crc32(covered, binascii.crc32(payload)).to_bytes(_CRC_BYTES, "big")


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    encoded = bytearray()
    while number > _LOW_BITS:
        encoded.append(number & _LOW_BITS | _MORE_FOLLOWS)
        number >>= _VARINT_BITS
    encoded.append(number)
    return bytes(encoded)


def _read_varints(encoded: bytes) -> Iterator[int]:
    """The numbers one after the other. ValueError: one is cut off, or no offset could be so large."""
    number = bits = 0
    for byte in encoded:
        number |= (byte & _LOW_BITS) << bits
        bits += _VARINT_BITS
        if bits > _MAX_VARINT_BITS:
            raise ValueError("too large")
        if byte <= _LOW_BITS:
            yield number
            number = bits = 0
    if bits:
        raise ValueError("cut off")
