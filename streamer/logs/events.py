"""The catalogue of log events: every line that streamer writes of its own accord is one of these.

Names are ``noun.verb`` and a contract, as are the levels: people count, group and alert by them. ``error`` means that a
person is needed or that a record was dead-lettered; a retry is at most a ``warning``. A text says what happened and to
which thing, whether data is at risk, and what to do next. docs/log-events.md is made from this catalogue.
"""

import enum
import logging
from typing import Final

from streamer.logs.fault import Fault

DEBUG: Final = logging.DEBUG
INFO: Final = logging.INFO
WARNING: Final = logging.WARNING
ERROR: Final = logging.ERROR

_PARTITION: Final = ("integration", "topic", "partition")
_REQUEST: Final = ("integration", "destination", "calls")
_TRACE: Final = ("trace_id", "span_id")


class Event(enum.Enum):
    """One kind of log line: its name, level, whose fault it is (None: nobody's), its meaning, its fields, what to do.

    ``fields`` are all the fields that such a line can have beside the common ones; see `streamer.logs.fields`.
    ``next_step`` is what a line says unless the caller gives a better one. ``max_lines`` is how many lines of one kind
    and subject are written in a window of `streamer.logs.folding`; the others are counted. None: each one is written.
    """

    SERVICE_STARTED = ("service.started", INFO, None, "The service started.", ("version", "commit"))
    SERVICE_STOPPED = ("service.stopped", INFO, None, "The service stopped.", ())
    SERVER_LISTENING = (
        "server.listening",
        INFO,
        None,
        "The HTTP server for health, metrics and status listens on this address.",
        ("host", "port"),
    )
    SERVER_SOCKET_UNAVAILABLE = (
        "server.socket_unavailable",
        WARNING,
        Fault.SET_UP,
        "The Unix socket in state_dir cannot be used. Events are delivered; commands on this machine ask over HTTP.",
        ("detail",),
        "Do what the detail says: a shorter state_dir, the right to write there, or no second process that uses it.",
    )
    SERVER_TOKEN_UNREADABLE = (
        "server.token_unreadable",
        ERROR,
        Fault.SET_UP,
        (
            "The token of the HTTP server cannot be read. The last one counts; without one, /status and /metrics answer"
            " 503. Delivery goes on. This is logged once."
        ),
        ("detail",),
        "Have the file written again. streamer reads it when it changes; no restart is needed.",
    )
    LOG_LEVEL_CHANGED = (
        "log.level_changed",
        INFO,
        None,
        "A signal changed the level of the log: SIGUSR1 to debug, SIGUSR2 back to log.level. Written at any level.",
        ("written_from",),
    )
    CONFIG_LOADED = ("config.loaded", INFO, None, "The configuration was loaded and is in use.", ("config_sha256",))
    SUMMARY = (
        "service.summarised",
        INFO,
        None,
        (
            "What happened to the integration's records since its last such line, and how it stands. At most once a"
            " minute, and at the end; not while no record comes or waits and nothing changes. Totals are in /status."
        ),
        (
            *("integration", "destination", "destination_state", "limited_by", "lag", "lag_seconds"),
            *("drain_eta_seconds", "silent_seconds", "seconds", "consumed_per_second", "settled_per_second"),
            *("delivered", "duplicate", "filtered", "dead_lettered", "dead_letter_reasons", "handed_back", "in_flight"),
        ),
    )

    TRACES_STARTED = (
        "traces.started",
        INFO,
        None,
        "Traces are on, and are sent to this address; the variables OTEL_* say so.",
        ("endpoint",),
    )
    TRACES_MISCONFIGURED = (
        "traces.misconfigured",
        WARNING,
        Fault.SET_UP,
        "The variables OTEL_* cannot be followed as they are: detail says what streamer does. Events are delivered.",
        ("detail",),
        "Correct the variables and restart streamer. docs/tracing.md lists the ones that count.",
    )
    TRACES_LOST = (
        "traces.lost",
        WARNING,
        Fault.SET_UP,
        "Spans could not be sent to the collector of traces and are lost. Delivery is not affected.",
        ("detail", "spans"),
        "Check the collector and OTEL_EXPORTER_OTLP_ENDPOINT. No restart is needed: streamer keeps sending new spans.",
        1,
    )
    TRACES_RESUMED = (
        "traces.resumed",
        INFO,
        None,
        "The collector of traces takes spans again.",
        ("spans",),
        "",
        2,
    )

    KAFKA_UNAVAILABLE = (
        "kafka.unavailable",
        WARNING,
        Fault.KAFKA,
        "The brokers cannot be reached or reject the connection. streamer keeps trying; records wait on Kafka.",
        ("integration", "detail", "wait_seconds", "silent_seconds", "failures"),
        "Do what the detail says. If that does not help, check the brokers, kafka.bootstrap_servers, and the network.",
        1,
    )
    KAFKA_RECOVERED = ("kafka.recovered", INFO, None, "The brokers answer again.", ("integration",), "", 2)
    KAFKA_CREDENTIALS_MISSING = (
        "kafka.credentials_missing",
        WARNING,
        Fault.SET_UP,
        "A password, token or certificate for the brokers cannot be read. streamer uses the last one, if it is valid.",
        ("detail",),
        "Have the file written again. streamer reads it for each connection to a broker; no restart is needed.",
        1,
    )
    KAFKA_CREDENTIALS_REJECTED = (
        "kafka.credentials_rejected",
        ERROR,
        Fault.SET_UP,
        "A broker rejected the credentials. streamer keeps trying; records wait on Kafka.",
        ("detail",),
        "Do what the detail says. streamer reads files of credentials again for each connection; no restart is needed.",
        1,
    )
    KAFKA_CREDENTIALS_RECOVERED = (
        "kafka.credentials_recovered",
        INFO,
        None,
        "The credentials for the brokers are usable again.",
        (),
        "",
        2,
    )
    TRANSACTION_OPEN = (
        "transaction.open",
        WARNING,
        Fault.KAFKA,
        (
            "An open transaction keeps partitions from being read: the brokers hand out nothing from its first record"
            " on before it ends. Their records wait on Kafka; none is lost. The line names one of them."
        ),
        (*_PARTITION, "offset", "high_watermark", "partitions"),
        (
            "Find its producer with kafka-transactions.sh describe-producers. It should commit or abort; otherwise the"
            " brokers abort it after the producer's transaction.timeout.ms."
        ),
        1,
    )
    TOPICS_MISSING = (
        "topics.missing",
        ERROR,
        Fault.SET_UP,
        "Topics in the configuration do not exist, or streamer has no right to see them; detail says what is read.",
        ("integration", "detail"),
        "Create the topics or grant READ on them. kafka.create_topics: true makes streamer create dead-letter topics.",
        1,
    )
    TOPICS_FOUND = (
        "topics.found",
        INFO,
        None,
        "Topics that were missing exist now, and are read.",
        ("integration", "detail"),
        "",
        2,
    )
    TOPIC_CREATED = (
        "topic.created",
        INFO,
        None,
        "streamer created a missing dead-letter topic (kafka.create_topics); detail lists its settings.",
        ("integration", "dead_letter_topic", "detail"),
    )
    PARTITION_ASSIGNED = (
        "partition.assigned",
        INFO,
        None,
        "The consumer group assigned the partition to this instance.",
        (*_PARTITION, "position"),
        "",
        4,
    )
    PARTITION_REVOKED = (
        "partition.revoked",
        INFO,
        None,
        "The partition no longer belongs to this instance. Its next owner reads the open records again.",
        (*_PARTITION, "handed_back"),
        "",
        4,
    )
    POLL_FAILED = (
        "poll.failed",
        WARNING,
        Fault.KAFKA,
        "Reading from Kafka failed. streamer reads the same records again; none is lost.",
        ("integration", "detail"),
        "No action is needed unless this repeats. If it repeats, check the logs of the brokers.",
        1,
    )
    PARTITION_LEFT_OUT = (
        "partition.left_out",
        ERROR,
        Fault.KAFKA,
        "The partition cannot be read now. Its records wait on Kafka; the other partitions are read as before.",
        (*_PARTITION, "reason", "detail"),
        "Remove the cause that detail names. streamer tries the partition again after 1, 2, 4 .. 60 seconds.",
        1,
    )
    PARTITION_RESUMED = (
        "partition.resumed",
        INFO,
        None,
        "The partition that was left out is read again.",
        _PARTITION,
        "",
        2,
    )
    RECORDS_REREAD = (
        "records.reread",
        WARNING,
        None,
        "The Kafka client could not read records, and streamer could: a header name is not UTF-8. None is lost.",
        (*_PARTITION, "offset", "records"),
        "No action is needed. Have the producer write header names in UTF-8: reading such records is slower.",
        1,
    )
    RECORDS_UNREADABLE = (
        "records.unreadable",
        ERROR,
        Fault.KAFKA,
        "Records cannot be read from the broker, twice. Each one becomes a dead letter without a value.",
        (*_PARTITION, "offset", "records", "detail"),
        "Look for damage on the broker's disk; a replica may have the records. Have the producer send them again.",
    )
    OFFSETS_COMMITTED = (
        "offsets.committed",
        DEBUG,
        None,
        "The brokers stored new positions.",
        ("integration", "partitions"),
    )
    OFFSETS_COMMIT_FAILED = (
        "offsets.commit_failed",
        WARNING,
        Fault.KAFKA,
        "The brokers did not store the positions. The next commit replaces this one; no record is lost.",
        ("integration", "error_type"),
        "No action is needed unless this repeats: after a restart, streamer reads again what is not committed.",
        1,
    )
    OFFSETS_RESET = (
        "offsets.reset",
        ERROR,
        Fault.KAFKA,
        (
            "The stored position does not fit the partition: the topic was recreated or truncated."
            " streamer reads the partition from its start; records may be delivered twice, none is skipped."
        ),
        (*_PARTITION, "stored", "high_watermark", "start"),
        "Check that the topic was recreated or truncated on purpose.",
    )
    RECORDS_LOST = (
        "records.lost",
        ERROR,
        Fault.SET_UP,
        "The topic's retention deleted records before streamer read them. These records are lost.",
        (*_PARTITION, "records", "reason"),
        "Raise retention.ms of the topic, or run more instances of streamer.",
    )

    BATCH_DELIVERED = (
        "batch.delivered",
        DEBUG,
        None,
        "The destination accepted a batch.",
        (*_REQUEST, "duration_seconds", *_TRACE),
    )
    BATCH_RETRYING = (
        "batch.retrying",
        WARNING,
        Fault.UNHAPPY,
        "A request failed. streamer sends its calls again later.",
        (*_REQUEST, "attempt", "error_type", "wait_seconds", *_TRACE),
        "No action is needed.",
        1,
    )
    BATCH_SPLIT = (
        "batch.split",
        WARNING,
        Fault.REFUSED,
        "The destination refused a batch. streamer sends it again in parts, to find the calls at fault.",
        (*_REQUEST, "status", *_TRACE),
        "No action is needed: the calls at fault will be dead-lettered.",
        1,
    )
    EVENT_DEAD_LETTERED = (
        "event.dead_lettered",
        ERROR,
        Fault.REFUSED,
        (
            "Records were written to the dead-letter topic, with the reason in their headers. The first one with a"
            " reason and detail is logged at once. The others are a line after 1, 2, 4 .. 16 minutes, with their number"
            " and the place of their first one."
        ),
        (*_PARTITION, "offset", "reason", "detail", "dead_letter_topic", "message_id", "records", "share"),
        "Correct what detail says, together with the producer. Then run streamer dlq redrive: no record is lost.",
    )
    EVENT_DUPLICATE = (
        "event.duplicate",
        DEBUG,
        None,
        "The messageIds of these records were delivered before. streamer does not send them again.",
        ("topic", "partition", "records"),
    )
    TOPIC_FILTERED_OUT = (
        "topic.filtered_out",
        WARNING,
        Fault.SET_UP,
        "The latest 200 or more records of the topic were all filtered as not_in_stream. Nothing of it is delivered.",
        ("integration", "topic", "records"),
        (
            "If the topic should hold events of other types, check the integration's dialect and its settings"
            " (for Sprig: sprig.answer_event_types and sprig.lifecycle_event_types). The filtered records are still"
            " on Kafka: to read them again, stop streamer and set the group's positions back."
        ),
        2,
    )
    TOPIC_RESUMED = (
        "topic.resumed",
        INFO,
        None,
        "The topic has records again that are not filtered.",
        ("integration", "topic"),
        "",
        2,
    )
    RECORD_WARNING = (
        "record.warned",
        WARNING,
        Fault.REFUSED,
        "Records were accepted although they differ from their platform's documentation.",
        ("integration", "reason", "records"),
        "Tell the producer.",
        1,
    )
    DEAD_LETTER_FAILED = (
        "dead_letter.failed",
        ERROR,
        Fault.KAFKA,
        "A dead letter could not be written. Its record stays open, and streamer keeps trying.",
        (*_PARTITION, "offset", "dead_letter_topic", "detail"),
        "Check that the dead-letter topic exists, that streamer may write to it, and its max.message.bytes.",
        1,
    )

    DESTINATION_HELD = (
        "destination.held",
        ERROR,
        Fault.SET_UP,
        (
            "The destination's set-up is wrong. streamer sends only a probe, at most 30 s apart, and nothing at all"
            " while the write key is known to be wrong; records wait on Kafka."
        ),
        ("destination", "error_type"),
        "Check the destination's write_key or api_key, region and endpoint.",
        2,
    )
    DESTINATION_BACKING_OFF = (
        "destination.backing_off",
        WARNING,
        Fault.UNHAPPY,
        "The destination fails or asked streamer to wait. streamer sends only probes; records wait on Kafka.",
        ("destination", "error_type"),
        "No action is needed: delivery resumes when the destination answers. If this lasts, ask who runs it.",
        2,
    )
    DESTINATION_RESUMED = (
        "destination.resumed",
        INFO,
        None,
        "The destination accepts calls again.",
        ("destination",),
        "",
        2,
    )
    DESTINATION_KEY_UNREADABLE = (
        "destination.key_unreadable",
        ERROR,
        Fault.SET_UP,
        "The write key or API key could not be read again. streamer uses the key that it read before.",
        ("destination", "detail"),
        "Check write_key_file or api_key_file.",
        1,
    )
    DESTINATION_KEY_UNVERIFIED = (
        "destination.key_unverified",
        WARNING,
        Fault.SET_UP,
        (
            "It cannot be found out whether the destination's write key exists. Calls are sent: Segment accepts unknown"
            " keys and drops the events. streamer asks again at least every 5 minutes, and logs this once."
        ),
        ("destination", "detail"),
        (
            "Check that streamer reaches settings_endpoint, which is https://cdn.segment.com unless it is set. Compare"
            " the write key with that of the source."
        ),
    )
    INTEGRATION_GUARDED = (
        "integration.guarded",
        ERROR,
        Fault.SET_UP,
        (
            "The mass guard stopped the integration: too many of its latest records would be dead letters."
            " Its records wait on Kafka."
        ),
        ("integration", "set_aside", "seen", "reason", "detail"),
        "Check the reasons of the integration's dead letters. The most common cause is a topic with another dialect.",
    )

    GUARD_RELEASED = (
        "guard.released",
        INFO,
        None,
        "streamer was started with --release-guard: the integration runs, whatever the mass guard did before.",
        ("integration",),
    )

    RECEIPTS_SET_ASIDE = (
        "receipts.set_aside",
        WARNING,
        Fault.SET_UP,
        "The receipts on disk could not be trusted and were set aside. No event is lost; some may be sent twice.",
        ("integration", "detail"),
        "No action is needed: Segment drops events whose messageId it accepted in the last 24 hours.",
    )
    RECEIPTS_SHRUNK = (
        "receipts.shrunk",
        WARNING,
        Fault.SET_UP,
        "The older receipts were deleted early to make room. No event is lost; some may be sent twice.",
        ("integration", "detail"),
        "Free space on the disk of state_dir if it is full; otherwise raise receipts.max_bytes.",
        1,
    )
    RECEIPTS_UNUSABLE = (
        "receipts.unusable",
        ERROR,
        Fault.SET_UP,
        "The receipts cannot be used until the next start. No event is lost; some may be sent twice.",
        ("integration", "detail"),
        "Check state_dir: it must be on a local disk with free space, and streamer must be allowed to write to it.",
    )
    STATE_UNWRITABLE = (
        "state.unwritable",
        ERROR,
        Fault.SET_UP,
        "state_dir cannot be written to: a restart will forget that the mass guard stopped the integration.",
        ("detail",),
        "Check state_dir: it must be on a local disk with free space, and streamer must be allowed to write to it.",
        1,
    )

    CALL_APPLIED = (
        "call.applied",
        DEBUG,
        None,
        (
            "A webhook's call was applied to the directory of users. The level is `info` with inbound.debug. The line"
            " has no trait, property, e-mail address or event name."
        ),
        (
            *("action", "webhook", "message_id", "user_id", "anonymous_id", "previous_id", "username", "matched_by"),
            *("linked", "values_written", "remarks", "environment"),
        ),
    )
    CALL_IGNORED = (
        "call.ignored",
        DEBUG,
        None,
        "A webhook's call changes nothing, by the rule that reason names.",
        ("webhook", "message_id", "reason", "remarks"),
    )
    CALL_DUPLICATE = (
        "call.duplicate",
        DEBUG,
        None,
        "A call with this messageId was applied or ignored before. This one changes nothing.",
        ("webhook", "message_id"),
    )
    CALL_DEAD_LETTERED = (
        "call.dead_lettered",
        ERROR,
        Fault.REFUSED,
        (
            "Calls of webhooks were written to the dead-letter topic, with the reason in their headers. The first one"
            " with a reason and detail is logged at once. The others are a line after 1, 2, 4 .. 16 minutes, with their"
            " number and the place of their first one."
        ),
        (*_PARTITION, "offset", "reason", "detail", "dead_letter_topic", "message_id", "records", "share"),
        "Do what detail says. A call whose reason is internal_error is a bug of streamer's: report the line.",
    )
    DIRECTORY_UNAVAILABLE = (
        "directory.unavailable",
        WARNING,
        Fault.SET_UP,
        (
            "The database of the directory of users cannot be used. Calls wait on Kafka; none is lost or dead-lettered."
            " streamer tries again after 1, 2, 4 .. 30 seconds."
        ),
        ("reason", "detail"),
        "Do what detail says. No restart is needed.",
        2,
    )
    DIRECTORY_RECOVERED = (
        "directory.recovered",
        INFO,
        None,
        "The database of the directory of users can be used again.",
        ("away_seconds",),
        "",
        2,
    )
    IDENTIFICATION_SUSPENDED = (
        "identification.suspended",
        WARNING,
        Fault.SET_UP,
        (
            "The directory does not say, or not soon enough, which users devices have. Integrations with"
            " identify_devices deliver events that have only an anonymous id without a userId. No event waits or is"
            " lost. streamer asks again after 5 seconds."
        ),
        ("reason", "detail"),
        "Do what detail says. No restart is needed.",
        1,
    )
    IDENTIFICATION_RESUMED = (
        "identification.resumed",
        INFO,
        None,
        "The directory says again which users devices have.",
        ("away_seconds",),
        2,
    )
    OUTBOX_STALLED = (
        "outbox.stalled",
        WARNING,
        Fault.KAFKA,
        (
            "Profiles and triggers wait in the outbox for more than a minute, because they cannot be published."
            " None is lost; calls are applied as before."
        ),
        ("records", "waiting_seconds", "detail"),
        "Do what detail says. Without a detail, another instance publishes: look at its log.",
        1,
    )
    OUTBOX_SKIPPED = (
        "outbox.skipped",
        ERROR,
        Fault.SET_UP,
        (
            "The brokers refuse a profile or trigger for good, so streamer has left it out. The directory itself is in"
            " order; who reads the topic has an older profile of this user, or misses one trigger."
        ),
        ("topic", "reason", "size"),
        "Raise max.message.bytes of the topic. The user's next change publishes a profile again.",
        100,
    )

    DRAIN_STARTED = (
        "drain.started",
        INFO,
        None,
        "The integration stops: it reads nothing more and waits for its requests in flight.",
        ("integration", "requests"),
    )
    DRAIN_FINISHED = (
        "drain.finished",
        INFO,
        None,
        "The integration stopped. Everything that was settled is committed; the open records will be read again.",
        ("integration", "handed_back"),
    )
    DRAIN_INCOMPLETE = (
        "drain.incomplete",
        WARNING,
        Fault.UNHAPPY,
        "Requests got no answer in time. Their records stay open and will be read again; none is lost.",
        ("integration", "requests"),
        "No action is needed: Segment drops what it received twice, by its messageId.",
    )
    PIPELINE_RESTARTED = (
        "pipeline.restarted",
        ERROR,
        Fault.OURS,
        "The integration failed and restarts from its committed positions. Open records will be read again.",
        ("integration", "error_type", "stack", "wait_seconds"),
        "Report this line as a bug.",
        2,
    )
    TASK_FAILED = (
        "task.failed",
        ERROR,
        Fault.OURS,
        "A background task failed.",
        ("logger", "detail", "error_type", "stack"),
        "Report this line as a bug.",
        1,
    )
    OBSERVER_FAILED = (
        "observer.failed",
        ERROR,
        Fault.OURS,
        "Something could not be found out or shown that only informs about the service. Delivery goes on as before.",
        ("integration", "reason", "error_type", "stack"),
        "Report this line as a bug.",
        1,
    )
    TASK_STALLED = (
        "task.stalled",
        ERROR,
        Fault.OURS,
        (
            "A part of the integration made no progress for 2 minutes (5 in a rebalance)."
            " The integration restarts with new connections; open records will be read again."
        ),
        ("integration", "reason"),
        (
            "No action is needed unless this repeats. After 3 consecutive stalls /livez fails:"
            " restart streamer, which is safe, and report this line as a bug."
        ),
        1,
    )

    WEBHOOKS_LISTENING = (
        "webhooks.listening",
        INFO,
        None,
        "Segment's webhooks are received on this address.",
        ("host", "port"),
    )
    WEBHOOK_ACCEPTED = (
        "webhook.accepted",
        DEBUG,
        None,
        "The brokers confirmed a record of each call of a request, and the request was answered with 200.",
        ("webhook", "calls", "duration_seconds"),
    )
    WEBHOOK_REJECTED = (
        "webhook.rejected",
        WARNING,
        Fault.SET_UP,
        (
            "A webhook request was not accepted, for this reason. After 408 and 503 Segment sends the calls again, for"
            " four hours; after any other status it does not."
        ),
        ("webhook", "reason", "status", "detail"),
        "Do what the line says for its reason.",
        1,
    )
    WEBHOOK_SECRETS_UNREADABLE = (
        "webhook.secrets_unreadable",
        ERROR,
        Fault.SET_UP,
        "The secrets of a webhook changed and cannot be read. streamer uses the last ones. This is logged once.",
        ("webhook", "detail"),
        "Have the file written again. streamer reads it when it changes; no restart is needed.",
    )
    WEBHOOKS_UNANSWERED = (
        "webhooks.unanswered",
        WARNING,
        Fault.UNHAPPY,
        "Webhook requests could not be answered before the service stopped. Segment sends their calls again.",
        ("requests",),
        "No action is needed.",
    )
    CALL_TOO_LARGE = (
        "call.too_large",
        ERROR,
        Fault.REFUSED,
        "A call of a batch is too large for Kafka: it becomes a dead letter without its value, with size and digest.",
        ("webhook", "dead_letter_topic", "detail"),
        "Find out from the sender why the call is so large. If it must be, raise inbound.limits.max_call_bytes.",
        1,
    )
    DIRECTORY_MIGRATED = (
        "directory.migrated",
        INFO,
        None,
        "The tables of the directory were created or updated.",
        ("version_before", "version_after"),
    )
    USERS_IMPORTED = (
        "users.imported",
        INFO,
        None,
        "Users were imported into the directory.",
        ("users", "devices"),
    )
    USER_FORGOTTEN = (
        "user.forgotten",
        INFO,
        None,
        "A user was deleted from the directory by a command. The line does not say which one.",
        (),
    )
    LIBRARY_WARNED = (
        "library.warned",
        WARNING,
        None,
        "A library logged a warning or an error.",
        ("logger", "detail", "error_type"),
        "",
        1,
    )
    LIBRARY_SAID = (
        "library.said",
        DEBUG,
        None,
        "A library logged a warning or an error about something that a line of streamer's says as well.",
        ("logger", "detail", "error_type"),
        "",
        1,
    )
    LINES_DROPPED = (
        "log.lines_dropped",
        WARNING,
        Fault.SET_UP,
        "Log lines were dropped, because standard output was read too slowly. No event is affected.",
        ("lines",),
        "Check the program that reads streamer's standard output.",
    )

    def __init__(
        self,
        event_name: str,
        level: int,
        fault: Fault | None,
        meaning: str,
        fields: tuple[str, ...],
        next_step: str = "",
        max_lines: int | None = None,
    ) -> None:
        self.event_name: Final = event_name
        self.level: Final = level
        self.fault: Final = fault
        self.meaning: Final = meaning
        self.fields: Final = fields
        self.next_step: Final = next_step
        self.max_lines: Final = max_lines
