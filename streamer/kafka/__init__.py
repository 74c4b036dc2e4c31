"""Records in, positions and dead letters out. This package alone speaks to the Kafka client; `Brokers` is the way in.

The client is asyncio only and its group protocol is eager: at every rebalance all partitions are revoked and each one
starts again from its committed position. What we work around here, each measured or read in the client's source:

- Deserialisers would lose records of other partitions when one raises; there are none, values stay bytes.
- ``getmany`` with an empty selection means *all* partitions; `Source.poll` never passes one by accident.
- An assignment is live before the callback is told, so records read across it are thrown away and read again.
- While the assignment callback runs there are no heartbeats, so it only takes note; state is restored outside of it.
- A join is judged by the request timeout: it is kept above the rebalance timeout.
- ``commit`` retries without end, and when the caller stops waiting, its error appears elsewhere later. Every
  commit has a timeout here that ends it, and every outcome a name.
- Closing a client swallows a cancellation of its caller; `streamer.kafka.closing` raises it after all.
- An idempotent producer that was refused one batch is refused everything after it; the one for dead letters is not.
- The bootstrap hides why it failed behind "unable to bootstrap"; `preflight` finds the reason.
"""

from aiokafka import TopicPartition

from streamer.kafka.brokers import Brokers
from streamer.kafka.cluster import create_topics, missing_topics, preflight, retention_seconds
from streamer.kafka.group_positions import CommitResult, StoredPosition
from streamer.kafka.producer import DeadLetterProducer, MessageTooLargeError
from streamer.kafka.source import PollError, PositionsGoneError, Source

__all__ = [
    "Brokers",
    "CommitResult",
    "DeadLetterProducer",
    "MessageTooLargeError",
    "PollError",
    "PositionsGoneError",
    "Source",
    "StoredPosition",
    "TopicPartition",
    "create_topics",
    "missing_topics",
    "preflight",
    "retention_seconds",
]
