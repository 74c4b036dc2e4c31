"""How far a group is behind, from its stored position and the ends of the partition."""

from collections.abc import Sequence

import pytest

from streamer.core.records.lag import (
    DAMAGED_METADATA,
    FOREIGN_METADATA,
    NO_METADATA,
    NOTHING_STORED,
    OTHER_RECORD,
    PAST_END,
    GroupLag,
    PartitionLag,
    excesses,
    partition_lag,
)
from streamer.core.records.statement import Run, encode

PLACE = ("surveys", 0)
NOW = 1_770_000_000.0


def lag(position: int | None, metadata: str = "", bounds: tuple[int, int] = (0, 100)) -> PartitionLag:
    return partition_lag(PLACE, bounds, position, metadata)


def test_the_metadata_tells_what_is_settled_and_what_is_open_above_the_position() -> None:
    """Three are open, two of them have failed; all others below the horizon have their outcome."""
    runs = [Run(40, 41, 3), Run(45, 46, 0), Run(50, 51, 7)]
    found = lag(40, encode(40, 60, runs, fingerprint=1_000))
    assert (found.lag, found.settled_above, found.open_above) == (60, 17, 3)
    assert (found.retried, found.max_attempts, found.notes) == (2, 7, [])
    assert found.age_seconds is None


@pytest.mark.parametrize(
    ("position", "metadata", "bounds", "behind", "notes"),
    [
        (None, "", (10, 100), 90, [NOTHING_STORED]),
        (40, "", (0, 100), 60, [NO_METADATA]),
        (40, "checkpoint 7", (0, 100), 60, [FOREIGN_METADATA]),
        (41, encode(40, 60, [], fingerprint=1), (0, 100), 59, [DAMAGED_METADATA]),
        (
            40,
            encode(40, 40, [], fingerprint=None),
            (50, 100),
            50,
            ["retention deleted 10 records from the position on"],
        ),
        (140, encode(140, 140, [], fingerprint=None), (0, 100), 100, [PAST_END]),
    ],
)
def test_an_unusual_position_is_told(
    position: int | None, metadata: str, bounds: tuple[int, int], behind: int, notes: Sequence[str]
) -> None:
    """Where a position cannot be used, streamer reads from where the partition begins."""
    found = lag(position, metadata, bounds)
    assert (found.lag, found.notes) == (behind, notes)


def test_a_replay_is_told() -> None:
    found = lag(40, encode(40, 40, [], fingerprint=1, replay_until=90, replay_id=3))
    assert found.notes == ["older receipts do not count below offset 90: the group is new, or was reset"]


def test_nothing_behind_is_no_time_behind() -> None:
    found = lag(100, encode(100, 100, [], fingerprint=None))
    assert (found.lag, found.age_seconds, found.headroom_seconds) == (0, 0.0, None)


def test_the_oldest_record_gives_the_age_and_what_is_left_of_the_retention() -> None:
    found = lag(40, encode(40, 60, [], fingerprint=1_769_999_900_000))
    found.note_oldest(40, 1_769_999_900_000, now=NOW, retention_seconds=3_600)
    assert (found.age_seconds, found.headroom_seconds, found.notes) == (100.0, 3_500.0, [])
    unlimited = lag(40)
    unlimited.note_oldest(41, 1_769_999_900_000, now=NOW, retention_seconds=None)
    assert (unlimited.age_seconds, unlimited.headroom_seconds) == (100.0, None)
    without_time = lag(40)
    without_time.note_oldest(40, -1, now=NOW, retention_seconds=3_600)
    assert without_time.age_seconds is None


def test_another_record_at_the_position_is_told() -> None:
    """A topic of the same name that was created anew: the position means nothing there."""
    found = lag(40, encode(40, 60, [], fingerprint=1_000))
    found.note_oldest(40, 2_000, now=NOW, retention_seconds=None)
    assert found.notes == [OTHER_RECORD]
    compacted = lag(40, encode(40, 60, [], fingerprint=1_000))
    compacted.note_oldest(41, 2_000, now=NOW, retention_seconds=None)
    assert compacted.notes == []


def test_limits_are_of_a_group_and_of_a_record() -> None:
    """What is not known must not pass for well."""
    old, unknown = lag(40), lag(90)
    old.note_oldest(40, 1_769_999_900_000, now=NOW, retention_seconds=None)
    groups = [
        GroupLag(integration="surveys", group="streamer.surveys", partitions=[old, unknown, lag(100)], members=[])
    ]
    assert excesses(groups, max_lag=None, max_age_seconds=None) == []
    assert excesses(groups, max_lag=70, max_age_seconds=None) == []
    assert excesses(groups, max_lag=69, max_age_seconds=None) == [
        "streamer.surveys is 70 records behind; allowed are 69"
    ]
    absent = [GroupLag(integration="", group="of.somebody", partitions=[], members=[])]
    assert excesses(absent, max_lag=None, max_age_seconds=None) == []
    assert excesses(absent, max_lag=5, max_age_seconds=None) == [
        "of.somebody: it has no position in a configured topic"
    ]
    absent[0].missing_topics.append("answers")
    assert excesses(absent, max_lag=5, max_age_seconds=None) == ["of.somebody: the topic answers does not exist"]
    too_old, not_known = excesses(groups, max_lag=None, max_age_seconds=99.0)
    assert "surveys partition 0: its oldest record without an outcome is 100 s old; allowed are 99 s" in too_old
    assert "the age of its oldest record without an outcome is not known" in not_known
