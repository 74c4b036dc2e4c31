"""``streamer dlq`` on a real broker: what it reads, what it writes, and what an interruption leaves."""

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from aiokafka.structs import ConsumerRecord

from streamer.__main__ import main
from streamer.core.dead_letters.dead_letter import Selection
from streamer.core.dead_letters.redrive import Plan, kind_of
from streamer.core.errors import UnavailableError
from streamer.kafka import DeadLetterProducer
from streamer.kafka.topic_reader import TopicReader
from streamer.operations import redrive
from streamer.operations.redrive import Redrive, take_stock
from streamer.settings import KafkaSettings
from tests.conftest import ConsumeAll, ExternalCluster, MakeTopic, Produce

pytestmark = pytest.mark.kafka

WAIT_SECONDS: Final = 30.0
MAX_AGE_MS: Final = 86_400_000
"""How old the time of a record may be in the topic that dead letters go back to."""

Headers = list[tuple[str, bytes | None]]


def headers_of(
    topic: str,
    *,
    integration: str = "surveys",
    reason: str = "rejected_400",
    redrives: int = 0,
    partition: int = 0,
    more: Headers | None = None,
) -> Headers:
    """The headers by which a dead letter of a topic is known."""
    return [
        ("trace", b"theirs"),
        ("streamer.reason", reason.encode()),
        ("streamer.integration", integration.encode()),
        ("streamer.redrives", str(redrives).encode()),
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.partition", str(partition).encode()),
        ("__connect.errors.offset", b"0"),
        *(more or ()),
    ]


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    exit_code: int
    rows: list[dict[str, Any]]
    errors: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A topic with its dead-letter topic, a configuration of one integration that reads it, and the command line."""

    topic: str
    dead_letter_topic: str
    config: Path
    produce: Produce
    consume_all: ConsumeAll
    kafka: KafkaSettings

    async def set_aside(self, values: Iterable[bytes], **headers: Any) -> None:
        """Write dead letters."""
        await self.produce(self.dead_letter_topic, values, key=b"visitor", headers=headers_of(self.topic, **headers))

    async def records(self) -> list[ConsumerRecord]:
        return await self.consume_all(self.topic)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "streamer", "dlq", *arguments, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> Ended:
        return await end(await self.start(*arguments))

    async def ask(self, *arguments: str) -> int:
        """Run a command that needs no signals in this process; what it prints is for ``capsys``."""
        return await asyncio.to_thread(main, [*arguments, "--config", str(self.config)])


async def end(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(WAIT_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, [json.loads(line) for line in out.splitlines()], err.decode())


@pytest.fixture
async def desk(
    broker: ExternalCluster, make_topic: MakeTopic, produce: Produce, consume_all: ConsumeAll, tmp_path: Path
) -> Desk:
    limits = {"max.message.bytes": "2000", "message.timestamp.before.max.ms": str(MAX_AGE_MS)}
    topic = await make_topic("answers", partitions=2, config=limits)
    dead_letter_topic = await make_topic("refused", partitions=2)
    config = tmp_path / "streamer.yaml"
    integration = {
        "dialect": "getuserfeedback",
        "topics": [topic],
        "destination": "local",
        "dead_letters": {"topic": dead_letter_topic},
    }
    document = {
        "kafka": {"bootstrap_servers": broker.bootstrap_servers},
        "destinations": {"local": {"write_key": "write-key-of-the-test", "endpoint": "http://127.0.0.1:1"}},
        "integrations": {"surveys": integration},
    }
    config.write_text(yaml.safe_dump(document))
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    return Desk(topic, dead_letter_topic, config, produce, consume_all, kafka)


def values(count: int, prefix: str = "v") -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in range(count)]


async def test_dead_letters_are_counted(desk: Desk) -> None:
    await desk.set_aside(values(3))
    await desk.set_aside(values(2), reason="decode_error")
    await desk.set_aside(values(1), integration="others")
    await desk.produce(desk.dead_letter_topic, [b"of somebody else"])

    ended = await desk.run("ls")

    assert ended.exit_code == 0
    assert [(row["integration"], row["reason"], row["dead_letters"]) for row in ended.rows] == [
        ("others", "rejected_400", 1),
        ("surveys", "decode_error", 2),
        ("surveys", "rejected_400", 3),
    ]
    assert {row["topic"] for row in ended.rows} == {desk.dead_letter_topic}
    assert ended.errors == "streamer: records that are not dead letters of streamer, not counted: 1\n"


async def test_a_table_is_for_people(desk: Desk) -> None:
    await desk.set_aside(values(1))
    process = await desk.start("ls", "--output", "table")
    out, _ = await process.communicate()
    heading, row = out.decode().splitlines()
    assert heading.split() == ["integration", "reason", "topic", "dead_letters", "redriven", "oldest", "newest"]
    assert row.split()[:5] == ["surveys", "rejected_400", desk.dead_letter_topic, "1", "0"]


async def test_without_execute_nothing_is_written(desk: Desk) -> None:
    await desk.set_aside(values(3))

    ended = await desk.run("redrive")

    assert ended.exit_code == 0
    assert [(row["dead_letters"], row["redriven"], row["left"]) for row in ended.rows] == [(3, 0, 3)]
    assert "nothing was written; --execute writes 3 records" in ended.errors
    assert await desk.records() == []
    assert len(await desk.consume_all(desk.dead_letter_topic)) == 3


async def test_records_go_back_as_they_were_and_only_once(desk: Desk) -> None:
    """To the partition they came from, where the receipts of their messageIds are; a repetition finds the note."""
    await desk.set_aside(values(3), partition=1)
    letters = await desk.consume_all(desk.dead_letter_topic)

    for expected in (3, 0):
        ended = await desk.run("redrive", "--execute")
        assert ended.exit_code == 0
        assert [row["redriven"] for row in ended.rows] == [expected]
        assert [row["left"] for row in ended.rows] == [0]

    records = await desk.records()
    assert [(record.partition, record.key, record.value, record.timestamp) for record in records] == [
        (1, letter.key, letter.value, letter.timestamp) for letter in letters
    ]
    for record, letter in zip(records, letters, strict=True):
        assert dict(record.headers) == {
            "trace": b"theirs",
            "streamer.redrives": b"1",
            "streamer.integration": b"surveys",
            "streamer.redriven.from": f"{letter.topic}-{letter.partition}-{letter.offset}".encode(),
        }
    [counted] = (await desk.run("ls")).rows
    assert (counted["dead_letters"], counted["redriven"]) == (3, 3)


async def test_only_what_is_selected_is_redriven(desk: Desk) -> None:
    await desk.set_aside(values(2, "early"))
    await desk.set_aside(values(2, "undecodable"), reason="decode_error")
    await desk.set_aside(values(2, "theirs"), integration="others")

    await desk.run("redrive", "--execute", "--reason", "decode_error", "--integration", "surveys")
    assert {record.value for record in await desk.records()} == {b"undecodable0", b"undecodable1"}

    nothing = await desk.run("redrive", "--execute", "--until", "1h", "--message-id", "evt_3", "--detail", "*")
    assert nothing.rows == []
    await desk.run("redrive", "--execute", "--since", "1h", "--integration", "surveys")
    assert Counter(record.value for record in await desk.records()) == Counter(
        [*values(2, "undecodable"), *values(2, "early")]
    )


async def test_again_is_for_those_redriven_before(desk: Desk) -> None:
    await desk.set_aside(values(2))
    for _ in range(2):
        await desk.run("redrive", "--execute", "--again")
    assert len(await desk.records()) == 4


async def test_what_is_skipped_is_told_and_stays(desk: Desk) -> None:
    """One redriven too often, one that would not be delivered, one too large; the others are redriven."""
    await desk.set_aside([b"too often"], redrives=3)
    await desk.set_aside([b"not read"], integration="others")
    await desk.set_aside([random.randbytes(3_000)])
    await desk.set_aside([b"good"])

    ended = await desk.run("redrive", "--execute")

    assert ended.exit_code == 1
    for text in ("1 skipped (over_limit)", "1 skipped (not_read)", "1 skipped (too_large)", "1 redriven, 0 left"):
        assert text in ended.errors
    assert [record.value for record in await desk.records()] == [b"good"]
    assert (await desk.run("redrive", "--execute", "--max-redrives", "4", "--integration", "surveys")).exit_code == 1
    assert [record.value for record in await desk.records()] == [b"good", b"too often"]


async def test_time_and_missing_key_of_a_record_come_back_and_what_is_refused_costs_nobody_else(desk: Desk) -> None:
    """A dead letter has the time of its own writing; the broker refuses a batch for the time of one record."""
    earlier = int(time.time() * 1000) - MAX_AGE_MS // 2
    kept: Headers = [("streamer.original_timestamp", str(earlier).encode())]
    await desk.set_aside([b"kept"], more=kept)
    await desk.set_aside([b"without key"], more=[*kept, ("streamer.key.null", b"1")])
    await desk.set_aside([b"too old"], more=[("streamer.original_timestamp", b"1000")])
    await desk.set_aside([b""], more=[*kept, ("streamer.value.omitted", b"1")])

    ended = await desk.run("redrive", "--execute")

    assert ended.exit_code == 1
    for text in ("1 skipped (refused)", "1 skipped (no_value)", "2 redriven, 0 left"):
        assert text in ended.errors
    assert sorted((record.value, record.key, record.timestamp) for record in await desk.records()) == [
        (b"kept", b"visitor", earlier),
        (b"without key", None, earlier),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_repetition_goes_on_where_an_interruption_ended(desk: Desk, number: signal.Signals) -> None:
    await desk.set_aside(values(30))
    process = await desk.start("redrive", "--execute", "--rate", "5/s")
    async with asyncio.timeout(WAIT_SECONDS):
        while not await desk.records():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.05)
    process.send_signal(number)
    interrupted = await end(process)

    assert interrupted.exit_code == 130
    [row] = interrupted.rows
    assert 0 < row["redriven"] < 30
    assert row["left"] == 30 - row["redriven"]
    assert f"{row['left']} left; run the same command again to continue" in interrupted.errors
    assert len(await desk.records()) == row["redriven"]

    [repeated] = (await desk.run("redrive", "--execute", "--rate", "1000/s")).rows
    assert (repeated["redriven_before"], repeated["redriven"]) == (row["redriven"], row["left"])
    assert Counter(record.value for record in await desk.records()) == Counter(values(30))


async def test_an_interruption_finishes_the_batch_in_hand(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way to the broker cannot be called back, so it is waited for, counted and noted."""
    write = DeadLetterProducer.write
    stop = asyncio.Event()

    async def stop_and_write(self: DeadLetterProducer, *args: Any, **kwargs: Any) -> None:
        stop.set()
        await write(self, *args, **kwargs)

    monkeypatch.setattr(DeadLetterProducer, "write", stop_and_write)
    await desk.set_aside(values(8))
    async with TopicReader(desk.kafka) as reader:
        plan = await planned(desk, reader)
        await Redrive(desk.kafka, plan, max_per_second=5, on_progress=print).run(reader, stop)
        assert (plan.redriven, plan.left) == (5, 3)
        assert (await planned(desk, reader)).left == 3


async def test_after_a_kill_at_most_a_batch_is_written_twice(desk: Desk) -> None:
    await desk.set_aside(values(30))
    process = await desk.start("redrive", "--execute", "--rate", "5/s")
    async with asyncio.timeout(WAIT_SECONDS):
        while not await desk.records():  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.05)
    process.kill()
    await process.communicate()

    await desk.run("redrive", "--execute", "--rate", "1000/s")

    written = Counter(record.value for record in await desk.records())
    assert set(written) == set(values(30))
    assert written.total() - 30 <= 5


async def test_no_more_is_written_than_the_rate_allows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is measured in the loop's own clock: 20 records at 50 a second take longer than 0.2 s."""
    monkeypatch.setattr(redrive, "MAX_BATCH_RECORDS", 5)
    await desk.set_aside(values(20))
    clock = asyncio.get_running_loop().time
    async with TopicReader(desk.kafka) as reader:
        plan = await planned(desk, reader)
        begun = clock()
        await Redrive(desk.kafka, plan, max_per_second=50, on_progress=print).run(reader, asyncio.Event())
    assert clock() - begun >= 15 / 50
    assert plan.redriven == 20


async def test_what_cannot_be_confirmed_is_not_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker goes away in the middle of a batch: what it has confirmed is noted, and the rest is left."""
    write = DeadLetterProducer.write

    async def fail_for_one(self: DeadLetterProducer, topic: str, record: Any, *args: Any, **kwargs: Any) -> None:
        if record.value == b"v1":
            raise UnavailableError("gone")
        await write(self, topic, record, *args, **kwargs)

    await desk.set_aside(values(3))
    async with TopicReader(desk.kafka) as reader:
        plan = await planned(desk, reader)
        with monkeypatch.context() as patch:
            patch.setattr(DeadLetterProducer, "write", fail_for_one)
            with pytest.raises(UnavailableError, match=f"{desk.topic}: gone"):
                await Redrive(desk.kafka, plan, max_per_second=100, on_progress=print).run(reader, asyncio.Event())
        assert (plan.redriven, plan.left) == (2, 1)
        again = await planned(desk, reader)
        await Redrive(desk.kafka, again, max_per_second=100, on_progress=print).run(reader, asyncio.Event())
    assert Counter(record.value for record in await desk.records()) == Counter(values(3))


async def test_a_note_that_cannot_be_written_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    write = DeadLetterProducer.write

    async def fail_for_notes(self: DeadLetterProducer, topic: str, record: Any, *args: Any, **kwargs: Any) -> None:
        if topic == desk.dead_letter_topic:
            raise UnavailableError("gone")
        await write(self, topic, record, *args, **kwargs)

    await desk.set_aside(values(3))
    async with TopicReader(desk.kafka) as reader:
        plan = await planned(desk, reader)
        monkeypatch.setattr(DeadLetterProducer, "write", fail_for_notes)
        with pytest.raises(UnavailableError, match="could not note that 3 of its dead letters were redriven: gone"):
            await Redrive(desk.kafka, plan, max_per_second=100, on_progress=print).run(reader, asyncio.Event())
    assert plan.redriven == 3


async def test_a_dead_letter_topic_that_is_missing_holds_none(desk: Desk) -> None:
    """And asking for it does not make it."""
    document = yaml.safe_load(desk.config.read_text())
    document["integrations"]["surveys"]["dead_letters"]["topic"] = "streamer-test.absent"
    desk.config.write_text(yaml.safe_dump(document))
    for _ in range(2):
        ended = await desk.run("ls")
        assert (ended.exit_code, ended.rows) == (0, [])
        assert "the topic streamer-test.absent does not exist, so it has no dead letters" in ended.errors


SAMPLE = json.loads(Path("tests/samples/getuserfeedback/01-flow-viewed.json").read_text())
FAULT = "/properties/app_id: expected a string, found nothing (getuserfeedback_event.schema.json)"


async def test_a_dead_letter_is_explained_corrected_and_followed(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What on-call and a producer do about it: why, show, export, correct, import, show."""

    async def ask(*arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert await desk.ask(*arguments) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    good = {**SAMPLE, "messageId": "evt_3"}
    bad = json.dumps({**good, "properties": {**SAMPLE["properties"], "app_id": None}}, indent=1).encode()
    more: Headers = [("__connect.errors.exception.message", FAULT.encode()), ("streamer.message_id", b"evt_3")]
    await desk.set_aside([bad], reason="schema_invalid", more=[("client.id", b"web-7"), *more])
    await desk.set_aside([b"\xff"], reason="decode_error")

    causes = {row["reason"]: row for row in await ask("dlq", "why")}
    assert [causes["schema_invalid"][name] for name in ("producer", "detail")] == ["client.id=web-7", FAULT]
    assert causes["schema_invalid"]["schema_says"].startswith("The app that runs the flow.")
    assert causes["decode_error"]["producer"] == "unknown"
    [shown] = await ask("dlq", "show", "evt_3")
    assert (shown["value_json"]["messageId"], shown["redriven"]) == ("evt_3", [])
    assert await ask("dlq", "show", shown["place"]) == [shown]

    path = tmp_path / "letters.jsonl"
    await ask("dlq", "export", str(path), "--message-id", "evt_3", "--detail", "/properties/*")
    document = json.loads(path.read_text())
    for value, told in (
        (bad, "0 changed, 1 unchanged"),
        (b"{}", "1 changed, 0 unchanged; 1 of the changed are invalid"),
    ):
        path.write_text(json.dumps({**document, "value_json": json.loads(value)}) + "\n")
        ended = await desk.ask("dlq", "import", str(path), "--execute")
        assert ended == (1 if value == b"{}" else 0)
        assert told in capsys.readouterr().err
    assert await desk.records() == []

    path.write_text(json.dumps({**document, "value_json": good}) + "\n")
    imported = await desk.run("import", str(path), "--execute")
    assert (imported.exit_code, imported.rows[0]["redriven"]) == (0, 1), imported.errors
    [record] = await desk.records()
    assert (json.loads(record.value), record.key) == (good, b"visitor")
    assert dict(record.headers)["streamer.redrives"] == b"1"
    [shown] = await ask("dlq", "show", "evt_3")
    assert len(shown["redriven"]) == 1

    lagging = await ask("lag")
    assert sorted((row["committed"], row["end"], row["lag"], row["members"]) for row in lagging) == [
        (None, 0, 0, 0),
        (None, 1, 1, 0),
    ]
    assert await desk.ask("lag", "--max-lag", "0", "--max-age", "1h") == 1
    assert "is 1 records behind; allowed are 0" in capsys.readouterr().err


async def planned(desk: Desk, reader: TopicReader) -> Plan:
    stock, _ = await take_stock(reader, [desk.dead_letter_topic], Selection(), kind_of, print)
    return Plan(stock, is_read=lambda _name, _topic: True, max_redrives=3)
