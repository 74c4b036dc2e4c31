"""What the directory said lately about the users of devices: bounded, and not for long."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from streamer.core.inbound.fields import is_identifier

MAX_DEVICES: Final = 100_000
MAX_CHARACTERS: Final = 16_000_000
"""Most devices that are remembered, and most characters of their ids and users; the least recently used goes."""

KNOWN_SECONDS: Final = 60.0
"""How long an answer with a user counts: for so long a device that was signed out may still have its user."""

UNKNOWN_SECONDS: Final = 20.0
"""How long it counts that a device has no user: shorter, because a visitor signs in sooner than a user leaves."""

RENEW_SECONDS: Final = 10.0
"""So long before its end an answer is asked for again: it still counts when the record that needs it is mapped."""


class Answer(NamedTuple):
    """What the directory said about one device."""

    user: str | None
    """Its username; None: the device is unknown or has no user."""
    until: float
    """Up to when it counts."""


NOBODY: Final = Answer(None, float("inf"))
"""Of what cannot be an id: the directory need not be asked."""


class KnownUsers:
    """The users of devices, as far as they are known. All times are seconds of one monotonic clock."""

    def __init__(self, max_devices: int = MAX_DEVICES, max_characters: int = MAX_CHARACTERS) -> None:
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        """The least recently used first."""
        self._characters = 0
        self._max_devices = max_devices
        self._max_characters = max_characters

    def __len__(self) -> int:
        """How many devices are remembered."""
        return len(self._answers)

    def find(self, device: str, now: float) -> Answer | None:
        """What is known about a device; None: nothing that still counts."""
        answer = self._answers.get(device)
        if answer is None or answer.until <= now:
            return None if is_identifier(device) else NOBODY
        self._answers.move_to_end(device)
        return answer

    def to_ask(self, devices: Iterable[str], now: float) -> set[str]:
        """Those of the devices that the directory should be asked about now."""
        return {device for device in devices if self.find(device, now + RENEW_SECONDS) is None}

    def note(self, asked: Iterable[str], users: Mapping[str, str], now: float) -> None:
        """Remember the answer to a question.

        Args:
            asked: the devices that it named.
            users: the username of each of them that has one.
            now: when it was answered.
        """
        for device in asked:
            user = users.get(device)
            self._forget(device)
            self._answers[device] = Answer(user, now + (UNKNOWN_SECONDS if user is None else KNOWN_SECONDS))
            self._characters += len(device) + len(user or "")
        while len(self._answers) > self._max_devices or self._characters > self._max_characters:
            self._forget(next(iter(self._answers)))

    def _forget(self, device: str) -> None:
        answer = self._answers.pop(device, None)
        if answer is not None:
            self._characters -= len(device) + len(answer.user or "")
