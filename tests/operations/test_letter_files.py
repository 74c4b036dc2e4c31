"""Dead letters that go to files, are corrected there, and are compared with Kafka when they come back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamer.core.dead_letters.dead_letter import Selection
from streamer.core.dead_letters.redrive import Plan, Skip, kind_of
from streamer.core.errors import UnavailableError
from streamer.core.model import Record
from streamer.operations.corrections import Corrections
from streamer.operations.letter_files import STDOUT, LetterFiles, Reviewed, composer, export, review
from streamer.operations.redrive import take_stock
from tests.core.dead_letters.letters import dead_letter, letter_of, note
from tests.doubles.topics import MemoryTopics

TOPIC = "surveys.dlq"
PARTITION = (TOPIC, 0)


def five() -> MemoryTopics:
    """Five dead letters, of which one was redriven."""
    letters = [dead_letter(offset, value=b'{"rank": %d}' % offset) for offset in range(5)]
    return MemoryTopics([*letters, note(5, 4)])


async def export_all(topics: MemoryTopics, target: str, *, again: bool = False) -> int:
    stock, missing = await take_stock(topics, [TOPIC], Selection(), kind_of, print)
    assert missing == []
    with LetterFiles(target) as files:
        return await export(topics, Plan.of_all(stock, again=again), files, print)


def correct(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    for document in documents:
        change(document)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


async def look_at(topics: MemoryTopics, path: Path, *, force: bool = False) -> Reviewed:
    """Compare, with an integration that wants ranks below 100."""

    def judge(integration: str, record: Record, value: bytes) -> str | None:
        assert (integration, record.topic, record.key) == ("surveys", "surveys", b"visitor")
        return None if json.loads(value)["rank"] < 100 else "mapping_error: /rank: expected a smaller integer"

    corrections = Corrections(path, [TOPIC])
    assert corrections.faults == []
    return await review(topics, corrections, judge, print, force=force)


async def test_a_file_has_a_dead_letter_a_line_and_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    assert await export_all(five(), str(path)) == 4
    assert [json.loads(line)["value_json"] for line in path.read_text().splitlines()] == [
        {"rank": rank} for rank in range(4)
    ]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_what_was_redriven_is_written_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert await export_all(five(), STDOUT, again=True) == 5
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [json.loads(line)["place"] for line in lines] == [f"{TOPIC}:0:{offset}" for offset in range(5)]


async def test_a_file_with_corrections_is_not_overwritten(tmp_path: Path) -> None:
    for target in (tmp_path / "letters.jsonl", tmp_path / "letters/"):
        await export_all(five(), f"{target}/" if not target.suffix else str(target))
        with pytest.raises(FileExistsError):
            await export_all(five(), str(target))


async def test_a_directory_has_a_file_for_each_and_comes_back_as_well(tmp_path: Path) -> None:
    await export_all(five(), f"{tmp_path}/letters/")
    files = sorted((tmp_path / "letters").iterdir())
    assert [file.name for file in files] == [f"{TOPIC}-0-{offset}.json" for offset in range(4)]
    files[2].write_text(files[2].read_text().replace('"rank": 2', '"rank": 20'))
    reviewed = await look_at(five(), tmp_path / "letters")
    assert (reviewed.found, reviewed.unchanged) == (4, 3)
    assert reviewed.skip_of(PARTITION, 2) is None
    assert (await look_at(five(), files[2])).skips == {}


async def test_only_what_was_changed_and_is_valid_is_written_back(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    await export_all(five(), str(path), again=True)

    def change(document: dict[str, Any]) -> None:
        rank = document["value_json"]["rank"]
        document["value_json"]["rank"] = {0: 10, 1: 1, 2: 200, 3: 30, 4: 40}[rank]
        if rank == 3:
            del document["value_json"]

    correct(path, change)
    reviewed = await look_at(five(), path)
    assert reviewed.skips == {
        (PARTITION, 1): Skip.UNCHANGED,
        (PARTITION, 2): Skip.INVALID,
        (PARTITION, 3): Skip.INVALID,
    }
    assert reviewed.complaints == [
        f"{TOPIC}:0:2: mapping_error: /rank: expected a smaller integer",
        f"{TOPIC}:0:3: expected exactly one of value_json, value_text, value_base64, found 0",
    ]
    plan = Plan(reviewed.stock, is_read=lambda *_: True, max_redrives=3, corrected=reviewed.skip_of)
    assert {partition: list(offsets) for partition, offsets in plan.chosen.items()} == {PARTITION: [0]}
    [tally] = plan.tallies
    assert (tally.dead_letters, tally.redriven_before, tally.left) == (5, 1, 1)

    record = five().records[0]
    back = composer(Corrections(path, [TOPIC]))(record, letter_of(dead_letter(0)))
    assert (back.topic, back.value) == ("surveys", b'{"rank":10}')


async def test_force_writes_what_would_be_set_aside_again_but_not_what_has_no_value(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    await export_all(five(), str(path))

    def change(document: dict[str, Any]) -> None:
        document["value_json"]["rank"] = 200
        if document["place"].endswith(":3"):
            document.update(value_text=None)
            del document["value_json"]

    correct(path, change)
    reviewed = await look_at(five(), path, force=True)
    assert reviewed.skips == {(PARTITION, 3): Skip.INVALID}
    assert reviewed.invalid == 4


async def test_what_retention_has_deleted_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    await export_all(five(), str(path))
    later = MemoryTopics(five().records[2:])
    reviewed = await look_at(later, path)
    assert (reviewed.found, len(Corrections(path, [TOPIC]))) == (2, 4)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 1: not JSON"),
        ('{"value_text": "x"}', "line 1: place: expected topic:partition:offset"),
        ('{"place": "other:0:1"}', "line 1: place: other is no dead-letter topic of the configuration"),
        ('{"place": "surveys.dlq:0:1"}\n\n{"place": "surveys.dlq:0:1"}', "line 3: place: surveys.dlq:0:1 occurs twice"),
        ("[" * 100_000, "line 1: not JSON"),
        ("\udcff", "line 1: not JSON"),
    ],
)
def test_a_line_that_is_not_understood_is_named(tmp_path: Path, line: str, fault: str) -> None:
    """One would be enough to doubt the others, so none is written."""
    path = tmp_path / "letters.jsonl"
    path.write_text(line, errors="surrogateescape")
    [found] = Corrections(path, [TOPIC]).faults
    assert found.startswith(f"{path}, {fault}")


async def test_a_file_that_is_changed_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    await export_all(five(), str(path))
    corrections = Corrections(path, [TOPIC])
    correct(path, lambda document: document["value_json"].update(more="x"))
    with pytest.raises(UnavailableError, match="was changed while it was read"):
        corrections.document(PARTITION, 3)
