"""The latest dead letters of an integration, for people. One kind leaves room for the others."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from streamer.status.snapshot import RecentLetter

MAX_LETTERS: Final = 20
"""Dead letters that are kept."""

MAX_OF_KIND: Final = 5
"""How many of them may have the same reason and detail."""

MAX_MESSAGE_ID_CHARACTERS: Final = 200
MAX_DETAIL_CHARACTERS: Final = 500


class RecentLetters:
    """Keeps the latest ones; outlives pipelines."""

    def __init__(self) -> None:
        self._letters: list[RecentLetter] = []

    @property
    def letters(self) -> Sequence[RecentLetter]:
        """The newest last."""
        return list(self._letters)

    def note(self, letter: RecentLetter) -> None:
        """Keep a dead letter that the broker has confirmed, in place of an older one if there are too many."""
        message_id = letter.message_id
        letter = letter._replace(
            detail=letter.detail[:MAX_DETAIL_CHARACTERS],
            message_id=None if message_id is None else message_id[:MAX_MESSAGE_ID_CHARACTERS],
        )
        if sum(_kind(other) == _kind(letter) for other in self._letters) >= MAX_OF_KIND:
            self._remove_oldest(_kind(letter))
        elif len(self._letters) >= MAX_LETTERS:
            # Of the most frequent kind: one that occurs once must not go because of many others.
            [(kind, _)] = Counter(map(_kind, self._letters)).most_common(1)
            self._remove_oldest(kind)
        self._letters.append(letter)

    def _remove_oldest(self, kind: tuple[str, str]) -> None:
        del self._letters[next(index for index, letter in enumerate(self._letters) if _kind(letter) == kind)]


def _kind(letter: RecentLetter) -> tuple[str, str]:
    return letter.reason, letter.detail
