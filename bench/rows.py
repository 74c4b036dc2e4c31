"""Every row there is, in the order in which they are measured."""

from collections.abc import Sequence
from typing import Final, Protocol

from bench.applying import Applying
from bench.backlog import Backlog
from bench.clients import Fetch, Send
from bench.data import Data
from bench.idle import Idle
from bench.micro import STAGES
from bench.paced import Paced
from bench.reception import Reception
from bench.restoring import Restoring
from bench.results import Kind
from bench.stand import Outcome, Stand
from bench.webhooks import Webhooks

QUICK_EVENTS: Final = 120_000
FULL_EVENTS: Final = 300_000
"""Records of a row that does not say how many."""

SMALL, LARGE = 10_000, 1_000_000
"""Records of the rows that show whether the cost of an event depends on how many wait."""

CALLS: Final = 10_000
"""Webhook calls of a row that applies them."""

RECEIPTS: Final = 10_000_000

PACE: Final = 2_000
FAST_PACE: Final = 10_000
"""Events a second."""


class Task(Protocol):
    """One row, to be measured."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def title(self) -> str:
        """What it is, in a table."""

    @property
    def kind(self) -> Kind:
        """What it measures."""

    async def measure(self, stand: Stand) -> Outcome:
        """Run it: once, or, where runs are windows of time, as often as is wanted."""


Group = Sequence[Task]
"""Rows that are measured in turn, run by run, because they are compared: the machine is the same for both."""


def quick_groups(events: int) -> list[Group]:
    """What `make bench` measures."""
    return [
        *([stage] for stage in STAGES),
        [Fetch(name="stage-fetch", title="fetch: Kafka's client alone", events=events)],
        [Send(name="stage-send", title="send: compress and HTTP")],
        [Reception(name="receiver", title="the bench's receiver, fed with one batch over and over")],
        _with_ceiling(0, events),
        _with_ceiling(20, events),
        [_paced(0, window_seconds=5.0)],
        [_paced(20, window_seconds=5.0)],
        [Webhooks(name="webhooks-batch", title="2,000 calls/s, 100 a request", requests_per_second=20, calls=100)],
        [Webhooks(name="webhooks-single", title="200 calls/s, 1 a request", requests_per_second=200, calls=1)],
        [Applying(name="inbound-sqlite", title="calls -> SQLite", database="sqlite", calls=CALLS)],
        [Applying(name="inbound-postgresql", title="calls -> PostgreSQL", database="postgresql", calls=CALLS)],
        [Idle(name="idle", title=f"joined, {Data(events=0).partitions} partitions, no events", window_seconds=7.0)],
    ]


def full_groups(events: int) -> list[Group]:
    """What `make bench-full` measures on top of that."""
    base = Data(events=events)
    return [
        _with_ceiling(100, events),
        [_paced(100, window_seconds=5.0)],
        [_form("sprig", "Sprig answers", events)],
        [_form("product_fruits", "Product Fruits analytics", events)],
        [_form("product_fruits_survey", "Product Fruits surveys", events)],
        [_form("canonical", "events in canonical form", events)],
        [Backlog(name="copies", title="one in five a copy", data=Data(events=events, has_copies=True))],
        [Backlog(name="poison", title="one in 1,000 broken", data=Data(events=events, has_poison=True))],
        [Backlog(name="backlog-10k", title="10,000 events wait", data=Data(events=SMALL))],
        [Backlog(name="backlog-1m", title="1,000,000 events wait", data=Data(events=LARGE))],
        [Backlog(name="partitions-1", title="1 partition", data=Data(events=events, partitions=1))],
        [Backlog(name="partitions-60", title="60 partitions", data=Data(events=events, partitions=60))],
        [Backlog(name="integrations-10", title="10 integrations", data=Data(events=events, topics=10))],
        [Backlog(name="receipts-10m", title="10,000,000 receipts before", data=base, receipts=RECEIPTS)],
        [
            Restoring(
                name="receipts-restore",
                title="10,000,000 receipts, 100 a record",
                receipts=RECEIPTS,
                receipts_per_record=100,
            )
        ],
        [_tapped(rate, events) for rate in (0, 10, 1_000)],
        [Backlog(name="instances-2", title="2 instances, 1,000,000 events", data=Data(events=LARGE), instances=2)],
        [
            Paced(
                name="uptime",
                title=f"{FAST_PACE:,} events/s for four minutes",
                events_per_second=FAST_PACE,
                window_seconds=75.0,
                warm_up_seconds=15.0,
                stamp_every=20,
            )
        ],
    ]


def _with_ceiling(latency_ms: int, events: int) -> Group:
    data, seconds = Data(events=events), latency_ms / 1_000
    return [
        Backlog(
            name=f"latency-{latency_ms}",
            title=f"receiver takes {latency_ms} ms",
            data=data,
            latency_seconds=seconds,
        ),
        Backlog(
            name=f"ceiling-{latency_ms}",
            title=f"bare loop, {latency_ms} ms",
            data=data,
            latency_seconds=seconds,
            kind=Kind.CEILING,
        ),
    ]


def _paced(latency_ms: int, *, window_seconds: float) -> Task:
    return Paced(
        name=f"paced-{latency_ms}",
        title=f"{PACE:,} events/s, receiver takes {latency_ms} ms",
        events_per_second=PACE,
        latency_seconds=latency_ms / 1_000,
        window_seconds=window_seconds,
    )


def _tapped(rate: int, events: int) -> Task:
    title = f"a tap of {rate:,} lines a second" if rate else "no tap"
    return Backlog(name=f"tap-{rate}", title=title, data=Data(events=events), tap_rate=rate)


def _form(form: str, title: str, events: int) -> Task:
    return Backlog(name=form.replace("_", "-"), title=title, data=Data(form=form, events=events))
