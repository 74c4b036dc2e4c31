"""Reads the configuration again while the service runs: on SIGHUP, and when its file or the file of a key has changed.

A good file takes effect without a restart, as far as that is possible (`streamer.changing`); what is not is named. A
bad one is refused with all its faults, and the present configuration stays in force. One reload runs at a time: a
signal that comes meanwhile is followed by one more, however many came.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from streamer.changing import Change
from streamer.core.errors import SettingsError
from streamer.fleet import Fleet
from streamer.logs import Event, logger
from streamer.logs.logger import place_of
from streamer.logs.observing import observing
from streamer.settings import DestinationSettings, Settings, watching
from streamer.settings.changes import Plan, conflicts, plan_of
from streamer.settings.watching import ConfigFile, content_of
from streamer.status import ConfigStatus, Reload


class Reloader:
    """Keeps a fleet to its configuration file."""

    def __init__(self, fleet: Fleet, file: ConfigFile | None, *, on_change: Callable[[Settings], None]) -> None:
        """Read nothing yet.

        Args:
            fleet: what follows the configuration.
            file: the configuration; None: there is no file, and only the keys of destinations are read again.
            on_change: called with the settings that come into force, before the fleet follows them.
        """
        self._results: Counter[Reload] = Counter()
        self.status = ConfigStatus()
        """How the file stands to what is in force."""
        self._fleet = fleet
        self._file = file
        self._on_change = on_change
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._has_ended = False
        self._keys: dict[Path, watching.Change] = {}
        """The files of keys, as they were seen."""

    def ask(self) -> None:
        """Have everything read again soon."""
        self._asked.set()

    def counts(self) -> Counter[Reload]:
        """How reloads of the configuration, and of the keys of destinations that are gone, have ended."""
        return self._results + self._fleet.former_key_reloads

    async def run(self) -> None:
        """Look at the files, and do what is asked for, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._fleet.timings.config_every):
                    await self._asked.wait()
            is_asked = self._asked.is_set()
            self._asked.clear()
            with observing("files of keys"):
                await self._look_at_keys(is_asked=is_asked)
            with observing("configuration file"):
                if is_asked or (self._file is not None and await asyncio.to_thread(self._file.has_changed)):
                    await self.reload()

    async def end(self) -> None:
        """Reload no more. Waits for a reload that has begun; it starts nothing any more, because the fleet drains."""
        self._has_ended = True
        async with self._one_at_a_time:
            pass

    async def reload(self) -> None:
        """Read the configuration file, and have the fleet follow it. Returns when everything has changed over."""
        async with self._one_at_a_time:
            if self._file is None or self._has_ended:
                return
            try:
                await self._follow(await asyncio.to_thread(self._file.load))
            except SettingsError as error:
                self._reject(error.faults)
            except Exception as error:  # noqa: BLE001 - what works must go on working
                self._reject([f"a bug in streamer ({type(error).__name__} at {place_of(error)}); report this line"])

    async def _follow(self, wanted: Settings) -> None:
        plan = plan_of(self._fleet.settings, wanted)
        if faults := conflicts(plan):
            raise SettingsError(faults)
        change = Change(self._fleet, plan)
        await change.prepare()
        if change.faults or self._has_ended:
            await change.discard()
            if change.faults:
                raise SettingsError(change.faults)
            return
        self._on_change(plan.settings)
        await change.carry_out()
        if change.faults:
            raise SettingsError(change.faults)
        self._accept(plan, change.restarted)

    def _accept(self, plan: Plan, restarted: Sequence[str]) -> None:
        self._results[Reload.APPLIED] += 1
        self.status = ConfigStatus(reloaded_at=time.time(), needs_restart=plan.needs_restart)
        logger().emit(
            Event.CONFIG_RELOADED,
            config_sha256=plan.settings.fingerprint(),
            changed=_listed(plan.changed),
            restarted=_listed(restarted),
            needs_restart=_listed(plan.needs_restart),
        )

    def _reject(self, faults: Sequence[str]) -> None:
        self._results[Reload.FAILED] += 1
        before = self.status
        self.status = ConfigStatus(
            faults=faults,
            rejected_at=time.time(),
            reloaded_at=before.reloaded_at,
            needs_restart=before.needs_restart,
        )
        logger().emit(Event.CONFIG_REJECTED, faults=len(faults), detail="; ".join(faults))

    async def _look_at_keys(self, *, is_asked: bool) -> None:
        """Read keys again whose files have changed."""
        files = {name: file for name, one in self._fleet.settings.destinations.items() if (file := _key_file(one))}
        found = await asyncio.to_thread(lambda: {file: content_of(file) for file in files.values()})
        self._keys = {file: self._keys.get(file) or watching.Change() for file in found}
        changed = {file for file, content in found.items() if self._keys[file].is_due(content)}
        for name, file in files.items():
            destination = self._fleet.destinations.get(name)
            if destination is not None and (is_asked or file in changed):
                with observing(f"key of the destination {name}"):
                    destination.reread_credentials()


def _key_file(destination: DestinationSettings) -> Path | None:
    file: Path | None = getattr(destination, f"{destination.key_setting}_file")
    return file


def _listed(names: Sequence[str]) -> str | None:
    return ", ".join(names) or None
