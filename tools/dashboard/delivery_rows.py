"""The rows about destinations, and about what becomes of records."""

from typing import Final

from tools.dashboard.panel import (
    OF_DESTINATION,
    TARGET,
    TOPIC,
    Panel,
    Query,
    Row,
    quantiles_of,
    rate_of,
)

DESTINATION: Final = Row(
    "Destination",
    [
        Panel(
            "Requests by status",
            "StreamerRateLimited",
            "Requests per second, by HTTP status or network fault.",
            "reqps",
            [
                Query(
                    rate_of("streamer_http_requests_total", "destination, status", OF_DESTINATION),
                    "{{destination}} {{status}}",
                )
            ],
            is_stacked=True,
        ),
        Panel(
            "Duration of requests",
            "StreamerRetriesHigh",
            "Seconds from sending a request to its answer.",
            "s",
            quantiles_of("streamer_http_request_duration_seconds", "destination", OF_DESTINATION),
        ),
        Panel(
            "From Kafka to the destination",
            "StreamerLatencyHigh",
            "Seconds from the record's timestamp on Kafka to its 2xx.",
            "s",
            quantiles_of("streamer_event_latency_seconds", "topic", f'{TOPIC}, destination=~"$destination"'),
            60,
        ),
        Panel(
            "Share sent again",
            "StreamerRetriesHigh",
            "Requests whose calls are sent again, of all requests.",
            "percentunit",
            [
                Query(
                    f"{rate_of('streamer_http_retries_total', 'destination', OF_DESTINATION)}"
                    f" / {rate_of('streamer_http_requests_total', 'destination', OF_DESTINATION)}",
                    "{{destination}}",
                )
            ],
            0.2,
        ),
        Panel(
            "Concurrent requests",
            "StreamerLagHigh",
            "Requests in flight, and how many may be: streamer finds that out while it sends.",
            "short",
            [
                Query(
                    f"sum by (destination) (streamer_concurrency_in_use{{{OF_DESTINATION}}})", "{{destination}} in use"
                ),
                Query(
                    f"sum by (destination) (streamer_concurrency_limit{{{OF_DESTINATION}}})", "{{destination}} limit"
                ),
            ],
        ),
        Panel(
            "Retry-After",
            "StreamerRateLimited",
            "How long the destination asked streamer to wait.",
            "s",
            quantiles_of("streamer_retry_after_seconds", "destination", OF_DESTINATION),
        ),
    ],
)

DATA: Final = Row(
    "Data quality",
    [
        Panel(
            "Dead letters by reason",
            "StreamerDeadLetters",
            "Records set aside per second. streamer dlq ls counts them.",
            "cps",
            [
                Query(
                    rate_of(
                        "streamer_records_dead_lettered_total",
                        "integration, reason",
                        f'{TOPIC}, destination=~"$destination"',
                    ),
                    "{{integration}} {{reason}}",
                )
            ],
            is_stacked=True,
        ),
        Panel(
            "Share of dead letters",
            "StreamerDeadLetterBurst",
            "Records set aside, of all records consumed.",
            "percentunit",
            [
                Query(
                    f"{rate_of('streamer_records_dead_lettered_total', 'integration')}"
                    f" / {rate_of('streamer_records_consumed_total', 'integration')}",
                    "{{integration}}",
                )
            ],
            0.01,
        ),
        Panel(
            "Filtered by reason",
            "StreamerTopicFilteredOut",
            "Valid records that are not delivered, because of a named rule.",
            "cps",
            [Query(rate_of("streamer_records_filtered_total", "integration, reason"), "{{integration}} {{reason}}")],
            is_stacked=True,
        ),
        Panel(
            "Duplicates",
            "StreamerDeadLetters",
            "Records whose messageId was delivered before. They are not sent again.",
            "cps",
            [Query(rate_of("streamer_records_duplicate_total", "integration, topic"), "{{integration}} {{topic}}")],
        ),
        Panel(
            "Waiting for the next attempt",
            "StreamerRetriesHigh",
            "Records whose call failed, and waits.",
            "short",
            [Query(f"sum by (integration, topic) (streamer_records_parked{{{TOPIC}}})", "{{integration}} {{topic}}")],
        ),
        Panel(
            "Faults",
            "StreamerInternalError",
            "Log events about faults per second. docs/log-events.md explains each of them.",
            "cps",
            [Query(rate_of("streamer_faults_total", "event", TARGET) + " > 0", "{{event}}")],
        ),
    ],
)
