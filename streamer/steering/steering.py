"""Has one integration, or the way back, obey its orders."""

from collections.abc import Callable

from streamer.core.steering.moments import NONE_YET, is_release_due, moment_of
from streamer.core.steering.order import Order
from streamer.core.steering.pause import Pause, pause_of
from streamer.logs import Event, logger
from streamer.pipeline.guard_memory import GuardMemory
from streamer.pipeline.runner import Runner


class Steering:
    """What one runner has made of its orders. It lives as long as the runner."""

    def __init__(
        self,
        runner: Runner,
        *,
        guard_memory: GuardMemory,
        discard: Callable[[bool], None] | None = None,
        probe: Callable[[], None] | None = None,
    ) -> None:
        """Obey nothing yet.

        Args:
            runner: is paused, and its mass guard released.
            guard_memory: the runner's; remembers over restarts which release was obeyed.
            discard: has records filtered instead of delivered, or no more; None: they can only wait.
            probe: has its destination probed at once if that is held; None: it has none.
        """
        self._runner = runner
        self._guard_memory = guard_memory
        self._discard = discard
        self._probe = probe
        self._probed_at: float | None = None
        self._pause: Pause | None = None
        self.order: Order | None = None
        """The one that is obeyed now, also while it means nothing any more; None: nobody has ordered anything."""

    def await_orders(self) -> None:
        """Read nothing before the first `steer`."""
        self._runner.await_orders()

    @property
    def is_connected(self) -> bool:
        """Whether it is a member of its consumer group, and so could read."""
        pipeline = self._runner.pipeline
        return pipeline is not None and pipeline.is_connected

    def steer(self, order: Order | None, now: float, *, is_read: bool = True) -> None:
        """Obey what is ordered; cheap when nothing has changed, so that it can be called every second.

        Args:
            order: the newest one; None: nobody has ordered anything.
            now: seconds since the epoch.
            is_read: whether the orders were ever read; False: it runs without them.
        """
        self.order = order
        self._obey_pause(pause_of(order, now))
        if is_read:
            self._obey_release(order)
        self._obey_probe(order)

    def _obey_pause(self, pause: Pause | None) -> None:
        if pause is not None and self._discard is None:
            pause = pause._replace(discards=False)
        before, self._pause = self._pause, pause
        if self._discard is not None and (pause is not None and pause.discards) != (
            before is not None and before.discards
        ):
            self._discard(pause is not None and pause.discards)
        self._runner.steer(pause, order_at=None if self.order is None else self.order.at)
        if pause is not None and pause != before:
            logger().emit(
                Event.INTEGRATION_PAUSED,
                integration=self._runner.name,
                by=pause.by,
                reason=pause.reason or None,
                until=pause.until,
                discards=pause.discards,
            )
        elif pause is None and before is not None:
            is_over = self.order is not None and self.order.is_paused
            logger().emit(
                Event.INTEGRATION_RESUMED,
                integration=self._runner.name,
                by=None if is_over or self.order is None else self.order.by,
                reason="the time of the pause is over" if is_over else (self.order and self.order.reason) or None,
            )

    def _obey_release(self, order: Order | None) -> None:
        memory = self._guard_memory
        if is_release_due(order, seen=memory.seen_release, stopped_at=memory.stopped_at):
            assert order is not None, "it has a moment"
            if self._runner.release_guard():
                logger().emit(Event.GUARD_RELEASED, integration=self._runner.name, by=order.by)
        # What was seen once is remembered while the topic is gone: it may come back.
        if memory.seen_release is None or moment_of(order) != NONE_YET:
            memory.see_release(moment_of(order))

    def _obey_probe(self, order: Order | None) -> None:
        probe_at = None if order is None else order.probe_at
        if probe_at is not None and probe_at != self._probed_at and self._probe is not None:
            self._probe()
        self._probed_at = probe_at
