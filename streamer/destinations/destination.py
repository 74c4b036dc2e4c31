"""One destination, shared by the integrations that deliver to it: permits and probes.

The service owns destinations; pipelines borrow a permit for each request. What is allowed and what an answer means is
decided by `streamer.core.delivery.destination.DestinationMachine`; this class waits, sends and logs. It serves any API:
what a request looks like is known to its `Client` alone.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from streamer.core.delivery.answers import Answer
from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.errors import UnavailableError
from streamer.destinations.http import Exchange
from streamer.destinations.remedies import held_next_step
from streamer.logs import Event, logger
from streamer.settings import DestinationSettings
from streamer.status import DestinationStatus
from streamer.timings import Timings

_EVENTS: Final = {
    State.OK: Event.DESTINATION_RESUMED,
    State.BACKING_OFF: Event.DESTINATION_BACKING_OFF,
    State.HELD: Event.DESTINATION_HELD,
}


class Client(Protocol):
    """One API that calls go to."""

    @property
    def envelope_bytes(self) -> int:
        """Bytes of a request's body beside the calls, at most."""

    async def send(self, bodies: Sequence[bytes], *, resend_count: int) -> Exchange:
        """Make one request of serialised calls; whatever goes wrong becomes an `Answer`.

        Args:
            bodies: the calls.
            resend_count: how often these calls were sent before; 0 on the first attempt.
        """

    def reread_credentials(self) -> bool:
        """Read the credentials again; whether they are others. After an error the ones read before are used.

        Raises:
            UnavailableError: they cannot be read.
        """

    def renew_connections(self) -> None:
        """Resolve the host again for the requests to come; those on their way are left alone."""

    async def close(self) -> None:
        """Close all connections."""


class _Waiter(NamedTuple):
    """A pipeline that waits for a permit."""

    integration: str
    turn: asyncio.Future[None]


class Destination:
    """The permits of one destination, and the requests made with them."""

    def __init__(self, name: str, settings: DestinationSettings, *, client: Client, timings: Timings) -> None:
        """Prepare; nothing is sent yet.

        Args:
            name: in the configuration.
            settings: limits, and how calls are batched and retried.
            client: makes the requests.
            timings: how long to wait before probes.
        """
        self.name = name
        self.settings = settings
        self._client = client
        self._machine = DestinationMachine(
            max_in_flight=settings.max_in_flight,
            max_batch_bytes=settings.batch.max_bytes,
            max_batch_calls=settings.batch.max_calls,
            max_calls_per_second=settings.rate_limit,
            held_probe_seconds=timings.held_probe,
            now=time.monotonic(),
        )
        self.status = DestinationStatus(name=name, limit=self._machine.limit)
        """Kept up to date for whoever asks."""
        self._waiting: list[_Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._refund_listeners: list[Callable[[Sequence[Attempt]], None]] = []
        self._key_listeners: list[Callable[[], None]] = []
        self._resend_listeners: list[Callable[[], None]] = []

    @property
    def state(self) -> State:
        """Whether requests may go out."""
        return self._machine.state

    @property
    def max_batch_bytes(self) -> int:
        """Largest batch to make: the configured one, or smaller where the destination answered 413."""
        return self._machine.max_batch_bytes

    @property
    def envelope_bytes(self) -> int:
        """Bytes of a request's body beside the calls, at most."""
        return self._client.envelope_bytes

    @property
    def wants_probe(self) -> bool:
        """Whether the next request must carry one single event."""
        return self._machine.probing

    def wanted(self) -> Wanted:
        """What the next request may carry."""
        return self._machine.wanted()

    def can_send(self, now: float) -> bool:
        """Whether a request could start; ``now`` in monotonic seconds."""
        return self._machine.can_start(now)

    def limited_by(self, now: float) -> Limit | None:
        """Why no request could start; None: one could. ``now`` in monotonic seconds."""
        return self._machine.limited_by(now)

    def on_refund(self, listener: Callable[[Sequence[Attempt]], None]) -> Callable[[], None]:
        """Call ``listener`` with attempts whose charge is taken back; call what is returned to end that."""
        self._refund_listeners.append(listener)
        return lambda: self._refund_listeners.remove(listener)

    def on_room_for_resends(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when calls of failed batches may have a permit; call what is returned to end that."""
        self._resend_listeners.append(listener)
        return lambda: self._resend_listeners.remove(listener)

    def on_key_changed(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when other credentials were read, before the first request with them."""
        self._key_listeners.append(listener)

    async def borrow(self, integration: str) -> None:
        """Wait for a permit; the caller then calls `start` or `decline` without awaiting in between."""
        while self._waiting or not self._machine.can_start(time.monotonic()):
            waiter = _Waiter(integration, asyncio.get_running_loop().create_future())
            self._waiting.append(waiter)
            self._set_alarm()
            try:
                await waiter.turn
            except asyncio.CancelledError:
                self._wake_next()
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
            if self._machine.can_start(time.monotonic()):
                return

    def start(self, integration: str, calls: int, *, is_retry: bool = False, is_resend: bool = False) -> Attempt:
        """Take the permit for a request of so many calls; see `DestinationMachine.start`."""
        if self._machine.state is State.HELD:
            self._reread_credentials()
        attempt = self._machine.start(
            time.monotonic(), calls, is_retry=is_retry, is_resend=is_resend, integration=integration
        )
        self.status.in_flight = self._machine.in_flight
        self._wake_next()
        return attempt

    def decline(self) -> None:
        """Leave the permit to whoever waits next."""
        self._wake_next()

    async def send(
        self, attempt: Attempt, bodies: Sequence[bytes], *, size: int, resend_count: int
    ) -> tuple[Verdict, Answer]:
        """Make the request of a permit taken with `start`, and learn from its answer.

        Args:
            attempt: the permit.
            bodies: the serialised calls.
            size: their size in bytes, with the envelope.
            resend_count: how often these calls were sent before.

        Returns:
            What the answer means for the events of the batch, and the answer.
        """
        try:
            exchange = await self._client.send(bodies, resend_count=resend_count)
        except BaseException:
            self._machine.abandon(attempt)
            self._after_end(attempt)
            raise
        answer = exchange.answer
        verdict = self._machine.finish(attempt, answer, time.monotonic(), random.random(), size)  # noqa: S311 - jitter
        self.status.record(answer, exchange.seconds, exchange.sent_bytes, len(bodies), verdict)
        refunds = self._machine.take_refunds()
        if refunds:
            for listener in self._refund_listeners:
                listener(refunds)
        self._after_end(attempt)
        return verdict, answer

    async def close(self) -> None:
        """Close the connections."""
        if self._alarm is not None:
            self._alarm.cancel()
        await self._client.close()

    def _reread_credentials(self) -> None:
        try:
            if self._client.reread_credentials():
                self._machine.key_changed()
                for listener in self._key_listeners:
                    listener()
        except UnavailableError as error:
            logger().emit(Event.DESTINATION_KEY_UNREADABLE, destination=self.name, detail=str(error))

    def _after_end(self, attempt: Attempt) -> None:
        if attempt.is_resend:
            for listener in self._resend_listeners:
                listener()
        self._after_change()

    def _after_change(self) -> None:
        machine, status = self._machine, self.status
        status.in_flight, status.limit, status.reason = machine.in_flight, machine.limit, machine.reason
        is_changed = machine.state is not status.state
        status.state, status.since = machine.state, machine.since
        status.next_step = _EVENTS[status.state].next_step
        if status.state is State.HELD:
            status.next_step = held_next_step(status.reason, self.settings.url)
        if is_changed:
            self._tell()
        self._wake_next()

    def _tell(self) -> None:
        event = _EVENTS[self.status.state]
        status = self.status
        if status.state is State.OK:
            logger().emit(event, destination=self.name)
        else:
            self._client.renew_connections()
            logger().emit(event, destination=self.name, error_type=status.reason, next_step=status.next_step)

    def _wake_next(self) -> None:
        if not self._waiting:
            return
        if self._machine.can_start(time.monotonic()):
            chosen = self._machine.whose_turn([waiter.integration for waiter in self._waiting])
            waiter = next(waiter for waiter in self._waiting if waiter.integration == chosen)
            self._waiting.remove(waiter)
            if not waiter.turn.done():
                waiter.turn.set_result(None)
        else:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake the next waiter when time alone opens the gate."""
        wake_at = self._machine.wake_at(time.monotonic())
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if wake_at is not None:
            delay = max(wake_at - time.monotonic(), 0.001)
            self._alarm = asyncio.get_running_loop().call_later(delay, self._wake_next)
