"""Services in the states that an operator meets, without a service: what the page is looked at with."""

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streamer.core.delivery.answers import NetworkFault, answer_of_fault, answer_of_status
from streamer.core.delivery.attempt import Verdict
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.inbound.call import IgnoredReason
from streamer.core.model import DeadLetterReason, FilterReason
from streamer.core.records.account import Account
from streamer.core.records.obstacles import Obstacle, PartitionFault
from streamer.core.steering.pause import Pause
from streamer.logs.fault import FaultLine
from streamer.status import (
    AssignedPartition,
    Check,
    ConsumerStatus,
    DestinationStatus,
    DirectoryStatus,
    GroupMember,
    InboundStatus,
    IntegrationState,
    IntegrationStatus,
    PartitionStatus,
    ReceiptsStatus,
    RecentLetter,
    ServiceStatus,
    WebhooksStatus,
)
from streamer.status.histogram import LATENCY_SECONDS, Histogram
from streamer.status.history import DestinationPoint, History, IntegrationPoint
from streamer.status.snapshot import GuardEvidence

Tell = Callable[[], "Story"]

INTEGRATIONS: Final = ("sprig", "product-fruits", "feedback")
DAY: Final = 86_400.0


@dataclass
class Story:
    """A status source that tells what a test sets."""

    told: ServiceStatus
    looks: int = field(default=0)
    """How often it was asked."""

    def status(self) -> ServiceStatus:
        self.looks += 1
        return self.told

    def live(self) -> Sequence[Check]:
        return [Check("integrations", ok=True)]

    def ready(self) -> Sequence[Check]:
        return [Check("integrations", ok=True)]

    def started(self) -> Sequence[Check]:
        return [Check("integrations", ok=True)]

    def change(self, **changes: Any) -> None:
        self.told = dataclasses.replace(self.told, **changes)

    def change_integration(self, name: str, **changes: Any) -> None:
        self.change(
            integrations=[
                dataclasses.replace(one, **changes) if one.name == name else one for one in self.told.integrations
            ]
        )


class Told(History):
    """A history that a test makes up."""

    def __init__(
        self, integrations: dict[str, list[IntegrationPoint]], destinations: dict[str, list[DestinationPoint]]
    ) -> None:
        super().__init__()
        self._told_integrations, self._told_destinations = integrations, destinations

    @property
    def integrations(self) -> dict[str, list[IntegrationPoint]]:
        return self._told_integrations

    @property
    def destinations(self) -> dict[str, list[DestinationPoint]]:
        return self._told_destinations


def assigned(place: int, *, lag: int = 0, now: float, parked: int = 0) -> AssignedPartition:
    position = 1_204_331 + place * 7_919
    return AssignedPartition(
        in_flight=12 + parked,
        parked=parked,
        position=position,
        committed=position,
        next_offset=position + 12,
        high_watermark=position + lag,
        ends_known_at=now - 1,
        oldest_waiting_at=now - lag / 50 if lag else None,
        retention_headroom_seconds=6.4 * DAY,
        receipts_since=now - 3_600,
    )


def account(consumed: int, *, in_flight: int = 12, letters: int = 0) -> Account:
    told = Account()
    told.consumed, told.duplicate = consumed, consumed // 400
    told.filtered[FilterReason.EVENT_DISABLED] = consumed // 90
    told.filtered[FilterReason.TEST_EVENT] = consumed // 700
    if letters:
        told.dead_lettered[DeadLetterReason.SCHEMA_INVALID] = letters
    told.delivered = consumed - told.duplicate - told.filtered.total() - told.dead_lettered.total() - in_flight
    return told


def integration(name: str, now: float, *, partitions: int = 2, lag: int = 0) -> IntegrationStatus:
    topic = f"surveys.{name}"
    each = lag // partitions
    return IntegrationStatus(
        name=name,
        dialect=name.replace("-", "_"),
        group=f"streamer.{name}",
        destination="production",
        state=IntegrationState.RUNNING,
        state_since=now - 7_400,
        partitions=[
            PartitionStatus(
                topic=topic,
                partition=number,
                account=account(48_211 + number * 977, letters=number * 3),
                assigned=assigned(number, lag=each, now=now),
            )
            for number in range(partitions)
        ],
        drain_eta_seconds={topic: lag / 80} if lag else {},
        limited_by=Limit.FETCH,
        commits={"stored": 900},
        rebalances={"assigned": 1},
        members=[
            GroupMember("streamer-web-7", "10.0.3.17", partitions, is_this=True),
            GroupMember("streamer-web-8", "10.0.3.18", 2, is_this=False),
        ],
        receipts=ReceiptsStatus(is_available=True, entries=90_000, bytes=4_000_000, shrunk_total=0),
    )


def destination(name: str = "production") -> DestinationStatus:
    told = DestinationStatus(name=name, limit=16, in_flight=3, since=time.monotonic() - 7_400)
    for number in range(400):
        told.record(answer_of_status(200, None), 0.03 + 0.2 * (number % 97 == 0), 20_000, 100, Verdict.DELIVERED)
    for _ in range(3):
        told.record(answer_of_status(429, 5.0), 0.02, 20_000, 100, Verdict.RETRY_FREE)
    told.record(answer_of_fault(NetworkFault.TIMEOUT), 15.0, 20_000, 100, Verdict.RETRY_FREE)
    return told


def history(names: Sequence[str], now: float, *, stops: float = 0.0, lag: Callable[[float], int] = lambda _: 0) -> Told:
    """15 minutes; ``stops`` seconds ago nothing went out any more."""

    def points(shift: float) -> list[IntegrationPoint]:
        found = []
        for step in range(180):
            ago = (179 - step) * 5.0
            rate = 40 + 12 * math.sin(step / 9 + shift) + 4 * math.sin(step * 1.7 + shift)
            is_stopped = ago < stops
            letters = 0.2 if step % 37 == 0 and ago > 360 else 0.0
            found.append(
                IntegrationPoint(
                    at=now - ago,
                    consumed=0.0 if is_stopped and ago < stops - 30 else rate,
                    settled=0.0 if is_stopped else rate * (0.97 + 0.05 * math.sin(step)),
                    dead_lettered=letters,
                    dead_lettered_by={"schema_invalid": letters} if letters else {},
                    lag=lag(max(stops - ago, 0.0)) + int(5 + 4 * math.sin(step)),
                    lag_seconds=max(stops - ago, 0.0),
                )
            )
        return found

    requests = [
        DestinationPoint(
            at=now - (179 - step) * 5.0,
            requests=3.0 + math.sin(step / 5),
            failed=0.2 if step % 29 == 0 else 0.5 if (179 - step) * 5.0 < stops else 0.0,
            p50_seconds=0.05,
            p99_seconds=0.25 if step % 13 else 0.75,
        )
        for step in range(180)
    ]
    return Told({name: points(place * 2.0) for place, name in enumerate(names)}, {"production": requests})


def well(now: float | None = None) -> Story:
    now = time.time() if now is None else now
    return Story(
        ServiceStatus(
            version="1.2.3",
            python="3.11.7",
            commit="5b81272",
            config_sha256="0123abcd",
            mapping_version="1",
            started_at=now - 7_420,
            is_draining=False,
            integrations=[integration(name, now) for name in INTEGRATIONS],
            destinations=[destination()],
            loop_lag_seconds=Histogram((0.1, 1.0)),
            instance="web-7, process 4711",
            history=history(INTEGRATIONS, now),
        )
    )


HELD_NEXT_STEP: Final = (
    "Check write_key or write_key_file of the destination: Segment does not accept the key. streamer reads the file"
    " again before each probe and resumes by itself."
)


def held() -> Story:
    """The wrong write key, for four minutes."""
    story, now = well(), time.time()
    [production] = story.told.destinations
    production.state, production.reason, production.next_step = State.HELD, "401", HELD_NEXT_STEP
    production.since, production.next_probe_at = time.monotonic() - 244, time.monotonic() + 17
    production.in_flight = 0
    for _ in range(12):
        production.record(answer_of_status(401, None), 0.02, 20_000, 100, Verdict.RETRY_FREE)
    story.change(
        integrations=[
            dataclasses.replace(integration(name, now, lag=12_430), limited_by=Limit.HELD) for name in INTEGRATIONS
        ],
        history=history(INTEGRATIONS, now, stops=244, lag=lambda stopped: int(stopped * 51)),
        last_faults=[
            FaultLine(
                now - 244,
                "destination.held",
                "production",
                "401",
                HELD_NEXT_STEP,
                detail="the answer to 2 unrelated batches",
            ),
            FaultLine(
                now - 4,
                "destination.probe_failed",
                "production",
                "401",
                "No action is needed beyond the above.",
                first_at=now - 240,
                lines=12,
            ),
        ],
    )
    return story


def backing_off() -> Story:
    story = well()
    [production] = story.told.destinations
    production.state, production.reason = State.BACKING_OFF, "429"
    production.next_step = "No action is needed unless this lasts: Segment asked for less."
    production.since, production.next_probe_at = time.monotonic() - 42, time.monotonic() + 8
    story.change(
        integrations=[dataclasses.replace(one, limited_by=Limit.BACKING_OFF) for one in story.told.integrations]
    )
    return story


def letter(offset: int, at: float) -> RecentLetter:
    return RecentLetter(
        at,
        "surveys.feedback",
        offset % 2,
        offset,
        "schema_invalid",
        "/answers/0/score: maximum 10, got number",
        f"evt_01J9A{offset}",
    )


def guarded() -> Story:
    story, now = well(), time.time()
    story.change_integration(
        "feedback",
        state=IntegrationState.GUARDED,
        state_since=now - 95,
        limited_by=Limit.GUARDED,
        guard=GuardEvidence(20, 20, "schema_invalid", "/answers/0/score: maximum 10, got number"),
        recent_letters=[letter(1_204_400 + number, now - 95 - number) for number in range(6)],
    )
    story.change(
        last_faults=[
            FaultLine(
                now - 95,
                "integration.guarded",
                "feedback",
                "schema_invalid",
                "Check dialect and topics of the integration. It resumes when its configuration or version changes.",
                detail="20 of the last 20 records",
            ),
            FaultLine(
                now - 96,
                "event.dead_lettered",
                "feedback",
                "schema_invalid",
                "See docs/runbooks/README.md.",
                detail="/answers/0/score: maximum 10, got number",
                first_at=now - 240,
                lines=20,
            ),
        ]
    )
    return story


def paused() -> Story:
    story = well()
    story.change_integration(
        "product-fruits",
        state=IntegrationState.PAUSED,
        state_since=time.time() - 3 * 3_600,
        limited_by=Limit.PAUSED,
        pause=Pause(by="ada@ops-1", reason="<b>Segment</b> moves", since=time.time() - 3 * 3_600),
    )
    return story


def silent_kafka() -> Story:
    story = well()
    story.change(
        integrations=[
            dataclasses.replace(
                one,
                kafka_silent_seconds=35.0,
                limited_by=Limit.KAFKA,
                partitions=[
                    dataclasses.replace(
                        partition,
                        assigned=dataclasses.replace(partition.assigned, high_watermark=None, oldest_waiting_at=None)
                        if partition.assigned
                        else None,
                    )
                    for partition in one.partitions
                ],
            )
            for one in story.told.integrations
        ]
    )
    return story


def many_partitions(partitions: int = 100) -> Story:
    """More than a page can show; one of them cannot be read."""
    story, now = well(), time.time()
    many = integration("sprig", now, partitions=partitions, lag=partitions * 40)
    many.partitions[partitions // 2].account.handed_back += 12
    broken = dataclasses.replace(
        many.partitions[partitions // 2],
        assigned=None,
        left_out=PartitionFault(Obstacle.NO_LEADER, "no broker leads the partition"),
    )
    places = [*many.partitions[: partitions // 2], broken, *many.partitions[partitions // 2 + 1 :]]
    story.change(integrations=[dataclasses.replace(many, partitions=places), *story.told.integrations[1:]])
    return story


def with_way_back() -> Story:
    story, now = well(), time.time()
    told = Account()
    told.consumed, told.delivered, told.duplicate = 4_020, 3_900, 8
    told.filtered[IgnoredReason.STALE], told.filtered[IgnoredReason.UNMATCHED] = 70, 41
    seconds = Histogram(LATENCY_SECONDS)
    seconds.observe(0.01, 40)
    inbound = InboundStatus(
        environment="staging",
        consumer=ConsumerStatus(
            name="inbound",
            group="streamer.inbound",
            destination="directory",
            state=IntegrationState.RUNNING,
            state_since=now - 7_000,
            partitions=[
                PartitionStatus(
                    topic="segment.inbound",
                    partition=0,
                    account=told,
                    assigned=dataclasses.replace(assigned(3, now=now), in_flight=1),
                )
            ],
            limited_by=Limit.FETCH,
            members=[GroupMember("streamer-web-7", "10.0.3.17", 1, is_this=True)],
        ),
        directory=DirectoryStatus(
            is_up=True,
            reason="",
            users=120_433,
            devices=310_220,
            transaction_seconds=seconds,
            outbox_records=7,
            outbox_oldest_at=now - 2,
            is_publishing=True,
            published=4_811,
            skipped=0,
            publishing_fault="",
        ),
        calls={
            (0, "identify", "applied", ""): 3_400,
            (0, "identify", "ignored", "stale"): 70,
            (0, "track", "applied", ""): 500,
            (0, "track", "ignored", "unmatched"): 41,
        },
        remarks={"email_conflict": 2},
        webhooks=WebhooksStatus(
            requests={("production", "accepted"): 3_811, ("production", "bad_signature"): 2, ("production", "busy"): 0},
            calls={("production", True): 4_020},
            request_seconds={"production": seconds},
        ),
    )
    story.change(inbound=inbound, history=history([*INTEGRATIONS, "inbound"], now))
    return story


HOSTILE: Final = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "]]></style></script><!--",
    "\u202egnorw ot thgir\u202c",
    "$(reboot); `reboot` 'quoted'",
    "long" * 75,
    "\x00\x1b[31m\ud800",
)


def hostile() -> Story:
    """Every name that somebody else may choose, at its worst."""
    story, now = well(), time.time()
    texts = itertools.cycle(HOSTILE)

    def text() -> str:
        return next(texts)

    integrations = []
    for number, one in enumerate([*story.told.integrations] * 3):
        name = f"{text()}{number}"
        integrations.append(
            dataclasses.replace(
                one,
                name=name,
                dialect=text(),
                group=text(),
                destination=text(),
                reason=text(),
                state=IntegrationState.RESTARTING,
                partitions=[
                    PartitionStatus(
                        topic=text(),
                        partition=0,
                        account=account(100, in_flight=0),
                        assigned=None,
                        left_out=PartitionFault(Obstacle.READ_FAILED, text()),
                    )
                ],
                members=[GroupMember(text(), text(), 1, is_this=False)],
                recent_letters=[RecentLetter(now, text(), 0, 5, text(), text(), text())],
            )
        )
    production = destination(text())
    production.state, production.reason, production.next_step = State.HELD, text(), text()
    production.requests[text()] = 3
    story.change(
        integrations=integrations,
        destinations=[production],
        instance=text(),
        last_faults=[
            FaultLine(now - number, text(), text(), text(), text(), detail=text(), data_at_risk=text())
            for number in range(7)
        ],
        history=history([one.name for one in integrations], now),
    )
    return story
