"""Commits of one integration: positions with what is settled above them, and what the broker may hold of them."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from streamer.core.records import statement as statements
from streamer.core.records.ledger import PartitionLedger
from streamer.kafka import CommitResult, StoredPosition, TopicPartition
from streamer.logs import Event, logger
from streamer.pipeline.contact import Contact
from streamer.pipeline.ports import RecordSource
from streamer.tracing import tracer

MAX_CLAIMS: Final = 64
"""Most commits of unknown fate that are remembered for a partition; beyond it, a rebalance costs repeats."""

MIN_METADATA_CHARACTERS: Final = 19
"""Where the broker takes fewer, nothing is stated beside the position."""

Claim = tuple[int, str]
"""A position with its metadata, as it is stored."""


class Commits:
    """Stores positions, and remembers for each partition which of ours the broker may hold.

    Attributes:
        results: how many commits ended in which way.
        unstored: partitions that begin with a replay of which the broker is not known to hold the name. After a kill it
            would begin anew, whatever was delivered by then, so nothing may be read yet.
        refused: topics whose positions we may not store.
    """

    def __init__(self, integration: str, contact: Contact) -> None:
        self.results: dict[CommitResult, int] = dict.fromkeys(CommitResult, 0)
        self.unstored: set[TopicPartition] = set()
        self.refused: set[str] = set()
        self._integration = integration
        self._contact = contact
        self._stored: dict[TopicPartition, StoredPosition | Claim | None] = {}
        """The claim that the broker is known to hold; None: none of this assignment."""
        self._unheard: dict[TopicPartition, deque[Claim]] = {}
        """Later claims whose fate is unknown."""
        self._max_metadata = statements.MAX_CHARACTERS
        self.before_commit: Callable[[], Awaitable[None]] | None = None
        """Gives others a bounded time to learn of what is about to be committed."""
        self._begun = 0
        """Commits that were begun."""

    def begin(self, partition: TopicPartition, stored: StoredPosition | None, *, is_known: bool) -> None:
        """An assignment begins.

        Args:
            partition: of this partition.
            stored: the position that the broker holds; None: it holds none.
            is_known: whether streamer has stored it, and with it the name of the replay if it is in one.
        """
        self._stored[partition] = stored
        self._unheard[partition] = deque(maxlen=MAX_CLAIMS)
        self.unstored.discard(partition)
        if not is_known:
            self.unstored.add(partition)

    def end(self, partition: TopicPartition) -> None:
        """An assignment has ended."""
        self._stored.pop(partition, None)
        self._unheard.pop(partition, None)
        self.unstored.discard(partition)

    def made(self, partition: TopicPartition, stored: StoredPosition) -> bool:
        """Whether a stored position is one that this assignment has stored: no other owner came between."""
        is_ours = stored == self._stored.get(partition) or stored in self._unheard.get(partition, ())
        return is_ours and stored.offset is not None

    async def store(
        self, source: RecordSource, ledgers: Mapping[TopicPartition, PartitionLedger], topic: str | None = None
    ) -> CommitResult:
        """Store what may be stored of every partition where that has changed, as it is at this moment.

        Args:
            source: where to.
            ledgers: what is assigned; may change meanwhile.
            topic: only of this topic.
        """
        changed = await self._let_others_know(self._changed(ledgers, topic), ledgers)
        if not changed:
            return CommitResult.STORED
        before = dict(ledgers)
        topics = {partition.topic for partition in changed}
        with tracer().commit(self._integration, topics) as span:
            result = await source.commit(changed)
            if result is not CommitResult.STORED:
                span.fail(result.value)
        self.results[result] += 1
        self._note_refused(result, topics)
        for partition, claim in changed.items():
            if ledgers.get(partition) is not before[partition]:
                continue  # its assignment ended meanwhile
            if result is CommitResult.STORED:
                self._stored[partition] = claim
                self._unheard[partition].clear()
                self.unstored.discard(partition)
                before[partition].committed = claim[0]
            elif result in {CommitResult.TIMED_OUT, CommitResult.FAILED, CommitResult.NOT_AUTHORISED}:
                self._unheard[partition].append(claim)
        if result is CommitResult.METADATA_TOO_LARGE and self._max_metadata:
            half = self._max_metadata // 2
            self._max_metadata = half if half >= MIN_METADATA_CHARACTERS else 0
            return await self.store(source, ledgers, topic)
        if result is CommitResult.NOT_AUTHORISED and len(topics) > 1:
            # The answer is one for all, and the others must not wait for the one that is closed to us.
            results = [await self.store(source, ledgers, one) for one in sorted(topics)]
            return next((other for other in results if other is not CommitResult.STORED), CommitResult.STORED)
        # That brokers do not answer is said once, for all that waits for them.
        if result is not CommitResult.TIMED_OUT or not self._contact.is_missed():
            self._tell(result, len(changed))
        return result

    def _changed(
        self, ledgers: Mapping[TopicPartition, PartitionLedger], topic: str | None
    ) -> dict[TopicPartition, Claim]:
        """What the broker is not known to hold."""
        claims = {
            partition: ledger.to_commit(self._max_metadata)
            for partition, ledger in ledgers.items()
            if topic is None or partition.topic == topic
        }
        return {
            partition: claim
            for partition, claim in claims.items()
            if claim != self._stored[partition] or self._unheard[partition] or partition in self.unstored
        }

    async def _let_others_know(
        self, changed: dict[TopicPartition, Claim], ledgers: Mapping[TopicPartition, PartitionLedger]
    ) -> dict[TopicPartition, Claim]:
        """Wait for that, and return what is still to be stored: nothing if a later commit, which knows more, began."""
        if not changed or self.before_commit is None:
            return changed
        self._begun += 1
        begun, before = self._begun, dict(ledgers)
        await self.before_commit()
        if begun != self._begun:
            return {}
        return {place: claim for place, claim in changed.items() if ledgers.get(place) is before[place]}

    def _note_refused(self, result: CommitResult, topics: set[str]) -> None:
        """Of several topics that are refused together, it is not known which one is meant."""
        if result is CommitResult.STORED:
            self.refused -= topics
        elif result is CommitResult.NOT_AUTHORISED and len(topics) == 1:
            self.refused |= topics

    async def enter(self, source: RecordSource, begins: Mapping[TopicPartition, int]) -> CommitResult:
        """Store where the group begins with topics of which it has stored nothing.

        Without a statement: whoever has a partition takes it for one whose records are wanted.
        """
        result = await source.store_begins(begins)
        self.results[result] += 1
        self._tell(result, len(begins))
        return result

    def _tell(self, result: CommitResult, partitions: int) -> None:
        if result is CommitResult.STORED:
            logger().emit(Event.OFFSETS_COMMITTED, integration=self._integration, partitions=partitions)
        else:
            logger().emit(
                Event.OFFSETS_COMMIT_FAILED,
                integration=self._integration,
                error_type=result.value,
                next_step=_NEXT_STEPS[result],
            )


_NEXT_STEPS: Final[Mapping[CommitResult, str]] = {
    CommitResult.MEMBERSHIP_CHANGED: "No action is needed: a rebalance is under way, and what is not stored is read "
    "again.",
    CommitResult.METADATA_TOO_LARGE: "Raise offset.metadata.max.bytes on the brokers.",
    CommitResult.NOT_AUTHORISED: "Allow READ on the group and its topics. Until then partitions that are new to the "
    "group are not read, and a restart delivers again what is not stored.",
    CommitResult.TIMED_OUT: "No action is needed: a later commit replaces this one.",
    CommitResult.FAILED: "If this repeats, see the broker's log. A restart would deliver again what is not stored.",
}
