"""The calls that the record keeps, decoded as far as a reader asks for them."""

from functools import cached_property
from typing import Any

import orjson

from streamer.core.model import Json
from streamer.devkit.sandbox.record import KeptCall


class ShownCall:
    """One call that is kept, with what a reader calls it by."""

    def __init__(self, run: str, kept: KeptCall) -> None:
        """Show a call of the record's ``run``."""
        self.id = f"{run}.{kept.number}"
        """Names the call in addresses; no other call gets it, also after a reset or a restart."""
        self.kept = kept

    @cached_property
    def document(self) -> Json:
        """The decoded call; None if its body is not kept."""
        return None if self.kept.body is None else orjson.loads(self.kept.body)

    @property
    def name(self) -> str:
        """Its event, or its type if it has none."""
        event = self._member("event")
        return event if isinstance(event, str) and event else self.type

    @property
    def type(self) -> str:
        """What its type says in a batch, and otherwise its path."""
        from_path = self.kept.entry.path.rpartition("/")[2]
        given = self._member("type") if from_path in {"batch", "import"} else from_path
        return given if isinstance(given, str) else ""

    @property
    def users(self) -> list[str]:
        """The userId and the anonymousId that it has."""
        ids = (self._member("userId"), self._member("anonymousId"))
        return [user if isinstance(user, str) else str(user) for user in ids if user is not None]

    def _member(self, name: str) -> Any:
        return self.document.get(name) if isinstance(self.document, dict) else None


def split_id(call_id: str) -> tuple[str, int] | None:
    """The run and the number of a `ShownCall.id`; None: it is not one."""
    run, _, number = call_id.rpartition(".")
    if not (run.isascii() and run.isalnum() and number.isascii() and number.isdigit() and len(number) <= 18):  # noqa: PLR2004
        return None
    return run, int(number)
