"""What the headers of one dead letter tell of its record: where it was, why it was set aside, and after what."""

from dataclasses import dataclass

from streamer.core.dead_letters.dead_letter import DeadLetter, read_dead_letter, texts_of
from streamer.core.model import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLetter:
    """One dead letter; texts are absent where the broker did not take all headers."""

    letter: DeadLetter
    http_status: str | None
    attempts: str | None
    first_failure_time: str | None
    destination: str | None

    @property
    def place(self) -> tuple[str, int, int] | None:
        """Topic, partition and offset of its record; None: not known."""
        letter = self.letter
        return None if letter.offset is None else (letter.topic, letter.partition, letter.offset)


def read_told(record: Record) -> ToldLetter | None:
    """What a record of a dead-letter topic tells; None: it is not a dead letter of ours."""
    letter = read_dead_letter(record)
    if letter is None:
        return None
    texts = texts_of(record)
    return ToldLetter(
        letter=letter,
        http_status=texts.get("streamer.http.status"),
        attempts=texts.get("streamer.attempts"),
        first_failure_time=texts.get("streamer.first_failure_time"),
        destination=texts.get("streamer.destination"),
    )
