"""The fields of log lines: short names in code, the names that readers of logs know, and what each one says."""

from typing import Final, NamedTuple


class LogField(NamedTuple):
    """One field of log lines."""

    outside_name: str
    """Its name in the JSON line: OpenTelemetry's where there is one."""
    meaning: str
    """With the unit, if it has one."""
    ecs_name: str = ""
    """Its name in the Elastic Common Schema; "": it is a label there, under its short name."""


COMMON_FIELDS: Final = {
    "timestamp": "When the line was written: RFC 3339, in UTC.",
    "level": "`debug`, `info`, `warning` or `error`.",
    "severity_text": "The level under OpenTelemetry's name: `DEBUG`, `INFO`, `WARN` or `ERROR`.",
    "severity_number": "The level under OpenTelemetry's number: 5, 9, 13 or 17.",
    "event_name": "The name of the event.",
    "body": "What the event means: the first text of its section on this page.",
    "logger": "`streamer`, or the library that logged the line.",
    "service.name": "`streamer`, or what OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says.",
    "service.version": "streamer's version.",
    "service.instance.id": "Host name and process id, unless OTEL_RESOURCE_ATTRIBUTES names the instance.",
    "deployment.environment.name": "As OTEL_RESOURCE_ATTRIBUTES says; absent: it says nothing.",
    "messaging.system": "`kafka`, on lines about a topic, a record or a messageId.",
    "fault": "Whose fault it is. Only on lines about a fault, as are the next three.",
    "data_at_risk": "`yes` or `no`: whether events are lost.",
    "next_step": "What to do.",
    "runbook": "The section of the [runbooks](runbooks/README.md) that helps, as a path in the repository. On every"
    " line of level `error`.",
    "suppressed": "How many lines of this kind and subject were folded into this one.",
}
"""Outside name -> meaning of the fields that any line may have."""

ECS_COMMON_FIELDS: Final = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "body": "message",
    "event_name": "event.action",
    "logger": "log.logger",
    "service.name": "service.name",
    "service.version": "service.version",
    "service.instance.id": "service.node.name",
    "deployment.environment.name": "service.environment",
    "fault": "labels.fault",
    "data_at_risk": "labels.data_at_risk",
    "next_step": "labels.next_step",
    "runbook": "labels.runbook",
    "suppressed": "labels.suppressed",
}
"""Outside name -> the name in the Elastic Common Schema. What is missing is left out there."""

FIELDS: Final = {
    "action": LogField(
        "action", "What the call does: `identify_user`, `track_event`, `sign_out_user`, `update_user_id`, ..."
    ),
    "anonymous_id": LogField("anonymous_id", "The anonymousId of the call."),
    "attempt": LogField("streamer.attempt", "Number of the attempt that failed; the first is 1."),
    "away_seconds": LogField("away_seconds", "Seconds for which the directory could not be used."),
    "by": LogField("by", "Who ordered it: `user@host` of the command."),
    "calls": LogField("messaging.batch.message_count", "Calls in the request."),
    "changed": LogField("changed", "The settings that take effect, by name; absent: none has changed."),
    "commit": LogField("commit", "The commit of the source, or `unknown`."),
    "config_sha256": LogField("config_sha256", "12 hexadecimal digits that change with any setting but the secrets."),
    "consumed_per_second": LogField("consumed_per_second", "Records read, per second."),
    "dead_letter_topic": LogField("dead_letter_topic", "The topic of the dead letter."),
    "dead_letter_reasons": LogField(
        "dead_letter_reasons", "The dead-lettered records by reason, the most frequent one first."
    ),
    "dead_lettered": LogField("dead_lettered", "Records dead-lettered; absent: none."),
    "delivered": LogField("delivered", "Records delivered."),
    "destination": LogField("destination", "Name of the destination in the configuration."),
    "destination_state": LogField("destination_state", "`ok`, `backing_off` or `held`."),
    "detail": LogField("detail", "What exactly happened, without a value of a record."),
    "devices": LogField("devices", "How many devices without a user."),
    "discards": LogField("discards", "Whether records are filtered instead of waiting on Kafka."),
    "drain_eta_seconds": LogField(
        "drain_eta_seconds",
        "Seconds until the lag is worked off at the rate of the last minute; absent: that cannot be said.",
    ),
    "duplicate": LogField("duplicate", "Records found to be duplicates; absent: none."),
    "duration_seconds": LogField(
        "duration_s", "Duration of the request in seconds; in ECS in nanoseconds.", "event.duration"
    ),
    "endpoint": LogField("endpoint", "The address that spans are sent to, without credentials."),
    "environment": LogField("environment", "The setting inbound.environment."),
    "error_type": LogField(
        "error.type", "An HTTP status, a network fault, the type of an error, or the result of a commit.", "error.type"
    ),
    "failures": LogField("failures", "How often no broker answered since the last line of this kind."),
    "faults": LogField("faults", "How many faults."),
    "filtered": LogField("filtered", "Records filtered; absent: none."),
    "handed_back": LogField("handed_back", "Records that were open and will be read again; absent: none."),
    "high_watermark": LogField(
        "high_watermark", "The broker's end of the partition: the offset after its last record."
    ),
    "host": LogField("host", "Address that the server listens on.", "server.address"),
    "in_flight": LogField("in_flight", "Records read and not settled."),
    "integration": LogField("integration", "Name of the integration in the configuration."),
    "lag": LogField("lag", "Records from the committed position to the high watermark; absent: not known."),
    "lag_seconds": LogField("lag_seconds", "Age of the oldest record that is not settled; absent: not known."),
    "limited_by": LogField(
        "limited_by", "What kept the integration from being faster most of the time; docs/metrics.md lists the values."
    ),
    "lines": LogField("lines", "How many lines were dropped."),
    "linked": LogField("linked", "Whether the call linked its device to the user."),
    "matched_by": LogField(
        "matched_by", "How the user was found: `email`, `user_id`, `device`, `created` (was not there), or `none`."
    ),
    "logger": LogField("logger", "The library that logged the line.", "log.logger"),
    "message_id": LogField("messaging.message.id", "The messageId of the call, or the one of a record that made none."),
    "needs_restart": LogField(
        "needs_restart", "Changed settings that take effect only after a restart, by name; absent: none."
    ),
    "offset": LogField("messaging.kafka.offset", "Offset of the record."),
    "partition": LogField("messaging.destination.partition.id", "Number of the partition, as a text."),
    "partitions": LogField("partitions", "How many partitions."),
    "port": LogField("port", "Port that the server listens on.", "server.port"),
    "position": LogField("position", "The next offset that will be read."),
    "previous_id": LogField("previous_id", "The previousId of the call."),
    "reason": LogField("reason", "Why, in a word or a short text without values."),
    "records": LogField("records", "How many records."),
    "remarks": LogField("remarks", "What was decided about the call that a person may want to know."),
    "restarted": LogField("restarted", "Integrations that drained and were started again; absent: none."),
    "settled_per_second": LogField("settled_per_second", "Records that got their outcome, per second."),
    "set_aside": LogField("set_aside", "How many of the latest records were dead-lettered or would have been."),
    "requests": LogField("requests", "Requests in flight."),
    "seconds": LogField("seconds", "How many seconds the figures are about."),
    "seen": LogField("seen", "How many records these were among: the latest ones."),
    "share": LogField(
        "share",
        "Share of these records in all that were mapped, or whose call was answered, in the same time: 0 to 1.",
    ),
    "silent_seconds": LogField(
        "silent_seconds", "Seconds since a broker last answered; absent: none has answered yet."
    ),
    "size": LogField("size", "Bytes of the value."),
    "span_id": LogField("span_id", "The span of the batch, if it is sampled.", "span.id"),
    "spans": LogField("spans", "How many spans were lost since the process started."),
    "stack": LogField(
        "exception.stacktrace",
        "Files, lines and functions that the error passed, the innermost last.",
        "error.stack_trace",
    ),
    "start": LogField("start", "The offset that reading starts from."),
    "status": LogField("http.response.status_code", "HTTP status of the answer.", "http.response.status_code"),
    "stored": LogField("stored", "The stored position."),
    "topic": LogField("messaging.destination.name", "Name of the topic."),
    "trace_id": LogField("trace_id", "The trace of the batch, if it is sampled.", "trace.id"),
    "until": LogField("until", "When the pause ends by itself, in seconds since the epoch; absent: it does not."),
    "user_id": LogField("user_id", "The userId of the call."),
    "username": LogField("username", "Name of the user in the directory."),
    "values_written": LogField("values_written", "How many values of the user the call wrote."),
    "users": LogField("users", "How many users."),
    "version": LogField("version", "streamer's version; the same as `service.version`."),
    "version_after": LogField("version_after", "The last migration that was applied."),
    "version_before": LogField("version_before", "The last migration that had been applied; `none`: no tables."),
    "wait_seconds": LogField("wait_seconds", "Seconds until the next attempt."),
    "waiting_seconds": LogField("waiting_seconds", "Seconds for which the oldest of them has waited."),
    "webhook": LogField("webhook", "Name of the webhook in the configuration; `_other`: one that does not exist."),
    "written_from": LogField("written_from", "The least level of the lines that are written now."),
}
"""Name in code -> the field, for all fields that some events have (`streamer.logs.Event.fields`)."""
