"""What receipts tell of deliveries, and when that is not enough."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

import pytest

from streamer.core.model import Record
from streamer.core.records.receipt_record import ReceiptBatch, encode
from streamer.kafka.topic_reader import TopicReader
from streamer.operations.delivered_before import MAX_ASKED, Delivered, from_instances, from_topic
from streamer.operations.instances import Answer, Instances
from streamer.receipts import digest_of
from tests.doubles.kafka import MemoryRecord

HERE, ELSEWHERE = "fingerprint of here", "fingerprint of elsewhere"
WANTED = {digest_of(f"evt_{number}") for number in range(10)}
SINCE = 1_000.0


class MemoryReader:
    """A topic with these records."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    async def bounds(self, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        return {(topics[0], 0): (0, len(self._records))}

    async def read(self, _bounds: object) -> AsyncGenerator[Sequence[Record], None]:
        yield self._records


def receipt(*message_ids: str, destination: str = HERE, at: float = 2_000.0) -> tuple[bytes, bytes]:
    return encode(
        ReceiptBatch(
            integration="surveys",
            destination_name="segment",
            destination=destination,
            topic="t",
            partition=0,
            delivered_at=at,
            instance="one",
            batch_events=len(message_ids),
            attempt=1,
            status=200,
            replay_id=0,
            offsets=range(len(message_ids)),
            digests=[digest_of(message_id) for message_id in message_ids],
        )
    )


async def in_topic(*receipts: tuple[bytes, bytes]) -> Delivered:
    records = [MemoryRecord("receipts", 0, at, 0, key, value, ()) for at, (key, value) in enumerate(receipts)]
    reader = cast("TopicReader", MemoryReader(records))
    return await from_topic(reader, "receipts", HERE, wanted=WANTED, since=SINCE, on_progress=lambda *_: None)


async def test_the_topic_tells_what_this_destination_got() -> None:
    known = await in_topic(
        receipt("older", at=900.0),
        receipt("evt_1", "evt_2", "other"),
        receipt("evt_3", destination=ELSEWHERE),
        (b"key", b"no receipt"),
    )
    assert known == Delivered({digest_of("evt_1"), digest_of("evt_2")}, doubt="")


async def test_receipts_that_begin_later_than_the_range_leave_a_doubt() -> None:
    known = await in_topic(receipt("evt_1", at=1_001.0))
    assert known.digests == {digest_of("evt_1")}
    assert "1970-01-01T00:16:41Z, and the range begins earlier" in known.doubt


async def test_a_topic_without_receipts_tells_nothing() -> None:
    assert "no receipt of this destination" in (await in_topic(receipt("evt_1", destination=ELSEWHERE))).doubt


class Fleet:
    """Running instances that know some deliveries."""

    def __init__(self, known: Mapping[str, tuple[float, set[str]]], problems: Sequence[str] = ()) -> None:
        self.problems = problems
        self.asked: list[int] = []
        self._known = known

    @property
    def addresses(self) -> Sequence[str]:
        return tuple(self._known)

    async def get(self, path: str, params: Mapping[str, str]) -> list[Answer]:
        assert path == "/receipts/surveys"
        digests = [text for text in params["digests"].split(",") if text]
        self.asked.append(len(digests))
        return [Answer(name, self._document(name, digests), "") for name in self._known]

    def _document(self, name: str, digests: Sequence[str]) -> dict[str, Any]:
        since, known = self._known[name]
        told = {digest_of(message_id).hex() for message_id in known}
        return {"known_since": since, "receipts": {digest: {} for digest in digests if digest in told}}


async def ask(fleet: Any, wanted: set[bytes] = WANTED) -> Delivered:
    instances = cast("Instances", fleet)
    return await from_instances(instances, "surveys", wanted=wanted, since=SINCE, on_progress=lambda *_: None)


async def test_all_instances_together_tell_it() -> None:
    known = await ask(Fleet({"one": (900.0, {"evt_1", "x"}), "two": (SINCE, {"evt_2"})}))
    assert known == Delivered({digest_of("evt_1"), digest_of("evt_2")}, doubt="")


async def test_one_question_holds_as_many_as_an_instance_takes() -> None:
    fleet = Fleet({"one": (0.0, set())})
    await ask(fleet, {digest_of(str(number)) for number in range(2 * MAX_ASKED + 1)})
    assert sorted(fleet.asked) == [1, MAX_ASKED, MAX_ASKED]


async def test_an_instance_whose_receipts_begin_later_leaves_a_doubt() -> None:
    """What it does know is told all the same, of every event."""
    wanted = {digest_of(str(number)) for number in range(2 * MAX_ASKED)}
    known = await ask(Fleet({"one": (0.0, set()), "two": (SINCE + 1, {str(n) for n in range(1_000)})}), wanted)
    assert known.doubt.startswith("two has receipts since 1970-01-01T00:16:41Z")
    assert known.digests == wanted


@pytest.mark.parametrize(
    ("fleet", "doubt"),
    [
        (Fleet({}), "no instance runs"),
        (Fleet({"one": (0.0, set())}, ["the brokers do not answer"]), "the brokers do not answer"),
    ],
)
async def test_nobody_can_tell(fleet: Fleet, doubt: str) -> None:
    assert (await ask(fleet)).doubt == doubt


@pytest.mark.parametrize("document", [None, {}, {"known_since": 0.0}, {"known_since": 0.0, "receipts": {"x": {}}}])
async def test_an_answer_that_is_none_leaves_a_doubt(document: Any) -> None:
    class Strange(Fleet):
        async def get(self, path: str, params: Mapping[str, str]) -> list[Answer]:
            assert path
            assert params
            return [Answer("one", document, "it did not answer within 5 s" if document is None else "")]

    assert (await ask(Strange({"one": (0.0, set())}))).doubt.startswith("one: ")
