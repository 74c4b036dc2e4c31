"""Receipts: found within the window and only then, and no state of the disk may raise or stall."""

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import hypothesis.strategies as st
import lmdb
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streamer.core.errors import UnavailableError
from streamer.receipts import Deliveries, Place, ProblemKind, Receipts, destination_fingerprint, digest_of
from streamer.receipts.check import is_sound
from streamer.receipts.receipts import MAX_PROBLEMS

WINDOW = 100
SMALL = 1 << 20
NOW = 1_700_000_000.0

Open = Callable[..., Receipts]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "sprig" / "receipts"


@pytest.fixture
def opened(directory: Path) -> Iterator[Open]:
    """Opens the store of ``directory``, and closes whatever the test leaves open."""
    receipts: list[Receipts] = []

    def open_(
        now: float = NOW,
        *,
        window_seconds: float = WINDOW,
        max_bytes: int = 16 << 20,
        destination: str = "",
        boot_id: str = "this boot",
    ) -> Receipts:
        opened_now = Receipts.open(
            directory,
            window_seconds=window_seconds,
            max_bytes=max_bytes,
            now=now,
            destination=destination,
            boot_id=boot_id,
        )
        receipts.append(opened_now)
        return opened_now

    yield open_
    for one in receipts:
        one.close()


def kinds(receipts: Receipts) -> list[ProblemKind]:
    return [problem.kind for problem in receipts.problems]


def batch(start: int, count: int) -> list[Deliveries]:
    return deliveries((f"id-{number}", "surveys", 3, number) for number in range(start, start + count))


def deliveries(places: Iterable[tuple[str, str, int, int]]) -> list[Deliveries]:
    """What was delivered, from tuples of messageId, topic, partition and offset."""
    partitions: dict[tuple[str, int], tuple[list[int], list[bytes]]] = {}
    for message_id, topic, partition, offset in places:
        offsets, digests = partitions.setdefault((topic, partition), ([], []))
        offsets.append(offset)
        digests.append(digest_of(message_id))
    return [Deliveries(*partition, *columns) for partition, columns in partitions.items()]


def find(receipts: Receipts, message_ids: Sequence[str], now: float) -> dict[str, Place]:
    """What is found, by messageId."""
    places = receipts.find([digest_of(message_id) for message_id in message_ids], now)
    return {message_id: places[digest_of(message_id)] for message_id in message_ids if digest_of(message_id) in places}


def abandon(receipts: Receipts) -> None:
    """End as a killed process does: nothing synced, nothing noted, the lock gone."""
    store, receipts._store = receipts._store, None
    assert store is not None
    store.close(sync=False)
    receipts._home.release()


def test_what_was_added_is_found_with_its_place(opened: Open) -> None:
    receipts = opened()
    receipts.add(deliveries([("a", "surveys", 0, 7), ("b", "surveys", 11, 2**47), ("ä", "other", 0, 0)]), NOW)
    assert find(receipts, ["a", "b", "ä", "unknown"], NOW) == {
        "a": Place("surveys", 0, 7),
        "b": Place("surveys", 11, 2**47),
        "ä": Place("other", 0, 0),
    }
    assert receipts.entries() == 3
    assert receipts.bytes() > 0
    assert not receipts.problems


def test_the_last_delivery_of_an_id_is_the_one_found(opened: Open) -> None:
    receipts = opened()
    receipts.add(deliveries([("a", "surveys", 0, 7)]), NOW)
    receipts.add(deliveries([("a", "surveys", 0, 9)]), NOW + WINDOW + 1)
    assert find(receipts, ["a"], NOW + WINDOW + 1) == {"a": Place("surveys", 0, 9)}


def test_what_was_delivered_to_another_destination_proves_nothing(opened: Open, directory: Path) -> None:
    """After a wrong region or key is corrected, what producers send again has to go out."""
    wrong = opened(destination="wrong")
    wrong.add(deliveries([("a", "surveys", 0, 7)]), NOW)
    wrong.close()

    right = opened(destination="right")
    assert find(right, ["a"], NOW) == {}
    assert kinds(right) == [ProblemKind.OTHER_DESTINATION]
    assert [path.name for path in directory.parent.glob("receipts.set-aside-*")], "kept for an operator to look at"
    right.add(deliveries([("b", "surveys", 0, 8)]), NOW)
    right.close()

    again = opened(destination="right")
    assert list(find(again, ["a", "b"], NOW)) == ["b"]
    assert not again.problems


def test_a_destination_may_change_while_running(opened: Open) -> None:
    """A write key that was replaced in its file is used without a restart."""
    receipts = opened(destination="wrong")
    receipts.add(deliveries([("a", "surveys", 0, 7)]), NOW)

    receipts.serve("right", NOW + 1)
    assert find(receipts, ["a"], NOW + 1) == {}
    assert kinds(receipts) == [ProblemKind.OTHER_DESTINATION]
    assert receipts.window_start(NOW + 2) == NOW + 1
    receipts.add(deliveries([("b", "surveys", 0, 8)]), NOW + 1)
    receipts.serve("right", NOW + 2)
    assert list(find(receipts, ["b"], NOW + 2)) == ["b"]
    receipts.close()

    assert list(find(opened(NOW + 3, destination="right"), ["b"], NOW + 3)) == ["b"]


def test_receipts_that_cannot_be_used_do_not_mind_another_destination(opened: Open, directory: Path) -> None:
    directory.parent.mkdir(parents=True)
    directory.touch()
    receipts = opened(destination="wrong")
    assert not receipts.available
    receipts.serve("right", NOW)
    assert kinds(receipts) == [ProblemKind.UNUSABLE]


@pytest.mark.parametrize(
    "other",
    [("https://eu", "key", ""), ("https://us", "KEY", ""), ("https://us", "key", "-2"), ("https://us", "", "key")],
)
def test_url_key_and_suffix_make_the_fingerprint_of_a_destination(other: tuple[str, str, str]) -> None:
    fingerprint = destination_fingerprint("https://us", "key", "")
    assert fingerprint == destination_fingerprint("https://us", "key", "")
    assert fingerprint != destination_fingerprint(*other)


@pytest.mark.parametrize(("age", "is_found"), [(0, True), (WINDOW, True), (WINDOW + 1, False)])
def test_a_receipt_counts_for_exactly_the_window(opened: Open, age: int, is_found: bool) -> None:
    receipts = opened()
    receipts.add(deliveries([("a", "surveys", 0, 7)]), NOW)
    assert bool(find(receipts, ["a"], NOW + age)) is is_found


def test_rotation_keeps_what_is_within_the_window_and_forgets_the_rest(opened: Open) -> None:
    receipts = opened()
    receipts.add(batch(0, 10), NOW)
    receipts.add(batch(10, 10), NOW + WINDOW)
    receipts.add(batch(20, 10), NOW + WINDOW + 1)
    assert find(receipts, ["id-0", "id-10", "id-20"], NOW + WINDOW + 1).keys() == {"id-10", "id-20"}
    receipts.add(batch(30, 10), NOW + 2 * WINDOW + 2)
    assert receipts.entries() == 20, "the first generation was emptied"
    assert find(receipts, ["id-10", "id-20", "id-30"], NOW + 2 * WINDOW + 1).keys() == {"id-20", "id-30"}
    assert receipts.shrunk_total == 0


def test_receipts_survive_a_restart(opened: Open) -> None:
    first = opened()
    first.add(batch(0, 10), NOW)
    first.add(batch(10, 10), NOW + WINDOW + 1)
    first.close()
    again = opened(NOW + WINDOW + 2)
    assert find(again, ["id-10", "id-19"], NOW + WINDOW + 2).keys() == {"id-10", "id-19"}
    again.add(deliveries([("new", "surveys", 4, 1)]), NOW + WINDOW + 2)
    assert find(again, ["new", "id-11"], NOW + WINDOW + 2) == {
        "new": Place("surveys", 4, 1),
        "id-11": Place("surveys", 3, 11),
    }
    assert not again.problems


def test_the_window_is_complete_since_the_store_began(opened: Open) -> None:
    receipts = opened()
    assert receipts.window_start(NOW) == NOW
    receipts.add(batch(0, 1), NOW + 10)
    assert receipts.window_start(NOW + 10) == NOW
    assert receipts.window_start(NOW + WINDOW + 10) == NOW + 10
    receipts.add(batch(1, 1), NOW + WINDOW + 10)
    assert receipts.window_start(NOW + WINDOW + 10) == NOW + 10, "a rotation in time drops nothing that counts"


def test_a_receipt_from_the_future_counts_as_one_of_now(opened: Open) -> None:
    """A clock that was ahead and is set right must not cause duplicates, nor keep a generation without end."""
    receipts = opened(NOW + 10_000)
    receipts.add(batch(0, 1), NOW + 10_000)
    assert find(receipts, ["id-0"], NOW).keys() == {"id-0"}
    receipts.add(batch(1, 1), NOW)
    receipts.add(batch(2, 1), NOW + WINDOW + 1)
    receipts.add(batch(3, 1), NOW + 2 * WINDOW + 2)
    assert receipts.entries() == 2, "the generations went on changing places"
    assert receipts.window_start(NOW + 2 * WINDOW + 2) == NOW + WINDOW + 2


def test_a_killed_process_leaves_its_receipts(opened: Open) -> None:
    first = opened()
    first.add(batch(0, 1000), NOW)
    abandon(first)
    again = opened()
    assert len(find(again, [f"id-{number}" for number in range(1000)], NOW)) == 1000
    assert not again.problems


def test_a_store_that_was_open_when_the_machine_went_down_is_set_aside(opened: Open, directory: Path) -> None:
    first = opened(boot_id="before")
    first.add(batch(0, 10), NOW)
    abandon(first)
    again = opened(boot_id="after")
    assert kinds(again) == [ProblemKind.POWER_LOST]
    assert not find(again, ["id-0"], NOW)
    assert again.available
    assert (directory.with_name(f"receipts.set-aside-{int(NOW)}") / "data.mdb").exists()


def test_a_closed_store_survives_a_reboot(opened: Open) -> None:
    first = opened(boot_id="before")
    first.add(batch(0, 10), NOW)
    first.close()
    again = opened(boot_id="after")
    assert find(again, ["id-0"], NOW)
    assert not again.problems


def test_one_store_set_aside_is_kept(opened: Open, directory: Path) -> None:
    for boot in range(4):
        abandon(opened(NOW + boot, boot_id=str(boot)))
    assert [path.name for path in directory.parent.glob("*set-aside*")] == [f"receipts.set-aside-{int(NOW) + 3}"]


def _all_random(data: bytes) -> bytes:
    return random.Random(1).randbytes(len(data))


def _pages_random(data: bytes) -> bytes:
    return data[: 2 * 4096] + random.Random(1).randbytes(len(data) - 2 * 4096)


@pytest.mark.parametrize(
    "damage",
    [
        _all_random,
        _pages_random,
        lambda data: data[: len(data) // 2],
        lambda data: data[:100],
        lambda data: data[:8192] + bytes(len(data) - 8192),
        lambda _: b"no database at all",
    ],
    ids=["random", "random pages", "truncated", "truncated header", "zeroed pages", "text"],
)
@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_store_is_set_aside(
    opened: Open, directory: Path, damage: Callable[[bytes], bytes], closed: bool
) -> None:
    """LMDB itself crashes on some of these: this test would not fail but end."""
    first = opened()
    first.add(batch(0, 5000), NOW)
    if closed:
        first.close()
    else:
        abandon(first)
    data_file = directory / "data.mdb"
    data_file.write_bytes(damage(data_file.read_bytes()))
    again = opened()
    assert kinds(again) == [ProblemKind.UNREADABLE]
    assert not find(again, ["id-0"], NOW)
    again.add(batch(0, 10), NOW)
    assert find(again, ["id-0"], NOW)


def test_an_emptied_file_is_a_new_store(opened: Open, directory: Path) -> None:
    first = opened()
    first.add(batch(0, 10), NOW)
    first.close()
    (directory / "data.mdb").write_bytes(b"")
    again = opened(NOW + 1)
    again.add(batch(0, 10), NOW + 1)
    assert find(again, ["id-0"], NOW + 1)
    assert again.window_start(NOW + 1) == NOW + 1


def test_a_damaged_lock_file_of_the_database_does_no_harm(opened: Open, directory: Path) -> None:
    first = opened()
    first.add(batch(0, 10), NOW)
    abandon(first)
    lock_file = directory / "lock.mdb"
    lock_file.write_bytes(_all_random(lock_file.read_bytes()))
    assert find(opened(), ["id-0"], NOW)


@pytest.mark.parametrize("names", [[], [b"meta", b"0", b"1"], [b"other"]])
def test_a_foreign_database_is_set_aside(opened: Open, directory: Path, names: list[bytes]) -> None:
    directory.mkdir(parents=True)
    with lmdb.open(str(directory), max_dbs=4) as env, env.begin(write=True) as txn:
        for name in names:
            txn.put(b"key", b"value", db=env.open_db(name, txn=txn))
        if not names:
            txn.put(b"key", b"value")
    receipts = opened()
    assert kinds(receipts) == [ProblemKind.UNREADABLE]
    receipts.add(batch(0, 1), NOW)
    assert find(receipts, ["id-0"], NOW)


@pytest.mark.parametrize("obstacle", ["sprig", "sprig/receipts"])
def test_an_unusable_directory_means_no_receipts_and_no_failure(opened: Open, tmp_path: Path, obstacle: str) -> None:
    """A file stands where a directory should: as final as a read-only disk, and unlike that also for root."""
    path = tmp_path / obstacle
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    receipts = opened()
    assert kinds(receipts) == [ProblemKind.UNUSABLE]
    assert not receipts.available
    receipts.add(batch(0, 10), NOW)
    assert find(receipts, ["id-0"], NOW) == {}
    assert (receipts.entries(), receipts.bytes(), receipts.window_start(NOW)) == (0, 0, NOW)


def test_a_store_too_large_to_be_checked_in_time_is_used(opened: Open, directory: Path) -> None:
    """The check guards against rare damage; throwing a sound store away each time would cost more than it saves."""
    opened().close()
    (directory / "data.mdb").write_bytes(b"damaged")
    assert is_sound(directory, max_seconds=0)
    assert not is_sound(directory, max_seconds=60)


def test_a_fault_while_running_is_reported_and_the_store_done_without(opened: Open) -> None:
    receipts = opened()
    receipts.add(batch(0, 10), NOW)
    assert receipts._store is not None
    receipts._store._env.close()
    assert find(receipts, ["id-0"], NOW) == {}
    receipts.add(batch(10, 10), NOW)
    assert not receipts.available
    assert [problem.kind for problem in receipts.take_problems()] == [ProblemKind.UNUSABLE]
    assert not receipts.problems


def test_a_full_store_shortens_the_window_and_goes_on(opened: Open, directory: Path) -> None:
    """Only the older half is dropped, and from the start of the window on nothing is missing."""
    receipts = opened(max_bytes=SMALL)
    last = 1000
    for number in range(last):
        receipts.add(batch(number * 20, 20), NOW + number / 20)
        assert receipts.window_start(NOW + number / 20) <= max(NOW, NOW + number / 20 - 5)
    now = NOW + last / 20
    assert receipts.available
    assert set(kinds(receipts)) == {ProblemKind.FULL}
    assert 1 <= receipts.shrunk_total == len(receipts.problems) <= MAX_PROBLEMS
    first = int(receipts.window_start(now) - NOW + 1) * 20 * 20
    wanted = [f"id-{number}" for number in range(first, last * 20)]
    assert len(find(receipts, wanted, now)) == len(wanted) >= 4 * 20 * 20
    assert (directory / "data.mdb").stat().st_size <= SMALL


def test_a_store_without_any_room_is_emptied_and_goes_on(opened: Open) -> None:
    """Batches as large as the store leave LMDB nowhere to write: giving up old receipts beats giving up receipts."""
    receipts = opened(max_bytes=SMALL)
    for number in range(20):
        receipts.add(batch(number * 4000, 4000), NOW + number)
        assert len(find(receipts, [f"id-{id_}" for id_ in range(number * 4000, number * 4000 + 4000)], NOW)) == 4000
    assert receipts.shrunk_total > 0
    assert NOW < receipts.window_start(NOW + 20) < NOW + 20


def test_a_batch_that_can_never_fit_ends_in_a_store_given_up(opened: Open) -> None:
    receipts = opened(max_bytes=SMALL)
    receipts.add(batch(0, 100_000), NOW)
    assert kinds(receipts) == [ProblemKind.FULL, ProblemKind.UNUSABLE]


def test_a_lowered_limit_empties_a_store_that_is_over_it(opened: Open, directory: Path) -> None:
    first = opened()
    first.add(batch(0, 50_000), NOW)
    first.close()
    again = opened(max_bytes=SMALL)
    assert kinds(again) == [ProblemKind.FULL]
    again.add(batch(0, 10), NOW)
    assert find(again, ["id-0"], NOW)
    assert (directory / "data.mdb").stat().st_size < SMALL


def test_a_second_owner_is_refused_and_told_who_the_first_is(opened: Open) -> None:
    receipts = opened()
    receipts.add(batch(0, 1), NOW)
    with pytest.raises(UnavailableError, match=rf"in use by another streamer \(process {os.getpid()}\)"):
        opened()
    assert find(receipts, ["id-0"], NOW), "the first one is not disturbed"
    receipts.close()
    assert find(opened(), ["id-0"], NOW)


WRITER = """
import sys
import tempfile
from pathlib import Path
from streamer.receipts.check import is_sound
from streamer.receipts import Deliveries, Receipts, digest_of
receipts = Receipts.open(Path(sys.argv[1]), window_seconds=100, max_bytes=64 << 20, now=1_700_000_000)
number = 0
while True:
    receipts.add(deliveries([(f"id-{i}", "surveys", 3, i) for i in range(number, number + 500)]), 1_700_000_000)
    number += 500
    print(number, flush=True)
"""


def test_sigkill_in_the_middle_of_writing_keeps_every_finished_transaction(directory: Path) -> None:
    written = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(directory)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                written = max(written, int(line))
                if int(line) >= 10_000:
                    writer.send_signal(signal.SIGKILL)
                    break
    receipts = Receipts.open(directory, window_seconds=WINDOW, max_bytes=64 << 20, now=NOW)
    assert len(find(receipts, [f"id-{number}" for number in range(written)], NOW)) == written
    assert not receipts.problems
    receipts.close()


class ReceiptsMachine(RuleBasedStateMachine):
    """Receipts against a dictionary of id -> (place, time) that never forgets."""

    WINDOW = 10

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.model: dict[str, tuple[Place, int]] = {}
        self.directory = tempfile.TemporaryDirectory()
        self.receipts = self.open()

    def open(self) -> Receipts:
        path = Path(self.directory.name, "receipts")
        return Receipts.open(path, window_seconds=self.WINDOW, max_bytes=SMALL, now=self.now)

    @rule()
    def restart(self) -> None:
        self.receipts.close()
        self.receipts = self.open()

    @rule(
        delivered=st.lists(
            st.tuples(
                st.sampled_from("abcdefgh"), st.sampled_from(["t", "u"]), st.integers(0, 2), st.integers(0, 2**48 - 1)
            ),
            max_size=4,
            unique_by=itemgetter(0),
        )
    )
    def add(self, delivered: list[tuple[str, str, int, int]]) -> None:
        self.receipts.add(deliveries(delivered), self.now)
        for message_id, topic, partition, offset in delivered:
            self.model[message_id] = (Place(topic, partition, offset), self.now)

    @rule(seconds=st.integers(0, 25))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def exactly_what_is_within_the_window_is_found(self) -> None:
        expected = {key: place for key, (place, at) in self.model.items() if self.now - at <= self.WINDOW}
        assert find(self.receipts, list("abcdefgh"), self.now) == expected
        assert not self.receipts.problems

    def teardown(self) -> None:
        self.receipts.close()
        self.directory.cleanup()


TestReceiptsAgainstTheModel = ReceiptsMachine.TestCase
TestReceiptsAgainstTheModel.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_restored_receipts_count_from_when_their_events_were_delivered(opened: Open) -> None:
    """Each has its own time, however late it was restored, in whichever order."""
    receipts = opened()
    receipts.restore([(NOW - 10, batch(0, 3)), (NOW - 60, batch(3, 2)), (NOW - 60.5, batch(5, 1))], NOW)
    digests = [digest_of(f"id-{number}") for number in range(6)]

    assert len(receipts.find(digests, NOW)) == 6
    assert set(receipts.find(digests, NOW - 60 + WINDOW + 1)) == set(digests[:3])
    assert receipts.find(digests, NOW - 10 + WINDOW + 1) == {}
    assert receipts.entries() == 6


def test_a_store_that_restores_reaches_back_and_says_so(opened: Open) -> None:
    receipts = opened()
    assert receipts.window_start(NOW) == NOW
    receipts.reach_back_to(NOW - WINDOW / 2)
    assert receipts.window_start(NOW) == NOW - WINDOW / 2
    receipts.close()

    assert opened(NOW + 1).window_start(NOW + 1) == NOW - WINDOW / 2, "it is kept"


def test_a_store_that_has_deleted_receipts_does_not_reach_back(opened: Open) -> None:
    """What it had to delete early is missing, whatever is restored afterwards."""
    receipts = opened(max_bytes=SMALL)
    for number in range(60):
        receipts.add(batch(number * 500, 500), NOW + number)
    assert receipts.shrunk_total
    began = receipts.window_start(NOW + 60)

    receipts.reach_back_to(NOW - WINDOW / 2)

    assert receipts.window_start(NOW + 60) == began


def test_how_far_the_topic_was_read_is_kept_and_belongs_to_the_destination(opened: Open) -> None:
    receipts = opened(destination="one")
    assert receipts.followed() is None
    receipts.note_followed(b"here")
    receipts.close()

    again = opened(destination="one")
    assert again.followed() == b"here"
    again.serve("another", NOW)
    assert again.followed() is None
    again.close()
    assert again.followed() is None
