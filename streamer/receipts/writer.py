"""Writes receipts to their topic, in the background: nothing that delivers waits for it, but a commit a moment."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from streamer.core.dead_letters.redrive import OutgoingRecord
from streamer.core.errors import StreamerError
from streamer.core.records.receipt_record import Gap, ReceiptBatch, encode, encode_gap, parts
from streamer.core.records.unshared import Noted, Unshared
from streamer.logs import Event, logger
from streamer.receipts.ports import Publisher
from streamer.receipts.topic_state import TopicState
from streamer.timings import Timings

RUN_HEADER: Final = "streamer.run"
"""Names the process that wrote a record, so that it can skip its own without reading them."""

MAX_GROUP_RECEIPTS: Final = 10_000
"""Most receipts that are written together; making the records takes some milliseconds of the event loop."""

MAX_GROUP_GAPS: Final = 100

USER: Final = "write"


class ReceiptWriter:
    """One queue and one producer for all integrations of a process."""

    def __init__(
        self, publisher: Publisher, state: TopicState, *, instance: str, run_id: bytes, timings: Timings
    ) -> None:
        """Prepare.

        Args:
            publisher: writes the records.
            state: is told whether the topic takes them.
            instance: who delivers, for people.
            run_id: names this process, for `RUN_HEADER`.
            timings: how long to wait for a confirmation.
        """
        self.unshared = Unshared()
        self.written_total = 0
        """Receipts that the topic has confirmed."""
        self.late_commits = 0
        """Commits that did not wait any longer for the receipts of what they commit."""
        self._publisher = publisher
        self._state = state
        self._instance = instance
        self._headers: list[tuple[str, bytes | None]] = [(RUN_HEADER, run_id)]
        self._timings = timings
        self._work = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_late = False
        self._is_running = False
        self._told = 0

    def note(self, noted: Noted) -> None:
        """Write this receipt soon."""
        self.unshared.note(noted)
        self._work.set()

    async def run(self) -> None:
        """Write until cancelled. What the topic does not take now is tried again, as long as there is room for it."""
        self._is_running = True
        while True:
            await self._work.wait()
            self._work.clear()
            while self.unshared.receipts or self.unshared.gaps:
                try:
                    await self._write_group()
                except StreamerError as error:
                    self.unshared.put_back()
                    await asyncio.sleep(self._state.failed(USER, error))

    async def confirm(self) -> None:
        """Wait until the topic has what was noted before; not while it takes nothing, and never for long."""
        unshared = self.unshared
        target = unshared.noted
        if unshared.gone >= target or self._is_away():
            return
        if not self._is_late:
            try:
                async with asyncio.timeout(self._timings.receipts_confirm):
                    await self._until_gone(target)
            except TimeoutError:
                self._is_late = True
            else:
                return
        self.late_commits += 1
        logger().emit(Event.RECEIPTS_UNCONFIRMED, topic=self._state.topic, receipts=unshared.receipts)

    async def finish(self) -> None:
        """The process ends: wait a moment for what is not written, and say what is then missing."""
        try:
            async with asyncio.timeout(0 if self._is_away() else self._timings.receipts_flush):
                await self._until_gone(self.unshared.noted)
        except TimeoutError:
            self.unshared.give_up_all()
        self.tell()

    def tell(self) -> None:
        """Log how many receipts are missing in the topic since this was last called."""
        given_up = self.unshared.given_up.total()
        if given_up > self._told:
            logger().emit(Event.RECEIPTS_UNSHARED, topic=self._state.topic, receipts=given_up - self._told)
            self._told = given_up

    def _is_away(self) -> bool:
        return self._state.has_failed(USER) or (not self._is_running and bool(self._state.fault))

    async def _until_gone(self, target: int) -> None:
        while self.unshared.gone < target:
            self._moved.clear()
            await self._moved.wait()

    async def _write_group(self) -> None:
        gaps = list(self.unshared.gaps.values())[:MAX_GROUP_GAPS]
        taken = self.unshared.take(MAX_GROUP_RECEIPTS)
        records: list[OutgoingRecord] = []
        sources: dict[int, Noted] = {}
        for noted in taken:
            for part in parts(self._batch(noted)):
                records.append(self._record(*encode(part), noted.delivered_at))
                sources[id(records[-1])] = noted
        receipts = sum(len(noted.offsets) for noted in taken)
        records += [self._record(*encode_gap(gap), time.time()) for gap in gaps]
        too_large = await self._publisher.publish(records, timeout_seconds=self._timings.receipts_write)
        for record in too_large:
            if id(record) in sources:
                self.unshared.give_up(sources[id(record)])
        self._written(receipts, gaps)

    def _written(self, receipts: int, gaps: Sequence[Gap]) -> None:
        self.unshared.written()
        self.unshared.said(gaps)
        self.written_total += receipts
        self._is_late = False
        self._state.worked(USER)
        self._moved.set()

    def _batch(self, noted: Noted) -> ReceiptBatch:
        return ReceiptBatch(**noted._asdict(), instance=self._instance)

    def _record(self, key: bytes, value: bytes, at: float) -> OutgoingRecord:
        return OutgoingRecord(
            topic=self._state.topic, partition=-1, key=key, value=value, headers=self._headers, timestamp=int(at * 1000)
        )
