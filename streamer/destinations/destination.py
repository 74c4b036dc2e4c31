"""One destination, shared by the integrations that deliver to it: permits and probes.

The service owns destinations; pipelines borrow a permit for each request. What is allowed and what an answer means is
decided by `streamer.core.delivery.destination.DestinationMachine`; this class waits, sends and logs. It serves any API:
what a request looks like is known to its `Client` alone.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamer.core.delivery.answers import Answer, NetworkFault, answer_of_fault
from streamer.core.delivery.attempt import Attempt, Verdict, Wanted
from streamer.core.delivery.destination import DestinationMachine
from streamer.core.delivery.limiting import Limit
from streamer.core.delivery.transitions import State
from streamer.core.errors import UnavailableError
from streamer.destinations.client import Client
from streamer.destinations.http import Exchange
from streamer.destinations.key_check import Ask, KeyCheck
from streamer.destinations.remedies import backing_off_next_step, held_next_step
from streamer.logs import Event, logger
from streamer.settings import DestinationSettings
from streamer.status import DestinationStatus, Reload
from streamer.timings import Timings
from streamer.tracing import tracer

_EVENTS: Final = {
    State.OK: Event.DESTINATION_RESUMED,
    State.BACKING_OFF: Event.DESTINATION_BACKING_OFF,
    State.HELD: Event.DESTINATION_HELD,
}


class _Waiter(NamedTuple):
    """A pipeline that waits for a permit."""

    integration: str
    turn: asyncio.Future[None]


class _Listeners(NamedTuple):
    on_refund: Callable[[Sequence[Attempt]], None]
    on_room: Callable[[], None]


class Destination:
    """The permits of one destination, and the requests made with them."""

    def __init__(
        self,
        name: str,
        settings: DestinationSettings,
        *,
        client: Client,
        timings: Timings,
        ask_about_key: Ask | None = None,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            name: in the configuration.
            settings: limits, and how calls are batched and retried.
            client: makes the requests.
            timings: how long to wait before probes.
            ask_about_key: finds out whether the client's key exists. Nothing is sent before `watch_key` has asked, and
                while the key is wrong. None: nobody can be asked.
        """
        self.name = name
        self.settings = settings
        self._client = client
        self._machine = DestinationMachine(
            max_in_flight=settings.max_in_flight,
            max_batch_bytes=settings.batch.max_bytes,
            max_batch_calls=settings.max_batch_calls,
            max_calls_per_second=settings.rate_limit,
            held_probe_seconds=timings.held_probe,
            now=time.monotonic(),
        )
        key_name = "write key" if settings.key_setting == "write_key" else "API key"
        self.status = DestinationStatus(name=name, limit=self._machine.limit, key_name=key_name)
        """Kept up to date for whoever asks."""
        self._waiting: list[_Waiter] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._listeners: list[_Listeners] = []
        self._limits: dict[Attempt, asyncio.Timeout] = {}
        """Ends requests that hang."""
        self._key_listeners: list[Callable[[], None]] = []
        self._key_check = KeyCheck(self, ask_about_key, timings) if ask_about_key is not None else None

    @property
    def state(self) -> State:
        """Whether requests may go out."""
        return self._machine.standing.state

    @property
    def envelope_bytes(self) -> int:
        """Bytes of a request's body beside the calls, at most."""
        return self._client.envelope_bytes

    def wanted(self) -> Wanted:
        """What the next request may carry."""
        return self._machine.wanted()

    def can_send(self, now: float) -> bool:
        """Whether a request could start; ``now`` in monotonic seconds."""
        return self._machine.can_start(now)

    def limited_by(self, now: float) -> Limit | None:
        """Why no request could start; None: one could. ``now`` in monotonic seconds."""
        return self._machine.limited_by(now)

    def notify(
        self, *, on_refund: Callable[[Sequence[Attempt]], None], on_room: Callable[[], None]
    ) -> Callable[[], None]:
        """Tell a pipeline what concerns it, until what is returned is called.

        Args:
            on_refund: called with attempts whose charge is taken back.
            on_room: called when calls of failed batches may have a permit again.
        """
        listeners = _Listeners(on_refund, on_room)
        self._listeners.append(listeners)
        return lambda: self._listeners.remove(listeners)

    def on_key_changed(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when other credentials were read, before they are used; the function returned ends that."""
        self._key_listeners.append(listener)
        return lambda: self._key_listeners.remove(listener)

    async def watch_key(self) -> None:
        """Ask about the write key until cancelled, if somebody can be asked."""
        if self._key_check is not None:
            await self._key_check.run()

    def bar(self, reason: str) -> None:
        """Let nothing be sent, probes included, until `unbar`; "": whether there is a reason is not known yet."""
        self._machine.bar(reason, time.monotonic())
        self._after_change()

    def unbar(self) -> None:
        """End that; the destination goes on in the state in which it was."""
        self._machine.unbar()
        self._after_change()

    def probe_now(self) -> None:
        """If it is held, find out at once whether it still has to be: an operator says that the cause is gone."""
        if self.state is not State.HELD:
            return
        self._machine.probe_now(time.monotonic())
        if self._key_check is not None:
            self._key_check.ask_now()
        self._after_change()

    async def borrow(self, integration: str) -> None:
        """Wait for a permit; the caller then calls `start` or `decline` without awaiting in between."""
        while self._waiting or not self._may_start():
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
            if self._may_start():
                return

    def start(self, integration: str, calls: int, *, is_retry: bool = False, is_resend: bool = False) -> Attempt:
        """Take the permit for a request of so many calls; see `DestinationMachine.start`."""
        attempt = self._machine.start(
            time.monotonic(), calls, is_retry=is_retry, is_resend=is_resend, integration=integration
        )
        self.status.in_flight, self.status.next_probe_at = self._machine.in_flight, self._machine.next_probe_at
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
        began = time.monotonic()
        try:
            async with asyncio.timeout(None) as self._limits[attempt]:
                exchange = await self._client.send(bodies, resend_count=resend_count)
        except TimeoutError:
            exchange = Exchange(answer_of_fault(NetworkFault.HUNG), time.monotonic() - began, size)
        except BaseException:
            self._machine.abandon(attempt)
            self._after_end(attempt)
            raise
        finally:
            self._limits.pop(attempt, None)
        answer = exchange.answer
        verdict = self._machine.finish(attempt, answer, time.monotonic(), random.random(), size)  # noqa: S311 - jitter
        self.status.record(answer, exchange.seconds, exchange.sent_bytes, len(bodies), verdict, tracer().trace_id())
        refunds = self._machine.take_refunds()
        if refunds:
            for listeners in self._listeners:
                listeners.on_refund(refunds)
        if verdict is Verdict.DELIVERED:
            self.end_hanging()
        self._after_end(attempt)
        return verdict, answer

    def has_present_key(self, attempt: Attempt) -> bool:
        """Whether a request was made with the key that is in use now."""
        return self._machine.has_present_key(attempt)

    async def close(self) -> None:
        """Close the connections."""
        if self._alarm is not None:
            self._alarm.cancel()
        await self._client.close()

    def reread_credentials(self) -> None:
        """Read the key again, and call the listeners of `on_key_changed` if it is another one."""
        try:
            if self._client.reread_credentials():
                self.status.key_reloads[Reload.APPLIED] += 1
                self._machine.key_changed(time.monotonic())
                for listener in self._key_listeners:
                    listener()
        except UnavailableError as error:
            self.status.key_reloads[Reload.FAILED] += 1
            logger().emit(Event.DESTINATION_KEY_UNREADABLE, destination=self.name, detail=str(error))

    def end_hanging(self) -> None:
        """Give up requests that need not be waited for any longer; call it now and then, too."""
        for attempt in self._machine.hanging(time.monotonic()):
            limit = self._limits.pop(attempt, None)
            if limit is not None:  # else it is ending already
                limit.reschedule(asyncio.get_running_loop().time())

    def _after_end(self, attempt: Attempt) -> None:
        if attempt.is_resend:
            for listeners in self._listeners:
                listeners.on_room()
        self._after_change()

    def _may_start(self) -> bool:
        """Whether a request may begin. The key of a probe is read again before: another one may have to be barred."""
        if not self._machine.can_start(time.monotonic()):
            return False
        if self._machine.state is State.HELD:
            self.reread_credentials()
        return self._machine.can_start(time.monotonic())

    def _after_change(self) -> None:
        machine, status, standing = self._machine, self.status, self._machine.standing
        status.in_flight, status.limit, status.reason = machine.in_flight, machine.limit, standing.reason
        is_changed = standing.state is not status.state
        status.state, status.since = standing.state, standing.since
        status.next_probe_at = machine.next_probe_at
        status.next_step = _EVENTS[status.state].next_step
        if status.state is State.HELD:
            status.next_step = held_next_step(status.reason, self.settings)
        elif status.state is State.BACKING_OFF:
            status.next_step = backing_off_next_step(status.reason, self.settings)
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
