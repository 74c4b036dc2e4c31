"""What became of every call: counters, a count for each messageId, and the latest calls.

Every call that could be read ends in exactly one `Verdict`, so that at any time

    received = accepted + duplicates + swallowed + refused

``received`` counts calls before de-duplication; each attempt of the sender counts again. A request whose body could not
be read (not JSON, damaged gzip) counts as a request without calls.
"""

import enum
import secrets
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, KeysView
from contextlib import contextmanager
from itertools import islice
from typing import Final, NamedTuple

from streamer.core.model import MAX_CALL_BYTES, Json
from streamer.devkit.sandbox.answers import Judgement, compact
from streamer.devkit.sandbox.discards import Discard, message_id_of
from streamer.devkit.sandbox.rates import Rates, Tally

LATEST_CALLS: Final = 200
"""How many calls are listed unless more are asked for."""

KEPT_CALLS: Final = 1_000
"""How many of the latest calls are kept with their bodies, of at most 32,000 bytes each."""

MAX_IDS: Final = 1_000_000
"""Most messageIds that are remembered, at about 300 bytes each."""

DEDUP_WINDOW_SECONDS: Final = 24 * 3600.0
"""How long Segment remembers a messageId, from the call that it published."""


class Verdict(enum.StrEnum):
    """What can become of a call."""

    ACCEPTED = "accepted"
    """Published. The sender may not know, because a scripted fault can drop the answer."""
    DUPLICATE = "duplicate"
    """Answered with a 2xx, and dropped because its messageId was accepted within the window."""
    SWALLOWED = "swallowed"
    """Answered with a 2xx, and dropped because it breaks a rule."""
    REFUSED = "refused"
    """Not accepted: the whole request was answered with an error, or its connection was reset."""


_VERDICTS: Final = tuple(Verdict)
_ACCEPTED, _DUPLICATE, _SWALLOWED, _REFUSED = _VERDICTS
"""Names of this module are looked up faster than members of an enum, which counts once for each call."""


class ReceivedCall(NamedTuple):
    """One recorded call. ``received_at``: seconds since the epoch. ``answer``: a status, or why there was none."""

    received_at: float
    message_id: str | None
    verdict: Verdict
    discard: Discard | None
    path: str
    answer: str


class KeptCall(NamedTuple):
    """One of the latest calls. ``body``: compact JSON; None if the call is over Segment's limit."""

    number: int
    """The first call that was received has 1; see `SandboxRecord.run`."""
    entry: ReceivedCall
    body: bytes | None


class SandboxRecord:
    """Counters and memory of one sandbox; only `receive`, `request_open` and `clear` change it.

    Args:
        max_ids: most messageIds remembered. Beyond it, the one accepted longest ago is forgotten, and would be accepted
            again; ``forgotten_ids`` counts them.
        dedup_window_seconds: a messageId that is repeated later than this after it was accepted is accepted again.
    """

    def __init__(self, *, max_ids: int = MAX_IDS, dedup_window_seconds: float = DEDUP_WINDOW_SECONDS) -> None:
        assert max_ids >= 1
        self._max_ids = max_ids
        self._dedup_window_seconds = dedup_window_seconds
        self.requests_in_flight = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything, also the messageIds. Requests in flight are counted when they end."""
        self.run = secrets.token_hex(4)
        """Differs after each `clear` and in each process: calls are numbered from 1 in each of them."""
        self.received = self.accepted = self.duplicates = self.refused = 0
        self.swallowed_by_code: Counter[Discard] = Counter()
        self.requests_by_answer: Counter[str] = Counter()
        self.requests_by_discard: Counter[Discard] = Counter()
        self.max_requests_in_flight = self.requests_in_flight
        self.forgotten_ids = 0
        # messageId -> (times taken, when it was last accepted), in the order of acceptance.
        self._ids: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._latest: deque[tuple[ReceivedCall, bytes | None]] = deque(maxlen=KEPT_CALLS)
        self.rates = Rates()

    @property
    def swallowed(self) -> int:
        """Calls dropped after a 2xx because they break a rule."""
        return self.swallowed_by_code.total()

    @property
    def accepted_ids(self) -> KeysView[str]:
        """The messageIds that were accepted and are not forgotten."""
        return self._ids.keys()

    def count(self, message_id: str) -> int:
        """How often this messageId was accepted or found to be a duplicate."""
        return self._ids.get(message_id, (0, 0.0))[0]

    def counts(self) -> Iterator[tuple[str, int]]:
        """Each accepted messageId and its count. Ids that are forgotten or added while this runs may be left out."""
        for message_id in list(self._ids):
            if count := self.count(message_id):
                yield message_id, count

    def latest(self, limit: int = LATEST_CALLS) -> list[tuple[ReceivedCall, bytes | None]]:
        """The latest calls, newest first, with their bodies; None for a body over Segment's limit."""
        return list(islice(reversed(self._latest), limit))

    def kept(self, *, after: int = 0) -> Iterator[KeptCall]:
        """The calls that are kept, newest first. ``after``: only those with higher numbers.

        Read it without waiting in between: it is not meant to be used while calls arrive.
        """
        latest = zip(range(self.received, after, -1), reversed(self._latest), strict=False)
        return (KeptCall(number, entry, body) for number, (entry, body) in latest)

    def find(self, number: int) -> KeptCall | None:
        """The call with this number; None if it is not kept any more, or was not received yet."""
        place = len(self._latest) - 1 - (self.received - number)
        return KeptCall(number, *self._latest[place]) if 0 <= place < len(self._latest) else None

    def totals(self) -> dict[str, Json]:
        """All counters, as JSON."""
        return {
            "received": self.received,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "swallowed": self.swallowed,
            "refused": self.refused,
            "swallowed_by_code": {str(code): calls for code, calls in self.swallowed_by_code.items()},
            "requests_by_answer": dict(self.requests_by_answer),
            "requests_by_discard": {str(code): requests for code, requests in self.requests_by_discard.items()},
            "requests_in_flight": self.requests_in_flight,
            "max_requests_in_flight": self.max_requests_in_flight,
            "ids": len(self._ids),
            "forgotten_ids": self.forgotten_ids,
        }

    @contextmanager
    def request_open(self) -> Iterator[None]:
        """Count a request as in flight while the context lasts."""
        self.requests_in_flight += 1
        self.max_requests_in_flight = max(self.max_requests_in_flight, self.requests_in_flight)
        try:
            yield
        finally:
            self.requests_in_flight -= 1

    def receive(
        self, path: str, calls: list[Json], judgement: Judgement, answer: str, now: float
    ) -> list[ReceivedCall]:
        """Record one request.

        Args:
            path: the path of the request.
            calls: its calls.
            judgement: what becomes of them.
            answer: the status of the answer, or a word that says why there is none.
            now: seconds since the epoch.

        Returns:
            What was recorded for each call, in order.
        """
        assert len(calls) == len(judgement.discards)
        self.requests_by_answer[answer] += 1
        if judgement.request_discard:
            self.requests_by_discard[judgement.request_discard] += 1
        taken = judgement.reply.accepts
        entries = []
        for call, discard in zip(calls, judgement.discards, strict=True):
            message_id = message_id_of(call)
            verdict = self._verdict(message_id, discard, now) if taken else _REFUSED
            entries.append(ReceivedCall(now, message_id, verdict, discard, path, answer))
        self._count(entries, now)
        bodies = map(compact, calls[-KEPT_CALLS:])
        self._latest.extend(
            (entry, body if body is not None and len(body) <= MAX_CALL_BYTES else None)
            for entry, body in zip(entries[-KEPT_CALLS:], bodies, strict=True)
        )
        return entries

    def _verdict(self, message_id: str | None, discard: Discard | None, now: float) -> Verdict:
        if discard:
            return _SWALLOWED
        if message_id is None:
            return _ACCEPTED
        count, accepted_at = self._ids.get(message_id, (0, 0.0))
        if count and now - accepted_at < self._dedup_window_seconds:
            self._ids[message_id] = (count + 1, accepted_at)
            return _DUPLICATE
        self._ids[message_id] = (count + 1, now)
        if count:
            self._ids.move_to_end(message_id)
        elif len(self._ids) > self._max_ids:
            self._ids.popitem(last=False)
            self.forgotten_ids += 1
        return _ACCEPTED

    def _count(self, entries: list[ReceivedCall], now: float) -> None:
        verdicts = [entry.verdict for entry in entries]  # a list counts enum members faster than a Counter
        accepted = verdicts.count(_ACCEPTED)
        others = map(verdicts.count, _VERDICTS[1:]) if accepted < len(entries) else ()
        tally = Tally(accepted, *others)
        self.received += len(entries)
        self.accepted += tally.accepted
        self.duplicates += tally.duplicates
        self.refused += tally.refused
        if tally.swallowed:
            self.swallowed_by_code.update(
                entry.discard for entry in entries if entry.verdict is _SWALLOWED and entry.discard
            )
        self.rates.note(now, tally)
