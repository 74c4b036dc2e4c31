"""``streamer demo``: a real Kafka, a local Segment, a producer and the service, there and back, with two accounts.

Only Segment is simulated. The service is the one that ``streamer run`` runs, in a process of its own, with a
configuration file like a user's. The checks compare what the producer made with what the sandbox received.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from streamer.devkit.demo import acts, way_back
from streamer.devkit.demo.events import sample_events, steady_events
from streamer.devkit.demo.places import show_places
from streamer.devkit.demo.playground import WRITE_KEY, Playground, running
from streamer.devkit.demo.producing import producing
from streamer.devkit.demo.showing import say, show_title
from streamer.pipeline.runner import root_of

OWN_EVENTS: Final = 100
"""Survey events of the act about the way back."""


Stay = Callable[[], Awaitable[None]]
"""Returns when everything may end."""


async def play(events: int, *, stay: Stay | None) -> bool:
    """Run the demo; True if the account adds up and every expected event arrived exactly once.

    Args:
        events: number of sample events.
        stay: how long everything stays up after the account; None: it ends at once.

    Raises:
        UnavailableError: Kafka cannot be fetched or started, or the service ended.
    """
    async with running(is_for_people=stay is not None) as ground:
        try:
            passed = await _play(ground, events)
        except ExceptionGroup as group:
            raise root_of(group) from None
        if not passed:
            say(f"demo: the service's log is {ground.service.log_path}")
            say("\n".join(ground.service.log_tail()))
        if stay is not None:
            show_places(ground)
            await stay()
    return passed


async def keep(stay: Stay) -> bool:
    """Start everything, without events, and keep it running for as long as ``stay`` says. Raises as `play` does."""
    async with running(is_for_people=True) as ground:
        show_places(ground)
        await stay()
    return True


async def _play(ground: Playground, number: int) -> bool:
    events = list(sample_events(number))
    async with producing(ground.settings, ground.sandbox) as producer:
        show_title(1, "One event of each platform, before and after")
        shown = await acts.show_each_platform(ground, producer, events)
        show_title(2, f"{number:,} events as fast as it goes")
        _, passed = await acts.deliver_all(ground, producer, shown, events)
        show_title(3, f"Segment answers 503 for {acts.OUTAGE_SECONDS:.0f} s")
        first = number
        passed &= await acts.survive_outage(ground, producer, first=first)
        show_title(4, "The service is killed (kill -9) and started again")
        first += 2 * acts.OUTAGE_EVENTS
        before, is_whole = await acts.survive_kill(ground, producer, first=first)
        show_title(5, "The account")
        after = await ground.service.totals()
        passed &= is_whole & acts.show_account(before, after, swallowed=ground.sandbox.record.swallowed)
        if ground.settings.inbound is None:
            say("demo: the way back needs pip install 'survey-streamer[inbound]'")
            return passed
        show_title(6, "The way back: calls of Segment update a directory of users")
        own = list(steady_events(OWN_EVENTS, first=first + 2 * acts.KILL_EVENTS))
        return await way_back.play(ground, producer, own, WRITE_KEY) and passed
