"""The first rows: is it healthy, and does it keep up?"""

from typing import Final

from tools.dashboard.panel import (
    OF_DESTINATION,
    RATE,
    TARGET,
    TOPIC,
    Panel,
    Query,
    Row,
    rate_of,
    stat,
    states_of,
)

HEALTHY: Final = Row(
    "Is it healthy?",
    [
        stat(
            "Instances",
            "StreamerDown",
            "Instances that answer. Fewer than expected: one is down.",
            f"sum(up{{{TARGET}}})",
            is_bad_below=True,
        ),
        stat(
            "Destinations held",
            "StreamerDestinationHeld",
            "Destinations whose set-up is wrong. Nothing is sent to them; records wait on Kafka.",
            f'sum(max by (destination) (streamer_destination_state{{{OF_DESTINATION}, state="held"}}))',
        ),
        stat(
            "Integrations guarded",
            "StreamerIntegrationGuarded",
            "Integrations that the mass guard stopped.",
            f'sum(max by (integration) (streamer_integration_state{{{TARGET}, state="guarded"}}))',
        ),
        stat(
            "Partitions left out",
            "StreamerPartitionLeftOut",
            "Partitions that cannot be read now.",
            f"sum(streamer_partition_left_out{{{TOPIC}}})",
        ),
        stat(
            "Records unaccounted",
            "StreamerEventsUnaccounted",
            "By how much the accounts do not add up. Anything but 0 is a bug.",
            f"sum(abs(streamer_records_unaccounted{{{TOPIC}}}))",
        ),
        stat(
            "Records lost",
            "StreamerRecordsLost",
            "The highest rate at which Kafka deleted records before they were read. Anything but 0 is lost data.",
            f"sum(rate(streamer_records_lost_total{{{TOPIC}}}{RATE}))",
            1e-9,
            unit="cps",
        ),
        Panel(
            "Integrations",
            "StreamerNoProgress",
            "What each integration does. Of several instances, the worst state is shown.",
            "none",
            [
                states_of(
                    "streamer_integration_state",
                    "integration",
                    TARGET,
                    ("running", "draining", "starting", "paused", "restarting", "guarded"),
                )
            ],
            kind="state-timeline",
            width=12,
            lowest=None,
            words={
                1: ("running", "green"),
                2: ("draining", "blue"),
                3: ("starting", "yellow"),
                4: ("paused", "purple"),
                5: ("restarting", "orange"),
                6: ("guarded", "red"),
            },
        ),
        Panel(
            "Destinations",
            "StreamerDestinationHeld",
            "What each destination does. Of several instances, the worst state is shown.",
            "none",
            [states_of("streamer_destination_state", "destination", OF_DESTINATION, ("ok", "backing_off", "held"))],
            kind="state-timeline",
            width=12,
            lowest=None,
            words={1: ("ok", "green"), 2: ("backing off", "yellow"), 3: ("held", "red")},
        ),
    ],
)

KEEPING_UP: Final = Row(
    "Is it keeping up?",
    [
        Panel(
            "Lag in seconds",
            "StreamerLagHigh",
            "Age of the oldest record that is not settled. A record that waits for its next attempt counts too.",
            "s",
            [
                Query(
                    f"max by (integration, topic) (streamer_consumer_lag_seconds{{{TOPIC}}})",
                    "{{integration}} {{topic}}",
                )
            ],
            300,
        ),
        Panel(
            "Lag in records",
            "StreamerLagGrowing",
            "Records from the committed position to the end, and those that are not read yet.",
            "short",
            [
                Query(
                    f"sum by (integration, topic) (streamer_consumer_lag{{{TOPIC}}})", "{{integration}} {{topic}} lag"
                ),
                Query(
                    f"sum by (integration, topic) (streamer_records_unread{{{TOPIC}}})",
                    "{{integration}} {{topic}} unread",
                ),
            ],
        ),
        Panel(
            "Time to drain",
            "StreamerLagGrowing",
            "How long the lag takes at the rate of the last minute. No line: nothing is settled, or it is not known.",
            "s",
            [
                Query(
                    f"max by (integration, topic) (streamer_drain_eta_seconds{{{TOPIC}}})", "{{integration}} {{topic}}"
                )
            ],
            3600,
        ),
        Panel(
            "In and out",
            "StreamerNoProgress",
            "Records consumed and delivered per second.",
            "cps",
            [
                Query(rate_of("streamer_records_consumed_total", "integration, topic"), "{{integration}} {{topic}} in"),
                Query(
                    rate_of(
                        "streamer_records_delivered_total",
                        "integration, topic",
                        f'{TOPIC}, destination=~"$destination"',
                    ),
                    "{{integration}} {{topic}} out",
                ),
            ],
        ),
        Panel(
            "What limits",
            "StreamerLagHigh",
            "The share of time in which each limit kept integrations from being faster. fetch: nothing waits on Kafka.",
            "percentunit",
            [Query(rate_of("streamer_limited_seconds_total", "integration, by", TARGET), "{{integration}} {{by}}")],
            is_stacked=True,
        ),
        Panel(
            "Retention left",
            "StreamerRetentionNear",
            "How much of its topic's retention the oldest waiting record has left. At 0 Kafka deletes it.",
            "percentunit",
            [
                Query(
                    f"min by (integration, topic) (streamer_retention_headroom_seconds{{{TOPIC}}} / ignoring (group)"
                    f" (streamer_retention_headroom_seconds{{{TOPIC}}} + ignoring (group)"
                    f" streamer_consumer_lag_seconds{{{TOPIC}}}))",
                    "{{integration}} {{topic}}",
                )
            ],
            0.25,
            is_bad_below=True,
        ),
    ],
)
