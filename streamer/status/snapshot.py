"""What the service knows of itself, typed: a snapshot that `streamer.status.metrics` and `streamer.server` render.

The owner of a state fills in its part; nothing here asks, waits or decides. A snapshot is taken without an await, so
the sums of `streamer.core.records.account.Account` add up in it.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streamer.core.delivery.limiting import Limit
from streamer.core.records.group_member import GroupMember
from streamer.core.steering.pause import Pause
from streamer.logs.events import Event
from streamer.logs.fault import FaultLine
from streamer.status.destination_snapshot import DestinationStatus, Reload
from streamer.status.histogram import Histogram
from streamer.status.history import History
from streamer.status.inbound_snapshot import DirectoryStatus, WebhooksStatus
from streamer.status.partition_snapshot import PartitionStatus


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a probe checks."""

    name: str
    ok: bool
    detail: str = ""
    """What is wrong. For a check that is ok: what an operator should know, such as one held destination of several."""

    @property
    def is_degraded(self) -> bool:
        """Whether the check passes although something is wrong."""
        return self.ok and bool(self.detail)


class IntegrationState(enum.StrEnum):
    """What an integration does."""

    STARTING = "starting"
    """Connecting to Kafka, or waiting for it, or reading what operators have ordered."""
    RUNNING = "running"
    GUARDED = "guarded"
    """Stopped by the mass guard until the configuration or streamer's version changes, or an operator releases it."""
    PAUSED = "paused"
    """Stopped by a person, with ``streamer pause`` or ``status: paused``: its records wait on Kafka."""
    RESTARTING = "restarting"
    """Failed, and waiting to be restarted."""
    DRAINING = "draining"


class GuardEvidence(NamedTuple):
    """Why the mass guard stopped an integration."""

    set_aside: int
    """Records that would have become dead letters."""
    seen: int
    """Of how many."""
    reason: str
    """That of most of them."""
    detail: str


class RecentLetter(NamedTuple):
    """A record that was set aside lately. No value of the record is in it."""

    at: float
    """When the broker confirmed the dead letter, in seconds since the epoch."""
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    message_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptsStatus:
    """The store of delivered messageIds."""

    is_available: bool
    entries: int
    bytes: int
    shrunk_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerStatus:
    """What reads topics with a group of its own: an integration, or the way back."""

    name: str
    group: str
    destination: str
    state: IntegrationState
    topics: Sequence[str] = ()
    """Those that it reads."""
    reason: str = ""
    restarts: int = 0
    partitions: Sequence[PartitionStatus] = ()
    drain_eta_seconds: Mapping[str, float] = field(default_factory=dict)
    """Seconds until the lag of a topic is 0, at the rate of the last minute; absent where that cannot be said."""
    kafka_silent_seconds: float | None = None
    """For how long no broker has answered, if that is too long for anything to be known of them."""
    limited_by: Limit | None = None
    """What kept it from being faster in most of the last ten seconds; None: not known yet."""
    limited_seconds: Mapping[Limit, float] = field(default_factory=dict)
    commits: Mapping[str, int] = field(default_factory=dict)
    """By result."""
    rebalances: Mapping[str, int] = field(default_factory=dict)
    """By kind."""
    buffered_records: int = 0
    buffered_bytes: int = 0
    state_since: float | None = None
    """Since when it is in this state, in seconds since the epoch; None: not known."""
    members: Sequence[GroupMember] = ()
    """All members of its group, as the brokers said lately; empty: not asked yet, or no broker answers."""
    recent_letters: Sequence[RecentLetter] = ()
    """The newest last."""
    missing_topics: Sequence[str] = ()
    """Topics of the configuration that do not exist, or that streamer has no right to see."""
    is_known: bool = True
    """False: its state could not be found out, because of a bug."""
    pause: Pause | None = None
    """Who has paused it, and why; None: nobody. A pause that discards is not a state of its own."""
    order_at: float | None = None
    """When the order was given that it obeys, in seconds since the epoch; None: nobody has ordered anything."""
    guard: GuardEvidence | None = None
    """Why the mass guard has stopped it; None: it has not, or it did before this process started."""

    @property
    def lag(self) -> int | None:
        """That of all assigned partitions; None: not known of one of them."""
        lags = [partition.assigned.lag for partition in self.partitions if partition.assigned is not None]
        return None if None in lags else sum(lag for lag in lags if lag is not None)

    def lag_seconds(self, now: float) -> float | None:
        """The longest one of all assigned partitions; None: not known of one of them."""
        ages = [partition.assigned.lag_seconds(now) for partition in self.partitions if partition.assigned is not None]
        return None if None in ages else max((age for age in ages if age is not None), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationStatus(ConsumerStatus):
    """One integration."""

    dialect: str
    latency_seconds: Mapping[str, Histogram] = field(default_factory=dict)
    """Seconds from the record's timestamp on Kafka to its 2xx, by topic."""
    identified: Mapping[str, int] = field(default_factory=dict)
    """Records that have only an anonymous id, by what the directory knew of it; empty: it is not asked."""
    filtered_out: Mapping[str, int] = field(default_factory=dict)
    """Topics whose latest records, so many, were all filtered as ``not_in_stream``."""
    receipts: ReceiptsStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundStatus:
    """The way back."""

    environment: str | None
    consumer: ConsumerStatus | None
    """None: another process applies the calls. So are ``directory`` and what follows it."""
    directory: DirectoryStatus | None
    calls: Mapping[tuple[int, str, str, str], int] = field(default_factory=dict)
    """By partition, type, outcome and reason."""
    remarks: Mapping[str, int] = field(default_factory=dict)
    webhooks: WebhooksStatus | None = None
    """None: another process receives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigStatus:
    """How the configuration file stands to what is in force."""

    faults: Sequence[str] = ()
    """What is wrong with the file as it was read last; empty: it is in force. No text holds a secret."""
    rejected_at: float | None = None
    """When that was found, in seconds since the epoch."""
    reloaded_at: float | None = None
    """When a changed configuration came into force last; None: it is that of the start."""
    needs_restart: Sequence[str] = ()
    """Names of the settings that take effect only after a restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """Everything, at one moment. Nothing in it may be a secret or a value of a record."""

    version: str
    python: str
    commit: str
    """Of the source code, or "unknown"."""
    config_sha256: str
    """Short fingerprint of the configuration in force."""
    mapping_version: str
    trace_spans: Mapping[str, int] = field(default_factory=dict)
    """Spans by what became of them; empty: traces are off."""
    config_reloads: Mapping[Reload, int] = field(default_factory=dict)
    """How often the configuration and files of secrets were read again, if they had changed or could not be used."""
    config: ConfigStatus = ConfigStatus()
    """How the file stands to that."""
    started_at: float
    """Seconds since the epoch."""
    is_draining: bool
    integrations: Sequence[IntegrationStatus]
    destinations: Sequence[DestinationStatus]
    loop_lag_seconds: Histogram
    """How late the event loop runs what is due."""
    inbound: InboundStatus | None = None
    """The way back; None: it is off."""
    last_faults: Sequence[FaultLine] = ()
    """The latest log lines about faults; from `streamer.logs.EventLogger.last_faults`."""
    faults: Mapping[Event, int] = field(default_factory=dict)
    """How often each event about a fault occurred; from `streamer.logs.EventLogger.faults`."""
    memory_bytes: int | None = None
    """Memory that only this process has; None: not known. So is the next one."""
    memory_limit_bytes: int | None = None
    """What its control group may have."""
    instance: str = ""
    """Host name and process id, such as "web-7, process 4711"."""
    history: History = field(default_factory=History)
    """The last 15 minutes. Not of this moment only: it goes on changing."""

    @property
    def consumers(self) -> Sequence[ConsumerStatus]:
        """All that read topics here: the integrations, and the way back if it applies calls."""
        inbound = self.inbound
        back = [] if inbound is None or inbound.consumer is None else [inbound.consumer]
        return [*self.integrations, *back]


class StatusSource(Protocol):
    """Knows the state of the service. Its methods are called on the event loop and do not wait."""

    def status(self) -> ServiceStatus:
        """A snapshot."""

    def live(self) -> Sequence[Check]:
        """Whether this process works. Faults that a restart would not cure do not count."""

    def ready(self) -> Sequence[Check]:
        """Whether events flow, or could."""

    def started(self) -> Sequence[Check]:
        """Whether the start is over."""
