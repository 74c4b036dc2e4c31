"""What a replay would do, and what it keeps on disk."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import cast

import pytest

from streamer.core.errors import UnavailableError
from streamer.core.mapping import Mapper
from streamer.core.model import MappingSettings, Record
from streamer.core.records.replay import Forecast
from streamer.kafka.topic_reader import TopicReader
from streamer.operations import replay_state
from streamer.operations.replay_state import ReplayState
from streamer.operations.replay_survey import Survey
from streamer.receipts import digest_of
from tests.doubles.kafka import MemoryRecord
from tests.service.harness import survey_event

MAPPING = MappingSettings(dialect="getuserfeedback", integration="surveys")


class MemoryReader:
    def __init__(self, *records: Record) -> None:
        self._records = records

    async def read(self, _bounds: object) -> AsyncGenerator[Sequence[Record], None]:
        for record in self._records:
            yield [record]


def record(offset: int, value: bytes | None, partition: int = 0) -> Record:
    return MemoryRecord("t", partition, offset, 1_700_000_000_000, None, value, ())


async def test_every_record_is_counted_as_it_would_end() -> None:
    reader = MemoryReader(
        record(5, survey_event("evt_1")),
        record(6, survey_event("evt_2")),
        record(7, None),
        record(8, b"no JSON"),
        record(0, survey_event("evt_1"), partition=1),
        record(1, survey_event("evt_3"), partition=1),
    )
    survey = Survey({("t", 0): (5, 9), ("t", 1): (0, 2)})
    shown: list[tuple[int, int]] = []
    await survey.read(cast("TopicReader", reader), Mapper(MAPPING), lambda *at: shown.append(at))

    assert survey.forecasts == {
        ("t", 0): Forecast(records=4, to_send=2, filtered=1, refused=1),
        ("t", 1): Forecast(records=2, to_send=1, known=1),
    }
    assert (survey.records, survey.to_send, shown[-1]) == (6, 3, (6, 6))

    survey.note_delivered({digest_of("evt_2"), digest_of("evt_3"), digest_of("another")})

    assert survey.forecasts["t", 0] == Forecast(records=4, to_send=1, known=1, filtered=1, refused=1)
    assert survey.forecasts["t", 1] == Forecast(records=2, known=2)
    assert survey.to_send == 1


STATE = ReplayState(bounds={("t", 0): (5, 9), ("u", 3): (0, 0)}, records=4, to_send=2, forced=True, settled=3)


def test_the_state_is_found_again(tmp_path: Path) -> None:
    directory = replay_state.directory_of(tmp_path, "surveys.1-2")
    assert replay_state.load(directory) is None
    replay_state.save(directory, STATE)
    assert replay_state.load(directory) == STATE
    replay_state.remove(directory)
    assert replay_state.load(directory) is None
    replay_state.remove(directory)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "bounds": []}', "\x00"])
def test_a_state_that_cannot_be_used_is_none(tmp_path: Path, text: str) -> None:
    """Then the range is looked at anew, and the group knows how far it is."""
    (tmp_path / "replay.json").write_text(text)
    assert replay_state.load(tmp_path) is None


def test_a_disk_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="correct state_dir"):
        replay_state.save(tmp_path / "file" / "below", STATE)


def test_what_a_killed_run_has_settled_nobody_knows() -> None:
    assert STATE.settled_before == 3
    killed = ReplayState(bounds={}, records=4, to_send=2, forced=True, settled=3, was_killed=True)
    assert killed.settled_before is None
