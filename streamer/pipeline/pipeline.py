"""One integration at work: Kafka's side of it, around a worker that consumes.

A pipeline is one task group: the reader, the worker, the writer of dead letters, the committer and the watchdog. An
error that one of them cannot handle ends the pipeline; the service starts a new one, and records are read again from
their last commit.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Mapping

from streamer.core.delivery.limiting import Limit, limited_by
from streamer.core.errors import StreamerError
from streamer.core.records.account import Account
from streamer.core.records.custody import Custody
from streamer.core.records.pending_letter import PendingLetter
from streamer.kafka import TopicPartition
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline.asking import Asker
from streamer.pipeline.assignment import Assignment
from streamer.pipeline.contact import Contact
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.endings import unless_stopped, until_cancelled
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.guarding import tell_still_stopped, tell_stopped
from streamer.pipeline.joining import join, watch_topics
from streamer.pipeline.letters_shown import guard_evidence, recent_letter
from streamer.pipeline.members import Members
from streamer.pipeline.ports import Brokers
from streamer.pipeline.reader import Reader
from streamer.pipeline.subscription import Subscription
from streamer.pipeline.unreadable import set_aside
from streamer.pipeline.watchdog import Watchdog
from streamer.pipeline.worker import MakeWorker
from streamer.status import GuardEvidence
from streamer.status.recent_letters import RecentLetters
from streamer.timings import Timings


class Pipeline:
    """Runs one integration from Kafka to its outcomes, once."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        brokers: Brokers,
        make_worker: MakeWorker,
        account_of: Callable[[str, int], Account],
        on_connected: Callable[[], None],
        guard_memory: GuardMemory,
        contact: Contact,
        recent_letters: RecentLetters,
        may_read: Callable[[], bool] = lambda: True,
        timings: Timings,
    ) -> None:
        """Build the parts; nothing is connected before `run`.

        Args:
            subscription: what to consume.
            brokers: the cluster to read from.
            make_worker: makes what takes the records.
            account_of: the account of a partition; accounts outlive pipelines.
            on_connected: called when the group is joined.
            guard_memory: where a stop by the mass guard is remembered.
            contact: is told whether the brokers answer.
            recent_letters: is told of confirmed dead letters.
            may_read: whether anything may be read now, as far as orders are concerned; see `look_at_orders`.
            timings: how long to wait for what.
        """
        self.name = name = subscription.name
        self._subscription = subscription
        self._brokers = brokers
        self._guard_memory = guard_memory
        self._on_connected = on_connected
        self._timings = timings
        self._contact = contact
        self._recent_letters = recent_letters
        self._may_read = may_read
        self._crash: asyncio.Future[None]
        self.is_connected = False
        self.guard_evidence: GuardEvidence | None = None
        """Why the mass guard has stopped the integration; None: it has not, or did so before this pipeline."""
        self.retention_seconds: Mapping[str, float] = {}
        """How long a topic keeps its records, where that is known."""
        room = asyncio.Event()
        self.custody = Custody(
            max_records=subscription.max_open_records, max_bytes=subscription.max_open_bytes, on_room=room.set
        )
        self.assignment = Assignment(
            name,
            start=subscription.start,
            window=subscription.window,
            account_of=account_of,
            fence=self.custody.fence,
            contact=contact,
            timings=timings,
        )
        self.source = brokers.source(
            group_id=subscription.group_id,
            topics=subscription.topics,
            on_assigned=self.assignment.give,
            on_revoked=self._on_revoked,
        )
        self.asker = Asker(
            name, brokers=brokers, source=self.source, assignment=self.assignment, contact=contact, timings=timings
        )
        self.members = Members(name, source=self.source, timings=timings)
        self._writer = brokers.writer()
        self.dead_letters = self._new_dead_letters()
        self.worker = make_worker(self.custody, self.dead_letters)
        self._reader = self._new_reader(room)
        self._watchdog = self._new_watchdog()

    def _new_dead_letters(self) -> DeadLetters:
        return DeadLetters(
            self._writer,
            subscription=self._subscription,
            memory=self._guard_memory,
            contact=self._contact,
            timings=self._timings,
            on_written=self._on_letter_written,
            on_guarded=self._on_guarded,
        )

    def _new_reader(self, room: asyncio.Event) -> Reader:
        reader = Reader(
            self.name,
            source=self.source,
            assignment=self.assignment,
            prepare=lambda: self.worker.prepare,
            take=self.worker.take,
            set_aside=functools.partial(set_aside, custody=self.custody, dead_letters=self.dead_letters),
            load=self.custody.load,
            room=room,
            timings=self._timings,
            on_restored=self._on_restored,
        )
        reader.is_stopped = lambda: self._subscription.is_paused or self.is_guarded or not self._may_read()
        return reader

    def _new_watchdog(self) -> Watchdog:
        return Watchdog(
            self.name,
            source=self.source,
            assignment=self.assignment,
            reader=self._reader,
            worker=self.worker,
            dead_letters=self.dead_letters,
            contact=self._contact,
            timings=self._timings,
        )

    @property
    def is_guarded(self) -> bool:
        """Whether the mass guard has stopped the integration."""
        return self.dead_letters.is_guarded

    def look_at_orders(self) -> None:
        """What ``may_read`` answers has changed. While it is false nothing is read, and everything else goes on."""
        self.assignment.changed.set()

    def release_guard(self) -> None:
        """End a stop by the mass guard. What it kept back is set aside, and the guard counts anew."""
        self.dead_letters.release()
        self.guard_evidence = None
        self.look_at_orders()

    def limited_by(self, now: float) -> Limit:
        """What keeps it from being faster; ``now`` in monotonic seconds."""
        return limited_by(
            self.worker.limited_by(now),
            is_guarded=self.is_guarded,
            is_due=self.worker.is_due(now),
            is_full=self.custody.load.is_full,
            is_mapping=self._reader.is_taking,
            is_silent=self._contact.is_silent(now),
        )

    def lags(self, now: float) -> dict[str, int | None]:
        """Records from the position to the high watermark, by topic; None: not known of one of its partitions."""
        lags: dict[str, int | None] = {}
        for partition, ledger in self.assignment.ledgers.items():
            ends, so_far = self.asker.ends(partition, now), lags.get(partition.topic, 0)
            lags[partition.topic] = None if ends is None or so_far is None else so_far + ends.lag(ledger.position)
        return lags

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then drain: requests in flight end, outcomes are committed, the group is left.

        Raises:
            SettingsError: a broker refuses our credentials or protocol.
            ExceptionGroup: a part failed; what was not committed is read again by the next pipeline.
        """
        # One that is paused reads nothing, and stays a member of its group: positions of a group without members expire
        # after offsets.retention.minutes, those of one with members do not (KIP-211, from Kafka 2.1 on).
        if not self._subscription.is_paused and self._guard_memory.is_guarded():
            self._stay_guarded()
        self._crash = asyncio.get_running_loop().create_future()
        joining = join(
            self._subscription,
            brokers=self._brokers,
            writer=self._writer,
            source=self.source,
            contact=self._contact,
            timings=self._timings,
        )
        try:
            if await unless_stopped(stop, joining):
                await self._run_connected(stop)
        finally:
            self.is_connected = False
            try:
                await self.source.leave()
            finally:
                self.assignment.fence()
                self._forget_fenced()
                await self._writer.stop()

    async def _run_connected(self, stop: asyncio.Event) -> None:
        self.is_connected = True
        self._on_connected()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(until_cancelled(self._reader.run()), name=f"read {self.name}")
            others = [
                tasks.create_task(until_cancelled(part), name=f"{role} {self.name}")
                for role, part in (
                    ("work for", self.worker.run()),
                    ("write dead letters of", self.dead_letters.run()),
                    ("commit", self.assignment.commit_on_timer(self.source)),
                    ("watch", self._watchdog.run()),
                    ("ask for the ends of", self.asker.run()),
                    ("list the members of the group of", self.members.run()),
                    ("learn the retention of", self._learn_retention()),
                    ("watch the topics of", self._watch_topics()),
                    ("watch the callbacks of", _raise_from(self._crash)),
                )
            ]
            await asyncio.sleep(0)  # a part that is cancelled before it has begun leaves a coroutine that nobody awaits
            await stop.wait()
            logger().emit(Event.DRAIN_STARTED, integration=self.name, requests=self.worker.under_way)
            reading.cancel()
            await self.worker.quiesce(self._timings.drain)
            await self.dead_letters.flush()
            await self.assignment.commit(self.source)
            for task in others:
                task.cancel()
        open_records = sum(ledger.open_records for ledger in self.assignment.ledgers.values())
        logger().emit(Event.DRAIN_FINISHED, integration=self.name, handed_back=open_records)

    async def _on_revoked(self, _partitions: frozenset[TopicPartition]) -> None:
        """Partitions are about to be taken: drain, commit, and start nothing until the new assignment is known."""
        try:
            # Committed after the drain, positions in a deleted topic would count for the next one of that name.
            self.assignment.fence(self.source.gone(self.assignment.ledgers))
            await self.worker.quiesce(self._revoke_drain_seconds())
            await self.assignment.commit(self.source)
            self.assignment.suspend()
        except Exception as error:  # noqa: BLE001 - the client would log it and go on with records of nobody
            if not self._crash.done():
                self._crash.set_exception(error)

    def _revoke_drain_seconds(self) -> float:
        return min(self._timings.revoke_drain, max(self._subscription.rebalance_timeout_seconds / 3, 1.0))

    def _on_restored(self) -> None:
        """A rebalance has ended: forget what is no longer ours, and go on with the rest."""
        self._forget_fenced()
        self.worker.resume()

    def _forget_fenced(self) -> None:
        self.dead_letters.drop_fenced()
        self.worker.drop_fenced()

    async def _learn_retention(self) -> None:
        """Ask now and then how long the topics keep records; without an answer the headroom is not shown."""
        while True:
            with observing("retention", integration=self.name), contextlib.suppress(StreamerError):
                self.retention_seconds = await self._brokers.retention_seconds(self._subscription.topics)
            await asyncio.sleep(self._timings.retention_every)

    async def _watch_topics(self) -> None:
        await watch_topics(self._subscription, brokers=self._brokers, source=self.source, timings=self._timings)

    def _on_letter_written(self, letter: PendingLetter) -> None:
        with observing("recent dead letters", integration=self.name):
            self._recent_letters.note(recent_letter(letter, time.time()))
        self.worker.letter_written(letter)

    def _on_guarded(self, bad: int, seen: int, last: PendingLetter) -> None:
        self._guard_memory.remember()
        self.guard_evidence = guard_evidence(bad, seen, self.dead_letters)
        tell_stopped(self.name, bad, seen, last)

    def _stay_guarded(self) -> None:
        """The mass guard stopped this very configuration before: reading on would dead-letter more of the same."""
        self.dead_letters.guard()
        tell_still_stopped(self.name)


async def _raise_from(crash: asyncio.Future[None]) -> None:
    await crash
