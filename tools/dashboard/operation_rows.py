"""The last rows: what deliveries depend on, and the way back."""

from typing import Final

from tools.dashboard.panel import (
    RATE,
    TARGET,
    TOPIC,
    Panel,
    Query,
    Row,
    quantiles_of,
    rate_of,
)

KAFKA: Final = Row(
    "Kafka",
    [
        Panel(
            "Last answer of the brokers",
            "StreamerKafkaAway",
            "Seconds since a broker last said where a partition ends; the oldest one is shown.",
            "s",
            [
                Query(
                    f"max by (integration) (time() - streamer_partition_end_known_timestamp_seconds{{{TOPIC}}})",
                    "{{integration}}",
                )
            ],
            120,
        ),
        Panel(
            "Rebalances",
            "StreamerRebalanceStorm",
            "Changes of the assignment per second, by kind. lost: the coordinator gave an instance up.",
            "cps",
            [Query(rate_of("streamer_rebalances_total", "integration, kind", TARGET), "{{integration}} {{kind}}")],
        ),
        Panel(
            "Commits by result",
            "StreamerCommitFailing",
            "Commits per second. Only stored is good; membership_changed is normal in a rebalance.",
            "cps",
            [Query(rate_of("streamer_commits_total", "integration, result", TARGET), "{{integration}} {{result}}")],
        ),
        Panel(
            "Partitions by instance",
            "StreamerRebalanceStorm",
            "How many partitions each instance reads.",
            "short",
            [Query(f"sum by (instance, topic) (streamer_assigned_partitions{{{TOPIC}}})", "{{instance}} {{topic}}")],
            is_stacked=True,
        ),
        Panel(
            "Open transactions",
            "StreamerNoProgress",
            "Seconds for which a producer's open transaction has kept partitions from being read.",
            "s",
            [
                Query(
                    f"max by (topic) (time() - streamer_open_transaction_since_timestamp_seconds{{{TOPIC}}})",
                    "{{topic}}",
                )
            ],
        ),
        Panel(
            "Restarts of integrations",
            "StreamerPipelineRestarting",
            "Integrations that failed and restarted, per second.",
            "cps",
            [Query(rate_of("streamer_pipeline_restarts_total", "integration", TARGET), "{{integration}}")],
        ),
    ],
)

RESOURCES: Final = Row(
    "Resources",
    [
        Panel(
            "CPU",
            "StreamerLagHigh",
            "Cores in use. One instance uses one core at most, and a little more while it compresses.",
            "short",
            [Query(f"rate(process_cpu_seconds_total{{{TARGET}}}{RATE})", "{{instance}}")],
        ),
        Panel(
            "Memory",
            "StreamerMemoryHigh",
            "Memory that only this process has, all resident memory with the pages of the receipts, and the limit.",
            "bytes",
            [
                Query(f"streamer_memory_bytes{{{TARGET}}}", "{{instance}} own"),
                Query(f"process_resident_memory_bytes{{{TARGET}}}", "{{instance}} resident"),
                Query(f"streamer_memory_limit_bytes{{{TARGET}}}", "{{instance}} limit"),
            ],
        ),
        Panel(
            "Share of the memory limit",
            "StreamerMemoryHigh",
            "Own memory, of the limit of the container or unit.",
            "percentunit",
            [
                Query(
                    f"streamer_memory_bytes{{{TARGET}}} / streamer_memory_limit_bytes{{{TARGET}}}",
                    "{{instance}}",
                )
            ],
            0.9,
        ),
        Panel(
            "Delay of the event loop",
            "StreamerLagHigh",
            "How late the process does what is due. Above 0.1 s it gets too little CPU.",
            "s",
            quantiles_of("streamer_event_loop_lag_seconds", "instance", TARGET),
        ),
        Panel(
            "Open records",
            "StreamerMemoryHigh",
            "Bytes of the records in memory. limits.max_open_bytes says how many there may be.",
            "bytes",
            [
                Query(
                    f"sum by (instance, integration) (streamer_buffer_bytes{{{TARGET}}})",
                    "{{instance}} {{integration}}",
                )
            ],
        ),
        Panel(
            "Receipts",
            "StreamerStateDirUnusable",
            "Bytes of the files that say which messageIds were delivered.",
            "bytes",
            [
                Query(
                    f"sum by (instance, integration) (streamer_receipts_bytes{{{TARGET}}})",
                    "{{instance}} {{integration}}",
                )
            ],
        ),
    ],
)

WAY_BACK: Final = Row(
    "The way back (webhooks and the directory of users)",
    [
        Panel(
            "Webhook requests by result",
            "StreamerWebhooksFailing",
            "Requests per second. After busy, timeout and kafka_unavailable Segment sends the calls again, else not.",
            "reqps",
            [Query(rate_of("streamer_webhook_requests_total", "webhook, result", TARGET), "{{webhook}} {{result}}")],
            is_stacked=True,
        ),
        Panel(
            "Calls by outcome",
            "StreamerDeadLetters",
            "Calls per second, by what became of them.",
            "cps",
            [Query(rate_of("streamer_inbound_calls_total", "outcome, reason", TARGET), "{{outcome}} {{reason}}")],
            is_stacked=True,
        ),
        Panel(
            "Directory",
            "StreamerDirectoryUnavailable",
            "1: the database can be used. 0: it cannot, and calls wait on Kafka.",
            "none",
            [Query(f"min by (instance) (streamer_directory_up{{{TARGET}}})", "{{instance}}")],
            1,
            is_bad_below=True,
        ),
        Panel(
            "Waiting to be published",
            "StreamerOutboxStalled",
            "For how long the oldest profile or trigger has waited.",
            "s",
            [Query(f"max(streamer_outbox_age_seconds{{{TARGET}}})", "oldest")],
            300,
        ),
        Panel(
            "Duration of transactions",
            "StreamerDirectoryUnavailable",
            "Seconds for one transaction that applies calls.",
            "s",
            quantiles_of("streamer_directory_transaction_duration_seconds", "", TARGET),
        ),
        Panel(
            "Users and devices",
            "StreamerDirectoryUnavailable",
            "How many the directory has, counted once a minute.",
            "short",
            [
                Query(f"max(streamer_directory_users{{{TARGET}}})", "users"),
                Query(f"max(streamer_directory_devices{{{TARGET}}})", "devices"),
            ],
        ),
    ],
    is_collapsed=True,
)
