"""What all viewers see: rendered once a second while somebody looks, however many look."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from streamer.page.document import clock_of, document, icon_of, title_of
from streamer.page.sections import sections_of
from streamer.page.view import View
from streamer.status import StatusSource

TICK_SECONDS: Final = 1.0
"""How often the page changes."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The page at one moment."""

    view: View
    sections: Mapping[str, Markup]

    def document(self) -> Markup:
        """All of it."""
        return document(self.view, self.sections)

    def parts(self) -> dict[str, str]:
        """By name, for a browser: the contents of elements, and what it needs beside them."""
        return {
            "title": title_of(self.view),
            "icon": icon_of(self.view),
            "level": self.view.verdict.level.value,
            "version": f"{self.view.status.version} {self.view.status.commit}",
            "clock": clock_of(self.view),
            **self.sections,
        }


class Screen:
    """Looks at ``source`` when it is looked at, at most once a tick. Nobody looks: it does nothing."""

    def __init__(self, source: StatusSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._tick = -1
        self._frame: Frame | None = None

    def frame(self) -> Frame:
        """The frame of this tick."""
        tick = int(self._clock() // TICK_SECONDS)
        if self._frame is None or tick != self._tick:
            view = View.of(self._source.status(), now=time.time(), monotonic_now=time.monotonic())
            self._tick, self._frame = tick, Frame(view, sections_of(view))
        return self._frame

    def seconds_to_next(self) -> float:
        """Until the next tick."""
        return TICK_SECONDS - self._clock() % TICK_SECONDS
