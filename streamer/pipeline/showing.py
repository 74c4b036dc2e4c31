"""What is shown of a runner, its present pipeline and its partitions: `streamer.status` filled in."""

import time

from streamer.core.records.ledger import PartitionLedger
from streamer.kafka import TopicPartition
from streamer.pipeline.pipeline import Pipeline
from streamer.pipeline.runner import Runner
from streamer.receipts import Receipts
from streamer.receipts.channel import Channel
from streamer.status import AssignedPartition, ConsumerStatus, IntegrationState, PartitionStatus


def consumer_status(
    runner: Runner,
    state: IntegrationState,
    *,
    state_since: float | None = None,
    receipts: Receipts | None = None,
    channel: Channel | None = None,
) -> ConsumerStatus:
    """The state of a runner, at this moment.

    Args:
        runner: what to show.
        state: what it does.
        state_since: since when, in seconds since the epoch; None: that does not matter.
        receipts: those of its deliveries, if it delivers.
        channel: shares them with other instances, if they are shared.
    """
    pipeline, now = runner.pipeline, time.monotonic()
    return ConsumerStatus(
        name=runner.name,
        group=runner.subscription.group_id,
        destination=runner.subscription.destination,
        topics=runner.subscription.topics,
        state=state,
        state_since=state_since,
        reason=runner.last_error,
        restarts=runner.restarts,
        partitions=[
            _partition(runner, TopicPartition(*place), receipts, channel)
            for place in sorted({*runner.accounts, *(pipeline.assignment.left_out if pipeline else ())})
        ],
        drain_eta_seconds=runner.drain_eta_seconds(now),
        kafka_silent_seconds=runner.contact.silent_seconds(now) if runner.contact.is_silent(now) else None,
        limited_by=runner.limited.lately,
        limited_seconds=runner.limited.seconds,
        commits={result.value: number for result, number in runner.commits().items()},
        rebalances=runner.rebalances(),
        buffered_records=pipeline.custody.load.records if pipeline else 0,
        buffered_bytes=pipeline.custody.load.bytes + pipeline.worker.parked_bytes if pipeline else 0,
        members=pipeline.members.latest if pipeline and pipeline.is_connected else (),
        recent_letters=runner.recent_letters.letters,
        missing_topics=pipeline.source.missing_topics() if pipeline and pipeline.is_connected else (),
        guard=pipeline.guard_evidence if pipeline else None,
        pause=runner.pause,
        order_at=runner.order_at,
    )


def _partition(
    runner: Runner, place: TopicPartition, receipts: Receipts | None, channel: Channel | None
) -> PartitionStatus:
    pipeline = runner.pipeline
    ledger = pipeline.assignment.ledgers.get(place) if pipeline is not None else None
    assigned = None
    if pipeline is not None and ledger is not None:
        since = _receipts_since(pipeline, place, receipts, channel)
        assigned = _assigned(pipeline, place, ledger, receipts_since=since)
    since = pipeline.assignment.left_out.since(place) if pipeline is not None else None
    return PartitionStatus(
        topic=place.topic,
        partition=place.partition,
        account=runner.accounts[place],
        assigned=assigned,
        left_out=pipeline.assignment.left_out.fault(place) if pipeline is not None else None,
        left_out_since=None if since is None else time.time() - time.monotonic() + since,
    )


def _receipts_since(
    pipeline: Pipeline, place: TopicPartition, receipts: Receipts | None, channel: Channel | None
) -> float | None:
    """Since when the receipts of a partition are complete, in seconds since the epoch."""
    if receipts is None or not receipts.available:
        return None
    now = time.time()
    # What another instance delivered before has its receipt there, unless it came through the topic of receipts.
    own = max(receipts.window_start(now), pipeline.assignment.assigned_since[place])
    shared = None if channel is None else channel.complete_since(place.topic, place.partition, now)
    return own if shared is None else min(own, shared)


def _assigned(
    pipeline: Pipeline, place: TopicPartition, ledger: PartitionLedger, *, receipts_since: float | None
) -> AssignedPartition:
    now, asker = time.monotonic(), pipeline.asker
    ends, known_at = asker.ends(place, now), asker.known_at(place)
    transaction_since = asker.open_transaction_since(place, now)
    oldest = ledger.oldest_waiting_timestamp(
        None if ends is None else ends.high_watermark, asker.waiting_timestamp(place, ledger.next_offset)
    )
    retention = pipeline.retention_seconds.get(place.topic)
    return AssignedPartition(
        in_flight=ledger.open_records,
        parked=pipeline.worker.parked_in(place),
        position=ledger.position,
        committed=ledger.committed,
        next_offset=ledger.next_offset,
        high_watermark=None if ends is None else ends.high_watermark,
        ends_known_at=None if known_at is None else time.time() - now + known_at,
        open_transaction_since=None if transaction_since is None else time.time() - now + transaction_since,
        oldest_waiting_at=None if oldest is None else oldest / 1000,
        retention_headroom_seconds=None
        if retention is None
        else retention - (0.0 if oldest is None else max(time.time() - oldest / 1000, 0.0)),
        receipts_since=receipts_since,
    )
