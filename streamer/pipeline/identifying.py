"""Which user an anonymous event is of: the directory is asked ahead of mapping, and never for long.

    Identification      one for the process: asks the directory, remembers its answers, and knows when not to ask
      `-- Identifier    one for each integration with `identify_devices`: what its records need, and what came of it

One question at a time is on its way. It is asked by a task of its own, so that whoever waits for the answer can stop
waiting at any moment; an answer that comes too late is remembered for the next records. Without an answer, events go as
they are: nothing waits for the directory, and nothing fails with it.
"""

import asyncio
import contextlib
import enum
import functools
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from streamer.core.errors import UnavailableError
from streamer.core.inbound.known_users import KnownUsers
from streamer.core.mapping import Mapper
from streamer.core.model import Record
from streamer.logs import Event, logger, place_of
from streamer.logs.observing import observing
from streamer.pipeline.endings import unless_cancelled
from streamer.pipeline.slicing import slices
from streamer.pipeline.worker import Prepare
from streamer.timings import Timings

MAX_ASKED: Final = 10_000
"""From so many devices on that wait to be asked about, no more are added."""

_CLOSE_SECONDS: Final = 2.0
"""Longest wait for the connections to close."""


class KnowsUsers(Protocol):
    """The directory, as far as it is asked here; see `streamer.directory.store.Directory`."""

    async def users_of(self, devices: Collection[str]) -> Mapping[str, str]:
        """The username of each of the devices that has one. Raises `UnavailableError`."""

    async def close(self) -> None:
        """Close all connections."""


class Identified(enum.StrEnum):
    """What came of one record that has an anonymous id only. A closed list, which metrics show."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class Identification:
    """Asks the directory who uses devices.

    Args:
        directory: whom to ask; closed at the end.
        timings: how long to wait, and how long not to ask.
    """

    def __init__(self, directory: KnowsUsers, timings: Timings) -> None:
        self.known: Final = KnownUsers()
        self._directory = directory
        self._timings = timings
        self._wanted: set[str] = set()
        """Devices for the next question."""
        self._is_wanted = asyncio.Event()
        self._answered = asyncio.Event()
        """Set at the end of the next question; each has its own."""
        self._asked_at: float | None = None
        """Since when a question is on its way."""
        self._rests_until = 0.0
        self._failed_since: float | None = None
        self._said: set[str] = set()
        """Reasons that were said since it fails."""

    @property
    def is_resting(self) -> bool:
        """Whether nobody is asked now, because the directory was away or slow lately, or still is."""
        now = time.monotonic()
        is_late = self._asked_at is not None and now - self._asked_at > self._timings.identify
        return is_late or now < self._rests_until

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                await self._is_wanted.wait()
                self._is_wanted.clear()
                await self._ask()
        finally:
            with observing("end of the directory"), contextlib.suppress(TimeoutError, UnavailableError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._directory.close()

    async def learn(self, devices: Collection[str]) -> None:
        """Ask about those of the devices that are not known, and wait for the answer, at most `Timings.identify`."""
        wanted = self.known.to_ask(devices, time.monotonic())
        if not wanted or self.is_resting or len(self._wanted) >= MAX_ASKED:
            return
        self._wanted |= wanted
        self._is_wanted.set()
        answered = self._answered
        try:
            async with asyncio.timeout(self._timings.identify):
                await answered.wait()
        except TimeoutError:
            self._fail("slow", f"no answer in {self._timings.identify:g} s; look at the load of the database")

    async def _ask(self) -> None:
        devices, self._wanted = self._wanted, set()
        answered, self._answered = self._answered, asyncio.Event()
        self._asked_at = began = time.monotonic()
        try:
            await unless_cancelled(self._note_users_of(devices))
        except UnavailableError as error:
            self._fail(str(getattr(error, "reason", type(error).__name__)), str(error))
        except Exception as error:  # noqa: BLE001 - a bug here must not stop deliveries
            self._fail(type(error).__name__, f"a bug in streamer, at {place_of(error)}; report this line")
        else:
            self._succeed(time.monotonic() - began)
        finally:
            self._asked_at = None
            answered.set()

    async def _note_users_of(self, devices: set[str]) -> None:
        users = await self._directory.users_of(devices)
        self.known.note(devices, users, time.monotonic())

    def _fail(self, reason: str, detail: str) -> None:
        now = time.monotonic()
        self._rests_until = now + self._timings.identify_rest
        if self._failed_since is None:
            self._failed_since, self._said = now, set()
        if reason not in self._said:
            self._said.add(reason)
            logger().emit(Event.IDENTIFICATION_SUSPENDED, reason=reason, detail=detail)

    def _succeed(self, seconds: float) -> None:
        if self._failed_since is not None and seconds <= self._timings.identify:
            away = time.monotonic() - self._failed_since
            self._failed_since = None
            logger().emit(Event.IDENTIFICATION_RESUMED, away_seconds=round(away, 1))


class Identifier:
    """Finds the users of the anonymous events of one integration. Outlives pipelines."""

    def __init__(self, identification: Identification) -> None:
        self.counts: Counter[Identified] = Counter(dict.fromkeys(Identified, 0))
        self._identification = identification

    def user_of(self, device: str) -> str | None:
        """The username of a device, if it is known now; never waits. Each call is counted."""
        answer = self._identification.known.find(device, time.monotonic())
        if answer is None:
            self.counts[Identified.SKIPPED] += 1
            return None
        self.counts[Identified.UNKNOWN if answer.user is None else Identified.KNOWN] += 1
        return answer.user

    def prepare_for(self, mapper: Mapper) -> Prepare:
        """What is to be awaited before ``mapper`` maps records."""
        return functools.partial(self._prepare, mapper)

    async def _prepare(self, mapper: Mapper, polled: Collection[Sequence[Record]]) -> None:
        """Find out the users of records that were read, with one question for all of them."""
        if self._identification.is_resting:
            return
        devices: set[str] = set()
        for records in polled:
            for slice_ in slices(records):
                for record in slice_:
                    device = mapper.anonymous_id_of(record.value, record.timestamp, record.headers)
                    if device is not None:
                        devices.add(device)
                await asyncio.sleep(0)
        await self._identification.learn(devices)
