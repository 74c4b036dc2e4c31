"""One integration's end of the topic of receipts: what it writes there, and what it takes from there into its store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from streamer.core.records import followed as following
from streamer.core.records.followed import Extent, Followed, Place
from streamer.core.records.receipt_record import Gap, ReceiptBatch
from streamer.core.records.unshared import Noted
from streamer.receipts.chunks import Deliveries
from streamer.receipts.receipts import Receipts

_SECOND: Final = 1.0
"""What is delivered in the second in which a gap ends may be missing too."""


class Channel:
    """The receipts of one integration, shared with other instances."""

    def __init__(
        self,
        integration: str,
        receipts: Receipts,
        *,
        destination_name: str,
        destination: str,
        assigned: Callable[[], Mapping[Place, float]],
        note: Callable[[Noted], None],
    ) -> None:
        """Prepare.

        Args:
            integration: its name.
            receipts: its store.
            destination_name: name of the destination that it delivers to.
            destination: fingerprint of that destination.
            assigned: tells which partitions are assigned now, and since when each has been without a break.
            note: takes what is to be written.
        """
        self.integration = integration
        self.followed: Followed | None = None
        """How far the topic was taken over; None: that is not known yet."""
        self.restored_total = 0
        """Receipts taken from the topic."""
        self._receipts = receipts
        self._destination_name = destination_name
        self._destination = destination
        self._assigned = assigned
        self._note = note
        self._own_from: Mapping[int, int] = {}
        self._awaited: dict[Place, tuple[float, Mapping[int, int]]] = {}
        self._complete: dict[Place, float] = {}
        self._is_saved = True

    def note(
        self, deliveries: Sequence[Deliveries], now: float, *, batch_events: int, attempt: int, status: int
    ) -> None:
        """A request was accepted.

        Args:
            deliveries: its calls, each partition once.
            now: seconds since the epoch.
            batch_events: how many calls it had.
            attempt: the number of this attempt; the first is 1.
            status: of the answer.
        """
        for one in deliveries:
            self._note(
                Noted(
                    self.integration,
                    self._destination_name,
                    self._destination,
                    one.topic,
                    one.partition,
                    now,
                    batch_events,
                    attempt,
                    status,
                    one.replay_id,
                    one.offsets,
                    one.digests,
                )
            )

    def serve(self, destination: str) -> None:
        """Deliveries go to another destination, and the store is empty: what the topic has of it is read anew."""
        if destination != self._destination:
            self._destination = destination
            self.followed = None
            self._complete.clear()
            self._awaited.clear()

    def place(self, topic: str, extents: Mapping[int, Extent], *, window_start: float, now: float) -> None:
        """Decide where reading begins, after the topic was connected to.

        Args:
            topic: name of the topic of receipts.
            extents: its partitions.
            window_start: what was delivered before counts no more; in seconds since the epoch.
            now: seconds since the epoch.
        """
        if self.followed is None:
            self._own_from = {partition: extent.end for partition, extent in extents.items()}
            self.followed = following.decode(self._receipts.followed(), topic)
            if self.followed is None:
                self.followed = following.begin(topic, extents, window_start=window_start, now=now)
                self._receipts.reach_back_to(self.followed.since)
        self.followed.go_on(extents, now)

    def is_known(self, partition: int, offset: int, *, is_own: bool) -> bool:
        """Whether the store has the receipts of a record of the topic: it was read before, or this process wrote it."""
        assert self.followed is not None, "records are read after it was placed"
        return offset < self.followed.positions[partition] or (is_own and offset >= self._own_from.get(partition, 0))

    def counts(self, batch: ReceiptBatch) -> bool:
        """Whether what was delivered proves anything here: another destination has another fingerprint."""
        return batch.destination == self._destination

    def restore(self, batches: Sequence[ReceiptBatch], now: float) -> None:
        """Store receipts from the topic; ``now`` in seconds since the epoch."""
        by_second: dict[int, list[Deliveries]] = {}
        for one in batches:
            deliveries = Deliveries(one.topic, one.partition, one.offsets, one.digests, one.replay_id)
            by_second.setdefault(int(one.delivered_at), []).append(deliveries)
            self.restored_total += len(one.offsets)
        self._receipts.restore(list(by_second.items()), now)

    def note_gap(self, gap: Gap) -> None:
        """Another instance could not write the receipts of this time."""
        assert self.followed is not None, "records are read after it was placed"
        self.followed.note_gap((gap.topic, gap.partition), gap.until + _SECOND)

    def advance(self, partition: int, position: int) -> None:
        """Everything of a partition of the topic below a position was taken over."""
        assert self.followed is not None, "records are read after it was placed"
        if self.followed.positions[partition] < position:
            self.followed.positions[partition] = position
            self._is_saved = False

    def save(self, window_start: float) -> None:
        """Keep how far the topic was taken over, if that has changed."""
        if self.followed is not None and not self._is_saved:
            self.followed.forget_gaps(window_start)
            self._receipts.note_followed(self.followed.encode())
            self._is_saved = True

    def has_new_partitions(self) -> bool:
        """Whether partitions were assigned that `await_all` was not told the ends for; forgets those that are gone."""
        assigned = self._assigned()
        self._awaited = {at: one for at, one in self._awaited.items() if assigned.get(at) == one[0]}
        self._complete = {at: since for at, since in self._complete.items() if assigned.get(at) == since}
        return len(assigned) > len(self._awaited) + len(self._complete)

    def await_all(self, ends: Mapping[int, int]) -> None:
        """The receipts of partitions that were assigned before the topic ended here are complete once that is read."""
        for place, since in self._assigned().items():
            if place not in self._awaited and place not in self._complete:
                self._awaited[place] = since, ends

    def look(self) -> None:
        """Note which partitions are complete by now."""
        if self._awaited and self.followed is not None:
            for place, (since, ends) in list(self._awaited.items()):
                if self.followed.is_at(ends):
                    self._complete[place] = since
                    del self._awaited[place]

    def complete_since(self, topic: str, partition: int, now: float) -> float | None:
        """Since when every delivery from a partition, by whichever instance, has its receipt in the store.

        Args:
            topic: of the records.
            partition: of the records.
            now: seconds since the epoch.

        Returns:
            Seconds since the epoch; None: that is not known, the topic is still being read.
        """
        place = topic, partition
        if place not in self._complete or self.followed is None or not self._receipts.available:
            return None
        return max(self._receipts.window_start(now), self.followed.since, self.followed.gaps.get(place, 0.0))
