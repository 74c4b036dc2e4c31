"""The catalogue of log events: every line that streamer writes of its own accord is one of these.

Names are ``noun.verb`` and a contract, as are the levels: people count, group and alert by them. ``error`` means that a
person is needed or that an event was dead-lettered; a retry is at most a ``warning``.
"""

import enum
import logging
from typing import Final, NamedTuple

DEBUG: Final = logging.DEBUG
INFO: Final = logging.INFO
WARNING: Final = logging.WARNING
ERROR: Final = logging.ERROR


class Fault(enum.StrEnum):
    """Whose fault a line tells of."""

    UNHAPPY = "unhappy"
    """The destination's; it passes by itself."""
    SET_UP = "set_up"
    """The configuration's, or of something that only an operator can set right."""
    REFUSED = "refused"
    """The event's: no attempt will make it acceptable."""
    OURS = "ours"
    """A bug of streamer's."""
    KAFKA = "kafka"
    """The brokers', or of the network to them."""


class FaultLine(NamedTuple):
    """One line about a fault, kept for whoever looks at the status later."""

    at: float
    """Seconds since the epoch."""
    event_name: str
    subject: str
    """The integration or destination; "" when it is about neither."""
    reason: str
    """What went wrong: an error's type, a reason from a closed list, or a text without values."""
    next_step: str


class Event(enum.Enum):
    """One kind of log line: its name, level, whose fault it tells of (None: nobody's), what it means, what to do.

    ``next_step`` is what a line says unless the caller knows better. ``max_lines`` is how many lines of one kind and
    subject are written in `streamer.logs.FOLD_SECONDS`; the others are counted. None: each one is written.
    """

    SERVICE_STARTED = ("service.started", INFO, None, "The service runs.")
    SERVICE_STOPPED = ("service.stopped", INFO, None, "The service has ended.")
    SERVER_LISTENING = ("server.listening", INFO, None, "Health, metrics and status are served at this address.")
    CONFIG_LOADED = ("config.loaded", INFO, None, "The configuration is in force.")
    SUMMARY = ("service.summarised", INFO, None, "What has happened since the last line of this kind.")

    KAFKA_UNAVAILABLE = (
        "kafka.unavailable",
        WARNING,
        Fault.KAFKA,
        "The brokers cannot be reached or do not answer; it is tried again.",
        "Check the brokers, kafka.bootstrap_servers and the way there. Records wait on Kafka.",
        1,
    )
    KAFKA_RECOVERED = ("kafka.recovered", INFO, None, "The brokers answer again.")
    TOPICS_MISSING = (
        "topics.missing",
        ERROR,
        Fault.SET_UP,
        "Topics that the configuration names do not exist; not ready until they do.",
        "Create them, or set kafka.create_topics: true for dead-letter topics.",
        1,
    )
    PARTITION_ASSIGNED = ("partition.assigned", INFO, None, "The partition was given to this instance.")
    PARTITION_REVOKED = (
        "partition.revoked",
        INFO,
        None,
        "The partition was taken from this instance; handed_back records will be read again by its next owner.",
    )
    POLL_FAILED = (
        "poll.failed",
        WARNING,
        Fault.KAFKA,
        "Reading raised an error.",
        "Nothing to do unless it goes on: what was not taken in is read again.",
        1,
    )
    PARTITION_LEFT_OUT = (
        "partition.left_out",
        ERROR,
        Fault.KAFKA,
        "This partition cannot be read; the others are.",
        "Look at its next records with another consumer; it is tried again after a rebalance or a restart.",
        1,
    )
    OFFSETS_COMMITTED = ("offsets.committed", DEBUG, None, "Positions were stored by the brokers.")
    OFFSETS_COMMIT_FAILED = (
        "offsets.commit_failed",
        WARNING,
        Fault.KAFKA,
        "Positions were not stored; a later commit replaces this one.",
        "Nothing to do unless it goes on: a restart would deliver again what is not committed.",
        1,
    )
    OFFSETS_RESET = (
        "offsets.reset",
        ERROR,
        Fault.KAFKA,
        "The stored position does not fit the topic, which was recreated or truncated; it is read from its start.",
        "Make sure that the topic was meant to change. Repeats are possible, skips are not.",
    )
    RECORDS_LOST = (
        "records.lost",
        ERROR,
        Fault.SET_UP,
        "The topic's retention deleted records before they were read.",
        "Lengthen retention.ms, or run more instances.",
    )

    BATCH_DELIVERED = ("batch.delivered", DEBUG, None, "The destination took a batch.")
    BATCH_RETRYING = (
        "batch.retrying",
        WARNING,
        Fault.UNHAPPY,
        "An attempt failed; its calls go again.",
        "Nothing to do.",
        1,
    )
    BATCH_SPLIT = (
        "batch.split",
        WARNING,
        Fault.REFUSED,
        "The destination refused a batch; it goes again in parts, to find the calls at fault and deliver the others.",
        "Nothing to do; the calls at fault will be dead-lettered.",
        1,
    )
    EVENT_DEAD_LETTERED = (
        "event.dead_lettered",
        ERROR,
        Fault.REFUSED,
        "The event was set aside in the dead-letter topic, with its reason in the headers.",
        "Tell its producer, correct it, and send it again.",
        100,
    )
    EVENT_DUPLICATE = (
        "event.duplicate",
        DEBUG,
        None,
        "The messageIds of records were delivered before; nothing is sent.",
    )
    RECORD_WARNING = (
        "record.warned",
        WARNING,
        Fault.REFUSED,
        "A record was taken although it departs from its platform's documents.",
        "Tell its producer.",
        1,
    )
    DEAD_LETTER_FAILED = (
        "dead_letter.failed",
        ERROR,
        Fault.KAFKA,
        "A dead letter could not be written; its record stays open and the writing is tried again.",
        "Check that the dead-letter topic exists and may be written to.",
        1,
    )

    DESTINATION_HELD = (
        "destination.held",
        ERROR,
        Fault.SET_UP,
        "Nothing is delivered to this destination until its set-up is cured; a probe goes out every 30 seconds.",
        "Check write key, region or endpoint. Records wait on Kafka.",
    )
    DESTINATION_BACKING_OFF = (
        "destination.backing_off",
        WARNING,
        Fault.UNHAPPY,
        "The destination fails or asks to wait; only probes are sent until it answers.",
        "Nothing to do: records wait on Kafka, and delivery goes on by itself.",
    )
    DESTINATION_RESUMED = ("destination.resumed", INFO, None, "The destination takes calls again.")
    DESTINATION_KEY_UNREADABLE = (
        "destination.key_unreadable",
        ERROR,
        Fault.SET_UP,
        "The write key could not be read again; the one read before is used.",
        "Check write_key_file.",
        1,
    )
    INTEGRATION_GUARDED = (
        "integration.guarded",
        ERROR,
        Fault.SET_UP,
        "Too many of the last records would be dead letters, so the integration holds itself.",
        "See the reasons of its dead letters; most often the topic holds another dialect.",
    )

    RECEIPTS_SET_ASIDE = (
        "receipts.set_aside",
        WARNING,
        Fault.SET_UP,
        "The store of delivered messageIds could not be trusted; a new one was begun.",
        "Nothing to do: until the window has passed, Segment's own memory of messageIds keeps repeats away.",
    )
    RECEIPTS_SHRUNK = (
        "receipts.shrunk",
        WARNING,
        Fault.SET_UP,
        "The store of delivered messageIds was full; older ones were forgotten before their time.",
        "Make room on the disk of state_dir if that is full; else raise receipts.max_bytes, or lower receipts.window.",
        1,
    )
    RECEIPTS_UNUSABLE = (
        "receipts.unusable",
        ERROR,
        Fault.SET_UP,
        "The store of delivered messageIds cannot be used; nothing is remembered until the next start.",
        "Check state_dir: a local disk with room, that this user may write to.",
    )
    STATE_UNWRITABLE = (
        "state.unwritable",
        ERROR,
        Fault.SET_UP,
        "A note could not be written to state_dir; a restart will not know of it.",
        "Check state_dir: a local disk with room, that this user may write to.",
        1,
    )

    DRAIN_STARTED = ("drain.started", INFO, None, "Nothing new is taken; requests that are out may end.")
    DRAIN_FINISHED = ("drain.finished", INFO, None, "Everything that had ended is committed.")
    DRAIN_INCOMPLETE = (
        "drain.incomplete",
        WARNING,
        Fault.UNHAPPY,
        "Requests had no answer in time; their events stay open.",
        "Nothing to do: their records are read again, and Segment knows their messageIds.",
    )
    PIPELINE_RESTARTED = (
        "pipeline.restarted",
        ERROR,
        Fault.OURS,
        "An integration failed and starts again from its committed positions; the others were not touched.",
        "Report it with this line. What was open is read again.",
    )
    TASK_FAILED = ("task.failed", ERROR, Fault.OURS, "A task ended with an error.", "Report it with this line.", 1)
    TASK_STALLED = (
        "task.stalled",
        ERROR,
        Fault.OURS,
        "Something that should move has stood still for too long; the integration starts again with new connections.",
        "Nothing to do unless it comes back: then liveness fails, and a restart is safe. Report it with this line.",
        1,
    )
    LIBRARY_WARNED = ("library.warned", WARNING, None, "A library has a warning.", "", 1)
    LINES_DROPPED = (
        "log.lines_dropped",
        WARNING,
        Fault.SET_UP,
        "Log lines were dropped because nobody took them from standard output fast enough.",
        "Check whatever reads the log.",
    )

    def __init__(
        self,
        event_name: str,
        level: int,
        fault: Fault | None,
        meaning: str,
        next_step: str = "",
        max_lines: int | None = None,
    ) -> None:
        self.event_name: Final = event_name
        self.level: Final = level
        self.fault: Final = fault
        self.meaning: Final = meaning
        self.next_step: Final = next_step
        self.max_lines: Final = max_lines
