"""How dead-letter topics are created, and what is said of those that others created."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.core.dead_letters.topic_settings import (
    HEADERS_BYTES,
    TopicSettings,
    fault_of,
    remarks_on,
    settings_for,
)

DAY_MS = 86_400_000
DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY_MS),
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.after.max.ms": "3600000",
}
"""Those of Apache Kafka 4.1."""


def topic(
    name: str = "surveys", values: dict[str, str] | None = None, *, partitions: int = 3, replicas: int = 3
) -> TopicSettings:
    return TopicSettings(topic=name, partitions=partitions, replicas=replicas, values={**DEFAULTS, **(values or {})})


def hidden(name: str = "surveys") -> TopicSettings:
    return TopicSettings(topic=name, partitions=3, replicas=3, values=None)


def created(*sources: TopicSettings) -> dict[str, str]:
    settings = settings_for("surveys.dlq", sources)
    assert settings.values is not None
    return dict(settings.values)


def test_a_created_topic_has_the_partitions_and_replicas_of_its_topic_and_settings_that_keep_dead_letters() -> None:
    settings = settings_for("surveys.dlq", [topic()])
    assert (settings.topic, settings.partitions, settings.replicas) == ("surveys.dlq", 3, 3)
    assert settings.values == {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(1_048_588 + HEADERS_BYTES),
        "min.insync.replicas": "2",
    }
    assert str(settings).startswith("3 partitions, replication factor 3, cleanup.policy=delete, retention.ms=2592")


@pytest.mark.parametrize(
    ("of_source", "wanted"),
    [
        ({"retention.ms": str(90 * DAY_MS)}, str(90 * DAY_MS)),
        ({"retention.ms": "-1"}, "-1"),
        # Only compaction deletes its records, so this setting means nothing.
        ({"retention.ms": str(90 * DAY_MS), "cleanup.policy": "compact"}, str(30 * DAY_MS)),
        ({"retention.ms": str(90 * DAY_MS), "cleanup.policy": "compact,delete"}, str(90 * DAY_MS)),
    ],
)
def test_dead_letters_stay_as_long_as_records_and_at_least_30_days(of_source: dict[str, str], wanted: str) -> None:
    assert created(topic(values=of_source))["retention.ms"] == wanted


@pytest.mark.parametrize(
    ("replicas", "of_source", "wanted"),
    [(1, "1", "1"), (2, "1", "1"), (2, "2", "2"), (3, "1", "2"), (3, "3", "3"), (1, "2", "1"), (4, "2", "2")],
)
def test_a_dead_letter_has_two_copies_where_one_broker_may_be_away(replicas: int, of_source: str, wanted: str) -> None:
    values = {"min.insync.replicas": of_source}
    assert created(topic(values=values, replicas=replicas))["min.insync.replicas"] == wanted


def test_a_topic_for_the_dead_letters_of_several_suits_the_largest_of_each() -> None:
    few = topic("few", {"retention.ms": str(60 * DAY_MS)}, partitions=2, replicas=1)
    many = topic("many", {"max.message.bytes": "5000000"}, partitions=9)
    settings = settings_for("all.dlq", [few, many])
    assert (settings.partitions, settings.replicas) == (9, 3)
    assert created(few, many)["retention.ms"] == str(60 * DAY_MS)
    assert created(few, many)["max.message.bytes"] == str(5_000_000 + HEADERS_BYTES)


def test_what_may_not_be_looked_at_is_left_to_the_brokers() -> None:
    assert "max.message.bytes" not in created(hidden())
    assert created(hidden())["retention.ms"] == str(30 * DAY_MS)
    unknown = TopicSettings(topic="surveys", partitions=0, replicas=0, values=None)
    assert settings_for("surveys.dlq", [unknown]).partitions == 1
    assert "min.insync.replicas" not in created(unknown)
    assert str(settings_for("surveys.dlq", [unknown])).startswith(
        "1 partition, the default replication factor, cleanup"
    )


@pytest.mark.parametrize(
    ("of_letters", "of_source", "told"),
    [
        (
            {},
            {"retention.ms": str(30 * DAY_MS)},
            "surveys.dlq keeps dead letters for 7 d, and surveys keeps records for 30 d: .* to 2592000000 or more$",
        ),
        ({}, {"retention.ms": "-1"}, "surveys keeps records for ever: .* set retention.ms of surveys.dlq to -1$"),
        ({"retention.ms": "5400000"}, {}, "keeps dead letters for 1.5 h, and surveys keeps records for 7 d"),
        ({"retention.ms": "0"}, {}, "keeps dead letters for 0 ms"),
        (
            {"retention.bytes": "1000000"},
            {"retention.bytes": "1000000"},
            "deletes its oldest dead letters, .* more than 1000000 bytes; set retention.bytes of surveys.dlq to -1$",
        ),
        ({"cleanup.policy": "compact"}, {"retention.ms": "-1"}, "surveys.dlq is compacted: of several dead letters"),
        ({"cleanup.policy": "compact,delete"}, {}, "set cleanup.policy of surveys.dlq to delete"),
        (
            {"max.message.bytes": "1000000"},
            {},
            "surveys.dlq accepts .* at most 1000000 bytes, and surveys of 1048588: .* set max.message.bytes .* 1064972",
        ),
        (
            {"message.timestamp.before.max.ms": "60000"},
            {},
            r"more than 1 min away .*; set message.timestamp.type .* or message.timestamp.before.max.ms to 3600000",
        ),
        ({"message.timestamp.after.max.ms": "1000"}, {}, r"more than 1 s away .*\(message.timestamp.after.max.ms\)"),
        ({"message.timestamp.difference.max.ms": "1000"}, {}, r"\(message.timestamp.difference.max.ms\)"),
    ],
)
def test_each_setting_that_harms_dead_letters_is_told(
    of_letters: dict[str, str], of_source: dict[str, str], told: str
) -> None:
    [remark] = remarks_on(topic("surveys.dlq", of_letters), [topic(values=of_source)])
    assert re.search(told, remark), remark


@pytest.mark.parametrize(
    ("of_letters", "of_source"),
    [
        ({}, {}),
        ({"retention.ms": "-1"}, {"retention.ms": "-1"}),
        ({"retention.ms": str(8 * DAY_MS)}, {}),
        # Its records stay as long as nothing newer has their key, which says nothing about a time.
        ({}, {"retention.ms": "-1", "cleanup.policy": "compact"}),
        ({"max.message.bytes": "2000000"}, {}),
        # The broker sets the time itself, and so has nothing to refuse.
        ({"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": "1"}, {}),
        ({"message.timestamp.after.max.ms": "300000"}, {}),
    ],
)
def test_settings_that_harm_nothing_are_not_told(of_letters: dict[str, str], of_source: dict[str, str]) -> None:
    assert list(remarks_on(topic("surveys.dlq", of_letters), [topic(values=of_source)])) == []


def test_of_several_topics_the_one_that_keeps_longest_is_named() -> None:
    sources = [topic("a"), topic("b", {"retention.ms": "-1"}), topic("c", {"retention.ms": str(30 * DAY_MS)})]
    [remark] = remarks_on(topic("all.dlq"), sources)
    assert "b keeps records for ever" in remark


def test_of_what_may_not_be_looked_at_nothing_is_said() -> None:
    assert list(remarks_on(hidden("surveys.dlq"), [topic(values={"retention.ms": "-1"})])) == []
    assert list(remarks_on(topic("surveys.dlq"), [hidden()])) == []
    assert fault_of(hidden()) is None


def test_more_copies_than_there_are_replicas_are_a_fault() -> None:
    assert fault_of(topic(values={"min.insync.replicas": "3"})) is None
    fault = fault_of(topic("surveys.dlq", {"min.insync.replicas": "4"}))
    assert fault is not None
    assert fault.startswith("surveys.dlq has a replication factor of 3, and min.insync.replicas is 4")
    assert fault_of(topic(values={"min.insync.replicas": "4"}, replicas=0)) is None, "not known"


NUMBERS = st.integers(-1, 1 << 62).map(str)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "cleanup.policy": st.sampled_from(["delete", "compact", "compact,delete", "delete, compact"]),
        "retention.ms": NUMBERS,
        "retention.bytes": NUMBERS,
        "max.message.bytes": st.integers(0, (1 << 31) - 1).map(str),
        "min.insync.replicas": st.integers(1, 9).map(str),
        "message.timestamp.type": st.sampled_from(["CreateTime", "LogAppendTime", "odd"]),
        "message.timestamp.before.max.ms": NUMBERS,
        "message.timestamp.after.max.ms": st.sampled_from(["", "none", "1"]),
    },
)
TOPICS = st.builds(
    TopicSettings,
    topic=st.text(max_size=9),
    partitions=st.integers(0, 9),
    replicas=st.integers(0, 9),
    values=st.none() | SETTINGS,
)


@given(st.lists(TOPICS, min_size=1, max_size=4))
def test_nothing_is_to_be_said_of_a_topic_that_streamer_created(sources: list[TopicSettings]) -> None:
    settings = settings_for("surveys.dlq", sources)
    assert fault_of(settings) is None
    assert list(remarks_on(settings, sources)) == []
    assert settings.partitions > 0


@given(TOPICS, st.lists(TOPICS, min_size=1, max_size=4))
def test_whatever_brokers_answer_there_is_something_to_say_or_nothing(
    letters: TopicSettings, sources: list[TopicSettings]
) -> None:
    assert all(isinstance(remark, str) for remark in remarks_on(letters, sources))
