"""What a reader searches for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlencode

from streamer.devkit.sandbox.debugger.calls import ShownCall
from streamer.devkit.sandbox.record import Verdict

MAX_TEXT: Final = 200
"""Most characters of one field."""


class QueryError(ValueError):
    """A search cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which calls to show: those for which everything given is true. Texts match anywhere, in upper or lower case."""

    message_id: str = ""
    user: str = ""
    """In userId or anonymousId."""
    event: str = ""
    """In the event of a track call, or in the type of any other."""
    verdict: Verdict | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Self:
        """Read the parameters of an address; others than the fields' names are left alone.

        Raises:
            QueryError: a verdict does not exist, or a text is too long.
        """
        given = {name: parameters.get(name, "").strip() for name in ("message_id", "user", "event", "verdict")}
        if any(len(value) > MAX_TEXT for value in given.values()):
            raise QueryError(f"a search text should have at most {MAX_TEXT} characters")
        verdict = given.pop("verdict")
        if verdict and verdict not in set(Verdict):
            raise QueryError(f"verdict should be one of {', '.join(Verdict)}")
        return cls(**given, verdict=Verdict(verdict) if verdict else None)

    @property
    def is_empty(self) -> bool:
        """Whether it finds every call."""
        return not (self.message_id or self.user or self.event or self.verdict)

    def address(self, **more: str) -> str:
        """The address of the page with this search, and with ``more`` parameters."""
        fields = {"message_id": self.message_id, "user": self.user, "event": self.event, "verdict": self.verdict or ""}
        given = {name: value for name, value in {**fields, **more}.items() if value}
        return f"/?{urlencode(given)}" if given else "/"

    def finds(self, call: ShownCall) -> bool:
        """Whether a call is to be shown."""
        entry = call.kept.entry
        if self.verdict and entry.verdict is not self.verdict:
            return False
        if self.message_id and not _holds(entry.message_id or "", self.message_id):
            return False
        if self.user and not any(_holds(user, self.user) for user in call.users):
            return False
        return not self.event or _holds(call.name, self.event)


def _holds(value: str, wanted: str) -> bool:
    return wanted.casefold() in value.casefold()
