"""One integration, over the pipelines that run it one after the other: its receipts, and what is said about it."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from streamer.core.delivery.parked import Parked
from streamer.core.mapping import Mapper
from streamer.core.pushing import new_mapper
from streamer.core.records.custody import Custody
from streamer.core.records.filtered_out import FilteredOut
from streamer.core.records.open_record import OpenRecord
from streamer.destinations import Destination
from streamer.kafka import Brokers
from streamer.logs import Event, logger
from streamer.logs.observing import observing
from streamer.pipeline.dead_letters import DeadLetters
from streamer.pipeline.delivery import Delivery
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.identifying import Identification, Identifier
from streamer.pipeline.intake import MapsRecords
from streamer.pipeline.minute import Minute
from streamer.pipeline.runner import Runner
from streamer.pipeline.subscription import fetch_share_of, subscription_of
from streamer.pipeline.worker import Prepare
from streamer.receipts import ProblemKind, Receipts, destination_fingerprint
from streamer.receipts.channel import Channel
from streamer.receipts.shared import SharedReceipts
from streamer.settings import Settings
from streamer.status import SharedStatus
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.timings import Timings
from streamer.tracing import tracer


class Integration:
    """One integration, over the pipelines that run it one after the other."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        *,
        destination: Destination,
        identification: Identification | None = None,
        shared: SharedReceipts | None = None,
        timings: Timings,
    ) -> None:
        """Open the receipts; nothing is connected before `run`.

        Args:
            name: of the integration.
            settings: the whole configuration.
            destination: borrowed from the service.
            identification: knows the users of devices, if that is asked for; borrowed, too.
            shared: lets other instances know its receipts; borrowed, too. None: they keep to themselves.
            timings: how long to wait for what.
        """
        self.name = name
        self.settings = settings.integrations[name]
        self.destination = destination
        self.latency_seconds = {topic: Histogram(LATENCY_SECONDS) for topic in self.settings.topics}
        """Broker's time of a record to its 2xx, by topic."""
        self.filtered_out = FilteredOut()
        """Topics that have nothing to deliver, because all their latest records are ``not_in_stream``."""
        self.identifier: Identifier | None = None
        """Finds the users of anonymous events; None: these are delivered as they are."""
        if identification is not None and self.settings.identify_devices:
            self.identifier = Identifier(identification)
        self._all_settings = settings
        directory = settings.state_dir / name
        self._guard_memory = GuardMemory(directory, fingerprint=settings.fingerprint())
        self.receipts = Receipts.open(
            directory / "receipts",
            window_seconds=settings.receipts.window,
            max_bytes=settings.receipts.max_bytes,
            now=time.time(),
            destination=self._destination_fingerprint(),
        )
        self._shared = shared
        self.channel: Channel | None = None
        """Its end of the topic of receipts; None: there is none."""
        if shared is not None:
            self.channel = shared.join(
                name,
                self.receipts,
                destination_name=destination.name,
                destination=self._destination_fingerprint(),
                assigned=self._assigned,
            )
        self.runner = Runner(
            subscription_of(name, settings),
            new_brokers=lambda: Brokers(settings.kafka, fetch_share=fetch_share_of(settings), timings=timings),
            make_worker=self._new_delivery,
            guard_memory=self._guard_memory,
            timings=timings,
            before_commit=None if shared is None else shared.writer.confirm,
        )
        """Runs its pipelines."""
        self._minute = Minute(self.runner, destination_state=lambda: destination.state.value)
        destination.on_key_changed(self._on_key_changed)

    def _destination_fingerprint(self) -> str:
        settings = self.destination.settings
        return destination_fingerprint(settings.url, settings.read_key(), settings.message_id_suffix)

    def _on_key_changed(self) -> None:
        """The destination has another write key: what was delivered with the former one proves nothing."""
        fingerprint = self._destination_fingerprint()
        self.receipts.serve(fingerprint, time.time())
        if self.channel is not None:
            self.channel.serve(fingerprint)

    def shared_status(self) -> SharedStatus | None:
        """How its receipts are shared; None: they are not."""
        if self._shared is None or self.channel is None:
            return None
        return SharedStatus(
            topic=self._shared.topic,
            fault=self._shared.state.fault,
            waiting=self._shared.writer.unshared.receipts,
            missing_total=self._shared.writer.unshared.given_up[self.name],
            restored_total=self.channel.restored_total,
            behind=self._shared.follower.behind,
        )

    def _assigned(self) -> Mapping[tuple[str, int], float]:
        """The partitions that are ours, and since when each has been without a break."""
        pipeline = self.runner.pipeline
        return {} if pipeline is None else pipeline.assignment.assigned_since

    def close(self) -> None:
        """Write the receipts out."""
        try:
            if self._shared is not None and self.channel is not None:
                self._shared.leave(self.channel)
        finally:
            self.receipts.close()

    def release_guard(self) -> None:
        """Let it run again although the mass guard has stopped it; call this before `run`."""
        self._guard_memory.release()
        logger().emit(Event.GUARD_RELEASED, integration=self.name)

    def _new_mapper(self) -> tuple[MapsRecords, Prepare | None]:
        """What makes calls of records, and what gets ready for them before."""
        identifier = self.identifier
        mapper = new_mapper(self._all_settings.mapping(self.name), None if identifier is None else identifier.user_of)
        if identifier is None or not isinstance(mapper, Mapper):
            return mapper, None
        return mapper, identifier.prepare_for(mapper)

    def _new_delivery(self, custody: Custody, dead_letters: DeadLetters) -> Delivery:
        limits = self.settings.limits
        mapper, prepare = self._new_mapper()
        return Delivery(
            self.name,
            destination=self.destination,
            mapper=mapper,
            receipts=self.receipts,
            parked=Parked(max_per_partition=limits.max_parked_per_partition, max_bytes=limits.max_open_bytes),
            custody=custody,
            dead_letters=dead_letters,
            observe_latency=self._observe_latency,
            prepare=prepare,
            channel=self.channel,
        )

    def _observe_latency(self, records: Sequence[OpenRecord], now: float) -> None:
        ages: defaultdict[str, list[float]] = defaultdict(list)
        for record in records:
            ages[record.ledger.topic].append(now - record.record.timestamp / 1000)
        for topic, seconds in ages.items():
            self.latency_seconds[topic].observe_all(seconds)
        trace_id = tracer().trace_id()
        if trace_id is not None:
            for topic, seconds in ages.items():
                self.latency_seconds[topic].exemplify(max(seconds), trace_id, now)

    def summarise(self, *, is_last: bool = False) -> None:
        """Log what has happened since this was last called, if anything has, and how far it is behind.

        Args:
            is_last: whether the process ends.
        """
        for part, observe in (("topics", self._watch_topics), ("findings", self.tell_findings)):
            with observing(part, integration=self.name):
                observe()
        self._minute.tell(is_last=is_last)

    def tell_findings(self) -> None:
        """Log what befell the receipts, and what was accepted although a platform's documents rule it out."""
        for problem in self.receipts.take_problems():
            logger().emit(_RECEIPT_EVENTS[problem.kind], integration=self.name, detail=problem.detail)
        pipeline = self.runner.pipeline
        if pipeline is None:
            return
        pipeline.dead_letters.tell()
        warnings = pipeline.worker.take_warnings()
        for warning, records in warnings.items():
            logger().emit(Event.RECORD_WARNING, integration=self.name, reason=warning, records=records)

    def _watch_topics(self) -> None:
        """Tell of topics that begin or cease to be filtered as a whole."""
        for topic in sorted(self.filtered_out.look(self.runner.accounts)):
            records = self.filtered_out.topics.get(topic)
            event = Event.TOPIC_RESUMED if records is None else Event.TOPIC_FILTERED_OUT
            logger().emit(event, integration=self.name, topic=topic, records=records)


_RECEIPT_EVENTS: Final = {
    ProblemKind.POWER_LOST: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.UNREADABLE: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.OTHER_DESTINATION: Event.RECEIPTS_SET_ASIDE,
    ProblemKind.FULL: Event.RECEIPTS_SHRUNK,
    ProblemKind.UNUSABLE: Event.RECEIPTS_UNUSABLE,
}
