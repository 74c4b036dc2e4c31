"""The record: its arithmetic against a model that is too simple to be wrong, its memory's bounds, and its file."""

import errno
import io
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.devkit.sandbox.answers import BAD_REQUEST, SUCCESS, Judgement
from streamer.devkit.sandbox.discards import Discard
from streamer.devkit.sandbox.record import KEPT_CALLS, LATEST_CALLS, ReceivedCall, SandboxRecord, Verdict
from streamer.devkit.sandbox.record_file import RecordFile


class HalfWriter(io.BytesIO):
    """A file that takes half of what it is given."""

    def write(self, given: Any, /) -> int:
        return super().write(bytes(given)[: len(bytes(given)) // 2])


def receive(record: SandboxRecord, *ids: str | None, now: float = 0.0, **judged: Any) -> list[ReceivedCall]:
    """Put calls with these messageIds on record, as accepted unless ``judged`` otherwise."""
    given: dict[str, Any] = {"reply": SUCCESS, "discards": [None] * len(ids)} | judged
    judgement = Judgement(**given)
    calls = [{} if message_id is None else {"messageId": message_id} for message_id in ids]
    return record.receive("/v1/batch", calls, judgement, str(judgement.reply.status), now)


REQUESTS = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.tuples(st.sampled_from([None, "", "a", "b", "c"]), st.sampled_from([None, *Discard])), max_size=6),
    )
)


@given(requests=REQUESTS)
def test_received_is_accepted_plus_duplicates_plus_swallowed_plus_refused(
    requests: list[tuple[bool, list[tuple[str | None, Discard | None]]]],
) -> None:
    """And a messageId counts once for each accepted request with a valid call that has it."""
    record = SandboxRecord()
    taken: Counter[str] = Counter()
    without_id = swallowed = refused = 0
    for refuses, calls in requests:
        ids, discards = [message_id for message_id, _ in calls], [discard for _, discard in calls]
        if refuses:
            receive(record, *ids, reply=BAD_REQUEST, discards=[None] * len(ids))
            refused += len(ids)
            continue
        receive(record, *ids, discards=discards)
        kept = [message_id for message_id, discard in calls if discard is None]
        swallowed += len(calls) - len(kept)
        taken.update(filter(None, kept))
        without_id += sum(not message_id for message_id in kept)
    assert record.received == sum(len(calls) for _, calls in requests)
    assert record.received == record.accepted + record.duplicates + record.swallowed + record.refused
    assert (record.swallowed, record.refused) == (swallowed, refused)
    assert record.accepted == len(taken) + without_id
    assert dict(record.counts()) == taken
    assert record.requests_by_answer.total() == len(requests)


def test_a_refused_call_leaves_no_memory_of_its_id() -> None:
    record = SandboxRecord()
    receive(record, "a", reply=BAD_REQUEST)
    (entry,) = receive(record, "a")
    assert (entry.verdict, record.count("a")) == (Verdict.ACCEPTED, 1)


def test_a_swallowed_call_leaves_no_memory_of_its_id() -> None:
    record = SandboxRecord()
    receive(record, "a", discards=[Discard.NO_USER_ANON_ID])
    assert record.count("a") == 0
    assert not record.accepted_ids


def test_the_id_accepted_longest_ago_is_forgotten_first() -> None:
    record = SandboxRecord(max_ids=2, dedup_window_seconds=10)
    receive(record, "a", now=0)
    receive(record, "b", now=1)
    receive(record, "a", now=11)  # outside its window: accepted again
    receive(record, "c", now=12)
    assert record.accepted_ids == {"a", "c"}
    assert (record.forgotten_ids, record.totals()["ids"]) == (1, 2)


def test_counts_can_be_read_while_ids_are_forgotten() -> None:
    record = SandboxRecord(max_ids=3)
    receive(record, "a", "b", "c")
    counts = record.counts()
    assert next(counts) == ("a", 1)
    receive(record, "d", "e")
    assert list(counts) == [("c", 1)]


def test_only_the_latest_calls_are_kept_newest_first() -> None:
    record = SandboxRecord()
    receive(record, *(f"m-{number}" for number in range(1, KEPT_CALLS + 51)))
    receive(record, "last")
    kept = list(record.kept())
    assert len(kept) == KEPT_CALLS
    assert [call.entry.message_id for call in kept[:2]] == ["last", f"m-{KEPT_CALLS + 50}"]
    assert kept[0].body == b'{"messageId":"last"}'
    assert [entry.message_id for entry, _ in record.latest()] == [call.entry.message_id for call in kept[:LATEST_CALLS]]


@pytest.mark.parametrize("requests", [[3], [1, 1, 1], [KEPT_CALLS + 7, 2], [KEPT_CALLS, 0, KEPT_CALLS]])
def test_a_call_keeps_its_number(requests: list[int]) -> None:
    """Numbers are not stored: they follow from how many calls were received."""
    record, total = SandboxRecord(), 0
    for calls in requests:
        receive(record, *(f"m-{total + place}" for place in range(1, calls + 1)))
        total += calls
    assert all(call.entry.message_id == f"m-{call.number}" for call in record.kept())
    for number in (total, max(1, total - KEPT_CALLS + 1)):
        found = record.find(number)
        assert found is not None
        assert found.entry.message_id == f"m-{number}"
    assert record.find(total - KEPT_CALLS) is None
    assert record.find(total + 1) is None
    assert [call.number for call in record.kept(after=total - 2)] == [total, total - 1]


def test_a_body_over_the_limit_is_not_kept() -> None:
    record = SandboxRecord()
    record.receive(
        "/v1/track", [{"properties": {"text": "x" * 32_000}}], Judgement(reply=BAD_REQUEST, discards=[None]), "400", 0
    )
    ((_, body),) = record.latest()
    assert body is None


def test_clear_forgets_everything_but_requests_in_flight() -> None:
    record = SandboxRecord()
    empty, run = record.totals(), record.run
    receive(record, "a", "a", discards=[None, Discard.BAD_REQUEST], request_discard=Discard.MULTI_USER_ERROR)
    with record.request_open():
        record.clear()
        assert (record.requests_in_flight, record.max_requests_in_flight) == (1, 1)
    record.clear()
    assert record.totals() == empty
    assert not record.latest()
    assert record.run != run


def test_the_most_requests_in_flight_are_remembered() -> None:
    record = SandboxRecord()
    with record.request_open(), record.request_open():
        pass
    with record.request_open():
        assert (record.requests_in_flight, record.max_requests_in_flight) == (1, 2)


def test_the_file_has_a_line_for_each_call(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("{}\n")
    record = SandboxRecord()
    with RecordFile(path) as file:
        file.append(receive(record, "a", None, now=1.5, discards=[None, Discard.NO_USER_ANON_ID]))
        file.append(receive(record, reply=BAD_REQUEST))
        file.append([ReceivedCall(2.0, "b", Verdict.ACCEPTED, None, "/v1/track", "hang")])
    accepted, swallowed, unanswered = map(orjson.loads, path.read_bytes().splitlines()[1:])
    assert accepted == {
        "time": 1.5,
        "messageId": "a",
        "verdict": "accepted",
        "path": "/v1/batch",
        "status": 200,
        "code": None,
    }
    assert (swallowed["verdict"], swallowed["code"], swallowed["messageId"]) == ("swallowed", "no_user_anon_id", None)
    assert (unanswered["verdict"], unanswered["status"]) == ("accepted", None)


def test_the_file_takes_no_more_than_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    entries = receive(SandboxRecord(), "a")
    with RecordFile(path, max_bytes=150) as file:
        file.append(entries)
        with pytest.raises(OSError, match="limit of 150 bytes") as caught:
            file.append(entries)
    assert caught.value.errno == errno.EFBIG
    assert len(path.read_bytes().splitlines()) == 1


def test_a_write_that_stops_half_way_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that fills up within a line."""
    with RecordFile(tmp_path / "calls.jsonl") as file:
        file.close()
        monkeypatch.setattr(file, "_file", HalfWriter())
        with pytest.raises(OSError, match="part of the calls") as caught:
            file.append(receive(SandboxRecord(), "a"))
    assert caught.value.errno == errno.ENOSPC
