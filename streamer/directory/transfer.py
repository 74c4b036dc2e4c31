"""Directory lines that come from a file, and those that go out.

An import first reads the whole file, so that nothing of a file with faults is stored. It then adds batches of lines,
each in one transaction, beside the running service. A line that is imported twice has the effect of once, so an import
that was interrupted is run again. ``replace`` is one transaction: no call meets a directory that is half there.
"""

import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from streamer.core.inbound import importing, lines
from streamer.core.inbound.call import Remark
from streamer.core.inbound.directory import Device, User
from streamer.core.inbound.line_reading import LineError, read
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.view import View
from streamer.directory.store import Directory, Transaction
from streamer.logs import Event, logger

BATCH_LINES: Final = 500
"""Lines that are imported, or users that are exported, at a time."""

MAX_LINE_BYTES: Final = 4 << 20
"""Longest line that is read. 100 attributes, 100 devices and 100 redirects of the largest size are under 1 MB."""

MAX_FAULTS: Final = 20
"""Most faults of a file that are told; after them, the file is read no further."""

Line = User | Device
OnProgress = Callable[[int, int], None]
"""Gets how much is done, and how much there is to do."""


@dataclass(slots=True)
class Import:
    """What an import did."""

    users: int = 0
    devices: int = 0
    deleted: int = 0
    """Lines of users who were deleted after the line was written. They were left out."""
    remarks: Counter[Remark] = field(default_factory=Counter)


class FileFaultsError(ValueError):
    """A file of directory lines has faults; ``faults`` has a text for each, with the number of its line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def check_file(path: Path, rules: Rules, on_progress: OnProgress) -> Import:
    """Read the whole file without storing anything. Returns how many users and devices it has.

    Raises:
        FileFaultsError: lines are not directory lines.
        OSError: it cannot be read.
    """
    found = Import()
    faults: list[str] = []
    for number, line in _numbered(path, on_progress):
        try:
            _count(found, read(line, rules))
        except LineError as error:
            faults.append(f"line {number}: {error}")
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise FileFaultsError(faults)
    return found


async def import_file(
    directory: Directory,
    path: Path,
    rules: Rules,
    *,
    replace: bool,
    publish: bool,
    on_progress: OnProgress,
) -> Import:
    """Import a file that `check_file` has read.

    Args:
        directory: where to.
        path: the file.
        rules: the configuration.
        replace: delete everything before.
        publish: put the profiles of changed users into the outbox.
        on_progress: gets bytes.

    Raises:
        DirectoryUnavailableError: the database is away. Batches before stay imported; with ``replace`` nothing changed.
        FileFaultsError: the file was changed meanwhile.
        OSError: it cannot be read.
    """
    done = Import()
    documents = _documents(path, rules, on_progress)
    async with AsyncExitStack() as stack:
        whole: Transaction | None = None
        if replace:
            whole = await stack.enter_async_context(directory.transaction())
            await whole.without_limits()
            await whole.clear()
        while batch := list(islice(documents, BATCH_LINES)):
            if whole is not None:
                await _import_batch(whole, batch, rules, done, publish=publish)
            else:
                async with directory.transaction() as transaction:
                    await _import_batch(transaction, batch, rules, done, publish=publish)
    logger().emit(Event.USERS_IMPORTED, users=done.users, devices=done.devices)
    return done


async def export(directory: Directory, *, times: bool, on_progress: OnProgress) -> AsyncGenerator[bytes]:
    """All directory lines of one moment, with their line ends: users by name, then devices without a user.

    Raises:
        DirectoryUnavailableError: the database is away.
    """
    total = (await directory.counts()).users
    async with directory.snapshot() as reader:
        await reader.without_limits()
        last, done = "", 0
        while users := await reader.users_after(last, BATCH_LINES):
            for user in users:
                yield lines.user_line(user, times=times) + b"\n"
            last, done = users[-1].username, done + len(users)
            on_progress(done, total)
        last = ""
        while devices := await reader.unlinked_devices_after(last, BATCH_LINES):
            for device in devices:
                if times or device.person.attributes:
                    yield lines.device_line(device, times=times) + b"\n"
            last = devices[-1].anonymous_id


async def _import_batch(
    transaction: Transaction, batch: list[Line], rules: Rules, done: Import, *, publish: bool
) -> None:
    loaded = await transaction.load(importing.concern(batch))
    view = View(loaded.users, loaded.devices, loaded.marks, loaded.messages, rules)
    remarks: list[Remark] = []
    for line in batch:
        if view.take(line, remarks) is None:
            _count(done, line)
        else:
            done.deleted += 1
    done.remarks.update(remarks)
    changes = view.changes()
    await transaction.save(changes if publish else changes._replace(outgoing=[]), time.time_ns() // 1_000)


def _count(found: Import, line: Line) -> None:
    if isinstance(line, User):
        found.users += 1
    else:
        found.devices += 1


def _documents(path: Path, rules: Rules, on_progress: OnProgress) -> Iterator[Line]:
    for number, line in _numbered(path, on_progress):
        try:
            yield read(line, rules)
        except LineError as error:
            raise FileFaultsError([f"line {number}: {error}; the file was changed during the import"]) from None


def _numbered(path: Path, on_progress: OnProgress) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    size, done, number = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            done += len(line)
            if len(line) == MAX_LINE_BYTES:
                raise FileFaultsError([f"line {number}: it is longer than {MAX_LINE_BYTES:,} bytes"])
            if text := line.strip():
                yield number, text
            on_progress(done, size)
