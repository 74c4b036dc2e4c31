"""How long the parts of the service wait: production runs with these defaults, tests pass shorter ones.

What a user may choose is a setting (`streamer.settings`). What is here is not: each value follows from what the
brokers, their client or the destination do.
"""

from dataclasses import dataclass

from streamer.core.delivery.key_watch import RECHECK_SECONDS
from streamer.core.delivery.probing import HELD_PROBE_SECONDS
from streamer.core.records.obstacles import MAX_RETRY_SECONDS, MIN_RETRY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """All waits, in seconds."""

    commit_every: float = 1.0
    """How often positions are committed."""
    commit_timeout: float = 5.0
    """Longest wait for one commit; a later one replaces it."""
    receipts_confirm: float = 2.0
    """Longest wait of a commit for the topic to have the receipts of what it commits."""
    receipts_write: float = 10.0
    """Longest wait for the confirmation of receipts that were written to their topic."""
    receipts_retry: float = 10.0
    """Longest wait before the topic of receipts is tried again; the first is 1 second or this, if shorter."""
    receipts_ask: float = 10.0
    """How often it is asked where that topic ends, and noted how far it was read."""
    receipts_stalled: float = 30.0
    """After so long without a record, although there are more, the reader of that topic connects anew."""
    receipts_flush: float = 1.0
    """Longest wait at shutdown for the receipts that are not written yet."""
    confirm_end: float = 10.0
    """How long a position must lie beyond the end of its partition before the topic counts as recreated."""
    connect_retry: float = 3.0
    """Wait between two attempts to reach the brokers and join the group, and between two looks for missing topics."""
    join: float = 120.0
    """Longest wait for an assignment after the brokers were reached; a rebalance of the others may be under way."""
    join_told: float = 15.0
    """After this long without an assignment the log says so."""
    poll: float = 0.5
    """Longest wait of one poll for records."""
    idle: float = 1.0
    """How often, while nothing may be read, the client is asked for errors and the brokers where to begin."""
    idle_after: float = 5.0
    """After this long without room the client is asked for errors. What it has fetched stays fetched."""
    gone_retry: float = 0.2
    """Wait after positions were gone, before the next poll."""
    look_every: float = 1.0
    """How often the client is asked whether partitions have lost their leader, their topic or our right."""
    left_out: float = MIN_RETRY_SECONDS
    """Wait before a partition that cannot be read is tried again; it doubles with each failure."""
    left_out_max: float = MAX_RETRY_SECONDS
    """Longest such wait."""
    failed_poll: float = 0.1
    """Half of the wait after the first failed poll; it doubles with each consecutive one, up to 5 seconds."""
    letter_timeout: float = 15.0
    """Longest wait for the confirmation of one dead letter: longer than the client itself tries."""
    letter_request_timeout: float = 7.0
    """After this time the client gives up a dead letter that was not sent, or, after as much again, not confirmed."""
    letter_backoff: float = 30.0
    """Longest wait after dead letters could not be written; the first wait is 1 second or this, if shorter."""
    flush: float = 5.0
    """Longest wait for dead letters at shutdown."""
    drain: float = 20.0
    """Longest wait for requests in flight at shutdown."""
    revoke_drain: float = 10.0
    """Longest wait for requests in flight when partitions are taken: every other member waits for this one."""
    ask_every: float = 3.0
    """Wait between two rounds of asking the brokers where the partitions end."""
    ask_timeout: float = 5.0
    """Longest wait for an answer to that."""
    preflight: float = 2.0
    """Longest attempt to find out, on a connection of its own, why no broker answers."""
    silent_after: float = 12.0
    """After so long without an answer nothing is known of the brokers: readiness fails, lag is unknown. Two rounds fit
    in, one of them without an answer; what watches `/readyz` learns of it within 15 seconds."""
    say_silent_after: float = 5.0
    """How long no broker must have answered before that is said; a connection that breaks is renewed at once."""
    say_silent_every: float = 60.0
    """How often it is said again while it lasts."""
    transaction_after: float = 10.0
    """How long an open transaction must keep a partition from being read before that is said and shown."""
    retention_every: float = 600.0
    """How often the brokers are asked how long topics keep their records."""
    members_every: float = 30.0
    """How often the brokers are asked who the members of the consumer group are."""
    watch_every: float = 10.0
    """How often the watchdog looks."""
    count_every: float = 60.0
    """How often the watchdog compares the open records with those that the parts have in hand."""
    stalled_after: float = 120.0
    """How long something that should move may make no progress."""
    rebalance: float = 300.0
    """How long a rebalance may take; the client lets no member read meanwhile."""
    restart_min: float = 1.0
    """Wait before a failed pipeline is started again; it doubles with each consecutive failure."""
    restart_max: float = 60.0
    """Longest such wait."""
    healthy_after: float = 600.0
    """A pipeline that ran this long is restarted after the shortest wait, and its stall counts as the first."""
    held_probe: float = HELD_PROBE_SECONDS
    """Longest wait before a probe of a held destination; the first is 1 second or this, if shorter."""
    key_check_every: float = RECHECK_SECONDS
    """How often it is asked whether a write key that was in order still is."""
    key_check_timeout: float = 5.0
    """Longest wait for one answer about a write key. At the start nothing is sent meanwhile."""
    directory_retry: float = 30.0
    """Longest wait before the directory is tried again after it could not be used; the first is 1 second or this, if
    shorter."""
    identify: float = 0.25
    """Longest wait for the users of the devices of one poll; without an answer, the events go as they are."""
    identify_rest: float = 5.0
    """How long the directory is not asked for users of devices after it failed or was slower than that."""
    directory_transaction: float = 60.0
    """Longest transaction in which calls are applied; the database itself gives up earlier."""
    relay_poll: float = 0.5
    """How often the relay looks for records to publish that another process has stored, or that it was not told of."""
    relay_retry: float = 30.0
    """Longest wait of the relay after a failure; the first is 1 second or this, if shorter."""
    relay_publish: float = 20.0
    """Longest wait of the relay for the confirmation of a group of records."""
    relay_request: float = 10.0
    """After this time the client gives up a request of the relay, and sends it again."""
    relay_transaction: float = 30.0
    """The brokers end a transaction of a relay that was frozen or killed after this time, if no other one has
    started: until then, who reads only committed records waits."""
    outbox_every: float = 5.0
    """How often it is looked how much waits in the outbox."""
    outbox_stalled: float = 60.0
    """So long a record may wait in the outbox before the log says so."""
    directory_count_every: float = 60.0
    """How often users and devices are counted."""
    directory_forget_every: float = 600.0
    """How often messageIds, deletion marks and devices that are too old are forgotten."""
    publish: float = 4.0
    """Longest wait for the brokers' confirmation of the calls of one webhook request: Segment waits 5 seconds."""
    publish_request_timeout: float = 3.0
    """How long the client waits for one answer about these calls: shorter, so that it can tell what went wrong."""
    publish_backoff: float = 2.0
    """Longest wait before a producer of calls that failed is replaced; the first wait is 0.1 seconds."""
    request_complete: float = 10.0
    """How long the headers and the body of a webhook request may take together."""
    secrets_every: float = 1.0
    """How often it is looked whether the file of a webhook's secrets has changed."""
    summary_every: float = 60.0
    """How often each integration logs its account."""
    directory_connect: float = 5.0
    """Longest attempt to connect to the directory's database, and longest wait for a free connection."""
    directory_lock: float = 10.0
    """Longest wait for another writer of the directory."""
    directory_statement: float = 30.0
    """Longest time for one statement on PostgreSQL."""
    directory_idle: float = 30.0
    """A transaction whose program does nothing for so long, as a frozen one, is ended by PostgreSQL."""
    directory_relay: float = 60.0
    """PostgreSQL takes the relay's lock from a program that does not confirm it for so long, as a frozen one."""


PRODUCTION = Timings()
