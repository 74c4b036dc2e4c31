"""One integration, over the pipelines that run it one after the other: its receipts, and what is said about it."""

import dataclasses
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
from streamer.pipeline.sharing import fingerprint_of, open_receipts, status_of
from streamer.pipeline.subscription import Subscription, fetch_share_of, subscription_of
from streamer.pipeline.worker import Prepare
from streamer.receipts import ProblemKind, Receipts
from streamer.receipts.channel import Channel
from streamer.receipts.shared import SharedReceipts
from streamer.settings import Settings
from streamer.status import SharedStatus
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.steering import Steering
from streamer.tapping import Taps
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
        receipts: Receipts | None = None,
        shared: SharedReceipts | None = None,
        taps: Taps,
        timings: Timings,
        subscription: Subscription | None = None,
    ) -> None:
        """Open the receipts; nothing is connected before `run`.

        Args:
            name: of the integration.
            settings: the whole configuration.
            destination: borrowed from the service.
            identification: knows the users of devices, if that is asked for; borrowed, too.
            receipts: those of `open_receipts`, where they are open already.
            shared: lets other instances know its receipts; borrowed, too. None: they keep to themselves.
            taps: whoever looks at calls as they leave; borrowed, too.
            timings: how long to wait for what.
            subscription: what to consume; None: what the configuration says.
        """
        self.name = name
        self.settings = settings.integrations[name]
        self.destination = destination
        self.latency_seconds = {topic: Histogram(LATENCY_SECONDS) for topic in self.settings.topics}
        """Broker's time of a record to its 2xx, by topic."""
        self.filtered_out = FilteredOut()
        """Topics that have nothing to deliver, because all their latest records are ``not_in_stream``."""
        self.identifier: Identifier | None = None
        """Finds the users of anonymous events; None: that was never asked for."""
        self._all_settings = settings
        self._take(settings, identification)
        self._taps = taps
        self._guard_memory = GuardMemory(settings.state_dir / name, fingerprint=settings.fingerprint())
        self.receipts = open_receipts(name, settings, destination) if receipts is None else receipts
        self._shared = shared
        self.channel: Channel | None = None
        """Its end of the topic of receipts; None: there is none."""
        if shared is not None:
            self.channel = shared.join(
                name,
                self.receipts,
                destination_name=destination.name,
                destination=fingerprint_of(destination),
                assigned=self._assigned,
            )
        self.runner = Runner(
            subscription or subscription_of(name, settings),
            new_brokers=self._new_brokers,
            make_worker=self._new_delivery,
            guard_memory=self._guard_memory,
            timings=timings,
            before_commit=None if shared is None else shared.writer.confirm,
        )
        """Runs its pipelines."""
        self.runner.discards = settings.mapping(name).discard
        self._discards = False
        """Whether an order has its records filtered instead of delivered."""
        self.steering = Steering(
            self.runner,
            guard_memory=self._guard_memory,
            discard=self._discard,
            probe=self._probe,
        )
        """Has it obey the orders of operators."""
        self._timings = timings
        self._minute = Minute(self.runner, destination_state=lambda: self.destination.state.value)
        self._end_notices = destination.on_key_changed(self._on_key_changed)

    @property
    def is_guarded(self) -> bool:
        """Whether the mass guard has stopped it."""
        return self.runner.pipeline is not None and self.runner.pipeline.is_guarded

    def keep(self, settings: Settings) -> None:
        """Go on as before: nothing in ``settings``, the new configuration, concerns it."""
        self._all_settings = settings
        self._guard_memory.belong_to(settings.fingerprint(), is_over=False)

    def remap(self, settings: Settings, identification: Identification | None = None) -> None:
        """Make the calls of the next records as the new configuration says. Nothing restarts.

        Records that are open keep the calls that were made of them. The rest of its settings must be as before.

        Args:
            settings: the new configuration.
            identification: knows the users of devices, if that is asked for.
        """
        self.keep(settings)
        self._take(settings, identification)
        self.runner.discards = settings.mapping(self.name).discard
        self._renew_mapper()

    def _renew_mapper(self) -> None:
        worker = None if self.runner.pipeline is None else self.runner.pipeline.worker
        if isinstance(worker, Delivery):
            worker.remap(*self._new_mapper())

    def adopt(self, settings: Settings, destination: Destination, identification: Identification | None = None) -> None:
        """Take another configuration for the next run; call this only while it does not run.

        What was counted goes on counting. A stop by the mass guard ends.

        Args:
            settings: the new configuration.
            destination: borrowed from the service; may be another one than before.
            identification: knows the users of devices, if that is asked for.
        """
        self._take(settings, identification)
        if destination is not self.destination:
            self._end_notices()
            self.destination = destination
            self._end_notices = destination.on_key_changed(self._on_key_changed)
        for topic in self.settings.topics:
            self.latency_seconds.setdefault(topic, Histogram(LATENCY_SECONDS))
        self._guard_memory.belong_to(settings.fingerprint(), is_over=True)
        self.runner.adopt(subscription_of(self.name, settings))
        self.runner.discards = settings.mapping(self.name).discard
        self._on_key_changed()

    def _take(self, settings: Settings, identification: Identification | None) -> None:
        self._all_settings = settings
        self.settings = settings.integrations[self.name]
        if self.identifier is None and identification is not None and self.settings.identify_devices:
            self.identifier = Identifier(identification)

    def leave(self) -> None:
        """Hear nothing of the destination and of other instances any more; call it before the receipts are closed."""
        self._end_notices()
        if self._shared is not None and self.channel is not None:
            self._shared.leave(self.channel)

    def close(self) -> None:
        """Leave, and close the receipts; takes as long as the disk needs."""
        try:
            self.leave()
        finally:
            self.receipts.close()

    def _on_key_changed(self) -> None:
        """Where deliveries go may have changed: what was delivered elsewhere, or with another key, proves nothing."""
        fingerprint = fingerprint_of(self.destination)
        self.receipts.serve(fingerprint, time.time())
        if self.channel is not None:
            self.channel.serve(self.destination.name, fingerprint)

    def shared_status(self) -> SharedStatus | None:
        """How its receipts are shared; None: they are not."""
        return None if self._shared is None or self.channel is None else status_of(self._shared, self.channel)

    def _assigned(self) -> Mapping[tuple[str, int], float]:
        """The partitions that are ours, and since when each has been without a break."""
        pipeline = self.runner.pipeline
        return {} if pipeline is None else pipeline.assignment.assigned_since

    def release_guard(self) -> None:
        """Let it run again although the mass guard has stopped it; call this before `run`."""
        self._guard_memory.release()
        logger().emit(Event.GUARD_RELEASED, integration=self.name)

    def _probe(self) -> None:
        """Have the destination probed at once if it is held; it may be another one than at the start."""
        self.destination.probe_now()

    def _discard(self, discards: bool) -> None:
        """Have the next records filtered as ``paused``, or delivered again."""
        self._discards = discards
        self._renew_mapper()

    def _new_brokers(self) -> Brokers:
        settings = self._all_settings
        return Brokers(settings.kafka, fetch_share=fetch_share_of(settings), timings=self._timings)

    def _new_mapper(self) -> tuple[MapsRecords, Prepare | None]:
        """What makes calls of records, and what gets ready for them before."""
        identifier = self.identifier if self.settings.identify_devices else None
        mapping = self._all_settings.mapping(self.name)
        if self._discards:
            mapping = dataclasses.replace(mapping, discard=True)
        mapper = new_mapper(mapping, None if identifier is None else identifier.user_of)
        if identifier is None or not isinstance(mapper, Mapper):
            return mapper, None
        return mapper, identifier.prepare_for(mapper)

    def _new_delivery(self, custody: Custody, dead_letters: DeadLetters) -> Delivery:
        limits = self.settings.limits
        mapper, prepare = self._new_mapper()
        delivery = Delivery(
            self.name,
            destination=self.destination,
            mapper=mapper,
            receipts=self.receipts,
            parked=Parked(max_per_partition=limits.max_parked_per_partition, max_bytes=limits.max_open_bytes),
            custody=custody,
            dead_letters=dead_letters,
            observe_latency=self._observe_latency,
            channel=self.channel,
            taps=self._taps,
        )
        delivery.prepare = prepare
        return delivery

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
