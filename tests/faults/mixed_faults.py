"""A steady instance and a guest, and all that happens to them, their brokers, their destination and their database.

The steady one lives from the first event to the last and is measured; the guest joins, leaves, freezes and is killed.
After each round of faults all that has been produced by then must be committed within `RECOVERY_SECONDS`, or something
is stuck.
"""

import asyncio
import contextlib
import functools
import random
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

import aiohttp
import psutil
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streamer.devkit.sandbox.faults import Action, Fault, Match
from tests.faults.cluster_faults import RECOVERY_SECONDS, ClusterFaults, FaultOf
from tests.faults.inbound.soaking import SoakedWayBack
from tests.faults.log_rules import Round
from tests.faults.recorded import POISON, MixedEvents, marked
from tests.service.harness import Deployment, Process

PARTITIONS: Final = 4
EVENTS_AT_ONCE: Final = 30
PACE_SECONDS: Final = 0.1
LINE_SECONDS: Final = 5.0
STATUS_SECONDS: Final = 2.0
"""Longest wait for the status of an instance that may be frozen."""

SESSION_SECONDS: Final = 3.0

USUAL: Final = (POISON, Fault(action=Action(latency_seconds=0.02)))
ANSWERS: Final = {
    "answers of 503": Action(status=503),
    "answers of 429": Action(status=429, retry_after=2),
    "answers of 401": Action(status=401),
    "slow answers": Action(latency_seconds=0.5),
    "resets": Action(reset=True),
    "resets after taking": Action(reset_after=True),
    "hanging requests": Action(hang=True),
    "answers cut short": Action(cut_body=True),
}
ANSWERS_FOR_SOME: Final = {
    "500 for some events": Action(status=500),
    "403 for some events": Action(status=403),
    "Retry-After for some events": Action(status=429, retry_after=2),
    "some events hang": Action(hang=True),
}
"""Answers to each request that carries one of the events that `MixedEvents` calls ill, one in fifty."""


class Sample(NamedTuple):
    """The steady instance at one moment."""

    anonymous_bytes: int
    """Memory that is its own, without files that are mapped."""
    descriptors: int
    threads: int


class MixedFaults:
    """What runs, what goes wrong, and what has been seen of it."""

    def __init__(
        self,
        deployment: Deployment,
        cluster_faults: ClusterFaults,
        way_back: SoakedWayBack,
        chance: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self._deployment = deployment
        self._way_back = way_back
        self._cluster_faults = cluster_faults
        self._chance = chance
        self._events = MixedEvents(random.Random(chance.random()))
        self._tell = tell
        self._steady: Process | None = None
        self._guest: Process | None = None
        self._guests = 0
        self.samples: list[Sample] = []
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        """Seconds from the end of a round until what was produced by then was committed, by each fault of the round."""
        self.rounds: list[Round] = []
        self.violations: list[str] = []

    async def run(self, topic: str, beside: str, seconds: float) -> None:
        """Let events flow and faults happen for so long, and then everything come to its end.

        Args:
            topic: of `PARTITIONS` partitions.
            beside: of one partition, which has a broker of its own.
            seconds: how long.
        """
        self._steady = await self._start("steady")
        ends_at = time.monotonic() + seconds
        flows = [[TopicPartition(topic, number) for number in range(PARTITIONS)], [TopicPartition(beside, 0)]]
        self._cluster_faults.concern([place for flow in flows for place in flow])
        async with contextlib.AsyncExitStack() as stack:
            for work in (*map(self._produce, flows), self._watch(time.monotonic())):
                await stack.enter_async_context(during(work))
            await stack.enter_async_context(self._way_back.flow())
            await self._moves(["the start"])
            while time.monotonic() < ends_at and self._steady.is_running:
                await self._round()
        await self._moves(["the end"])
        await self._way_back.finish()
        for process in filter(None, (self._guest, self._steady)):
            await self._leave(process)

    async def _round(self) -> None:
        """One to three faults at the same time, no two of one kind, and then the time in which all must move again."""
        kinds = [
            self._fault_of_an_instance,
            self._fault_of_the_destination,
            self._fault_of_the_database,
            self._cluster_faults.draw,
        ]
        count = self._chance.choices([1, 2, 3], [6, 3, 1])[0]
        faults = [kind() for kind in self._chance.sample(kinds, count)]
        names = [name for name, _ in faults]
        self._tell(f"      {', '.join(names)}")
        begun_at = time.time()
        async with asyncio.TaskGroup() as tasks:
            for _, happen in faults:
                tasks.create_task(happen())
        await self._moves(names)
        self.rounds.append(Round(frozenset(names), begun_at, time.time()))

    async def _moves(self, names: list[str]) -> None:
        begun_at = time.monotonic()
        try:
            await asyncio.gather(self._deployment.settled(RECOVERY_SECONDS), self._way_back.moves(RECOVERY_SECONDS))
        except TimeoutError:
            self.violations.append(f"nothing moved, or not everything, {RECOVERY_SECONDS:.0f} s after {names}")
        for name in names:
            self.recoveries[name].append(time.monotonic() - begun_at)

    def _fault_of_an_instance(self) -> FaultOf:
        assert self._steady is not None
        seconds = self._chance.choice([0.5, 2.0]) * SESSION_SECONDS
        faults: list[FaultOf] = [("steady instance frozen", functools.partial(freeze, self._steady, seconds))]
        if self._guest is None:
            faults = [("guest joins", self._join)]
        else:
            faults += [
                ("guest leaves", functools.partial(self._leave, self._guest)),
                ("guest killed", functools.partial(self._kill, self._guest)),
                ("guest frozen", functools.partial(freeze, self._guest, seconds)),
            ]
        return self._chance.choice(faults)

    def _fault_of_the_destination(self) -> FaultOf:
        every = Match(every=self._chance.choice([1, 3]))
        faults = [(name, Fault(action=action, match=every)) for name, action in ANSWERS.items()]
        faults += [(name, Fault(action=action, match=marked("ill"))) for name, action in ANSWERS_FOR_SOME.items()]
        name, fault = self._chance.choice(faults)
        return name, functools.partial(self._answer, fault, self._chance.uniform(1.0, 6.0))

    def _fault_of_the_database(self) -> FaultOf:
        name, breaking = self._way_back.draw(self._chance)
        seconds = self._chance.uniform(1.0, 8.0)
        return name, functools.partial(self._way_back.break_for, breaking, seconds)

    async def _join(self) -> None:
        self._guests += 1
        self._guest = await self._start(f"guest-{self._guests}")

    async def _start(self, state: str) -> Process:
        number = int(self._steady is not None)
        process = await self._deployment.start_process(state=state, **self._way_back.sections(number))
        await process.status()
        return process

    async def _leave(self, process: Process) -> None:
        send(process, signal.SIGTERM)
        if code := await process.wait():
            self.violations.append(f"an instance ended with exit code {code}")
        self._forget(process)

    async def _kill(self, process: Process) -> None:
        await process.kill()
        self._forget(process)

    def _forget(self, process: Process) -> None:
        if process.errors:
            self.violations.append(f"an instance wrote to standard error: {process.errors[-500:]}")
        if process is self._guest:
            self._guest = None

    async def _answer(self, fault: Fault, seconds: float) -> None:
        self._deployment.sandbox.faults.set(fault, *USUAL)
        await asyncio.sleep(seconds)
        self._deployment.sandbox.faults.set(*USUAL)

    async def _produce(self, places: Sequence[TopicPartition]) -> None:
        """Produce to partitions in turn, for ever; longer while their broker is away."""
        while True:
            for place in places:
                values = self._events.take(EVENTS_AT_ONCE // PARTITIONS)
                with contextlib.suppress(KafkaError):  # the oracles ask what the brokers took
                    await self._deployment.produce(place.topic, values, partition=place.partition)
            await asyncio.sleep(PACE_SECONDS)

    async def _watch(self, begun_at: float) -> None:
        """Measure the steady instance and tell its account, for ever."""
        assert self._steady is not None
        process = psutil.Process(self._steady.pid)
        while True:
            await asyncio.sleep(LINE_SECONDS)
            if not self._steady.is_running:
                self.violations.append("the steady instance ended by itself")
                return
            memory = process.memory_info()
            sample = Sample(memory.rss - getattr(memory, "shared", 0), process.num_fds(), process.num_threads())
            self.samples.append(sample)
            account = await self._account(self._steady)
            seconds = time.monotonic() - begun_at
            self._tell(f"{seconds:5.0f} {account}  {sample.anonymous_bytes / 1e6:.0f} MB, {sample.descriptors} files")

    async def _account(self, process: Process) -> str:
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                status = await process.status()
        except (TimeoutError, aiohttp.ClientError):
            return "does not answer"
        if unaccounted := status["unaccounted"]:
            self.violations.append(f"{unaccounted} records are not accounted for")
        integration, destination = status["integrations"]["surveys"], status["destinations"]["segment"]
        account = integration["account"]
        numbers = {term: _total(account.get(term, 0)) for term in TERMS}
        told = "  ".join(f"{term} {number}" for term, number in numbers.items())
        inbound = status["inbound"]
        back = f"applied {_total(inbound['account'].get('applied', 0))}  lag {inbound['lag']}"
        return f"{told}  lag {integration['lag']}  {destination['state']}  back: {back}"


TERMS: Final = ("consumed", "delivered", "duplicate", "filtered", "dead_lettered", "handed_back", "in_flight")


def _total(term: int | dict[str, int]) -> int:
    return term if isinstance(term, int) else sum(term.values())


async def freeze(process: Process, seconds: float) -> None:
    """Stop an instance as a machine does that is out of breath: its connections stay, and nothing answers."""
    send(process, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    send(process, signal.SIGCONT)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal; when an instance has ended by itself, its exit code says so in time."""
    with contextlib.suppress(ProcessLookupError):
        process.send(number)


@contextlib.asynccontextmanager
async def during(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do something until the block ends; when it fails, so does the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        yield
        task.cancel()
