"""When a partition that cannot be read is tried again, and what is said about it."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.core.records.obstacles import MAX_RETRY_SECONDS, Obstacle, Obstacles, PartitionFault

FAULT = PartitionFault(Obstacle.NO_LEADER, "no broker leads the partition")


def fail_when_due(obstacles: Obstacles[str], place: str, times: int) -> list[float]:
    """Have each attempt fail at once; returns how long the waits between them were."""
    now, waits = 100.0, []
    for _ in range(times):
        obstacles.meet(place, FAULT, now)
        began = now
        while not obstacles.take_due(now):
            now += 0.5
        waits.append(now - began)
    return waits


def test_a_partition_is_tried_again_after_1_2_4_to_60_seconds() -> None:
    assert fail_when_due(Obstacles(), "a", 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_wait_stays_bounded_after_days() -> None:
    assert max(fail_when_due(Obstacles(), "a", 1_100)) == MAX_RETRY_SECONDS


def test_a_partition_that_was_read_again_begins_with_the_shortest_wait() -> None:
    obstacles = Obstacles[str]()
    fail_when_due(obstacles, "a", 5)
    obstacles.overcome("a")
    assert fail_when_due(obstacles, "a", 1) == [1]


def test_each_partition_has_its_own_schedule() -> None:
    obstacles = Obstacles[str]()
    fail_when_due(obstacles, "a", 6)
    obstacles.meet("b", FAULT, 0.0)
    assert obstacles.take_due(1.0) == ["b"]


def test_it_may_be_read_while_it_is_being_tried_and_is_tried_once() -> None:
    obstacles = Obstacles[str]()
    obstacles.meet("a", FAULT, 0.0)
    assert obstacles.shut() == {"a"}
    assert obstacles.take_due(1.0) == ["a"]
    assert obstacles.take_due(2.0) == []
    assert obstacles.shut() == set()
    assert obstacles.tried() == ["a"]
    assert obstacles.fault("a") == FAULT, "it is shown until it is read"
    obstacles.meet("a", FAULT, 2.0)
    assert obstacles.shut() == {"a"}


def test_what_lasts_is_told_once_and_so_is_its_end() -> None:
    """Most faults are a leader that moves: over before anybody could do anything about them."""
    obstacles = Obstacles[str]()
    assert [obstacles.meet("a", FAULT, 0.0) for _ in range(6)] == [False, False, True, False, False, False]
    assert obstacles.overcome("a")
    obstacles.meet("a", FAULT, 0.0)
    assert not obstacles.overcome("a")
    assert not obstacles.overcome("a")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["meet", "overcome", "forget", "wait"]))))
def test_a_partition_with_an_obstacle_is_either_shut_or_being_tried(steps: list[tuple[str, str]]) -> None:
    obstacles, now = Obstacles[str](), 0.0
    for place, step in steps:
        if step == "meet":
            obstacles.meet(place, FAULT, now)
        elif step == "wait":
            now += 3
            obstacles.take_due(now)
        else:
            getattr(obstacles, step)(place)
        assert set(obstacles) == obstacles.shut() | set(obstacles.tried())
        assert not obstacles.shut() & set(obstacles.tried())
        assert all((place in obstacles) == (obstacles.fault(place) is not None) for place in "abc")


def test_it_lasts_since_the_first_failed_attempt() -> None:
    obstacles: Obstacles[str] = Obstacles()
    for now in (5.0, 6.0, 8.0):
        obstacles.meet("a", FAULT, now)
    assert obstacles.since("a") == 5.0
    obstacles.overcome("a")
    assert obstacles.since("a") is None
    obstacles.meet("a", FAULT, 20.0)
    assert obstacles.since("a") == 20.0
