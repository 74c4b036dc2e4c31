"""Reads records, stores positions, writes dead letters. This package alone uses the Kafka client.

The client is asyncio only and its group protocol is eager: at every rebalance all partitions are revoked, and each one
starts again from its committed position. Traps of the client that this package works around, each one measured or read
in the client's source:

- If a deserialiser raises, records of other partitions are lost. We use none: values stay bytes.
- One record or batch that it cannot read raises out of ``getmany`` without saying where it is, and drops what was
  drained with it. `streamer.kafka.unreadable` finds it, reads it tolerantly, or gives it up.
- ``getmany`` with an empty selection means *all* partitions; `Source.poll` never passes one by accident.
- An assignment is in force before the callback is called, so what is read across it is dropped and read again.
- No heartbeats are sent while the assignment callback runs. So it only notes the assignment; state is restored later.
- A join ends after the request timeout, which is therefore longer than the rebalance timeout.
- ``commit`` retries without end, and once its caller has stopped waiting, its error is lost. Here every commit has a
  timeout, and every result has a name.
- A start that is cancelled while it asks for the cluster's layout forgets that connection; `streamer.kafka.starting`
  lets it finish.
- Closing a client swallows a cancellation of its caller; `streamer.kafka.closing` raises it again.
- After one rejected batch, everything that an idempotent producer writes is rejected. That of dead letters is not
  idempotent; `streamer.kafka.publisher` replaces its own after any failure.
- Questions about several partitions are answered when all of them can be; `streamer.kafka.log_bounds` asks each leader
  by itself. A start that cannot see one topic of several fails, and a topic whose committed positions may not be asked
  stops every fetch from its broker: `streamer.kafka.adjusting` lets neither happen.
- An exception during a login that is not the client's own ends its reading for good, a rejected bearer token counts as
  accepted, and a password is kept for as long as a client lives; `streamer.kafka.login`. So are certificates;
  `streamer.kafka.tls`.
- ``end_offsets`` of a consumer of committed records is the last stable offset, and one partition without a leader keeps
  all of them unknown; `streamer.kafka.log_ends` asks for both ends, and for each partition alone.
- It goes to its bootstrap servers once. When none of the brokers that it has heard of answers, it asks nobody else;
  `streamer.kafka.finding` asks the bootstrap servers again.
- "Unable to bootstrap" hides why it failed; `preflight` finds the reason.
"""

from aiokafka import TopicPartition

from streamer.kafka.brokers import Brokers
from streamer.kafka.cluster import create_topics, describe_topics, missing_topics, preflight
from streamer.kafka.group_positions import CommitResult, StoredPosition
from streamer.kafka.log_ends import EndsAnswer
from streamer.kafka.ordered_producer import FencedError, OrderedProducer
from streamer.kafka.poll_errors import DamagedError, LeftOutError, PollError, PositionsGoneError
from streamer.kafka.producer import DeadLetterProducer, RefusedWriteError
from streamer.kafka.publisher import Publisher
from streamer.kafka.receipt_topic import ReceiptTopic
from streamer.kafka.sender import Place, Sender
from streamer.kafka.source import Source
from streamer.kafka.topic_follower import TopicFollower
from streamer.kafka.unreadable import Salvaged

__all__ = [
    "Brokers",
    "CommitResult",
    "DamagedError",
    "DeadLetterProducer",
    "EndsAnswer",
    "FencedError",
    "LeftOutError",
    "OrderedProducer",
    "Place",
    "PollError",
    "PositionsGoneError",
    "Publisher",
    "ReceiptTopic",
    "RefusedWriteError",
    "Salvaged",
    "Sender",
    "Source",
    "StoredPosition",
    "TopicFollower",
    "TopicPartition",
    "create_topics",
    "describe_topics",
    "missing_topics",
    "preflight",
]
